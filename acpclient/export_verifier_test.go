package acpclient

// The hooks of the tests of Verifier.

// KnownHeaders is how many headers the Verifier remembers.
func KnownHeaders(v *Verifier) int {
	if known := v.headers.known.Load(); known != nil {
		return len(*known)
	}
	return 0
}

// Remembered is how many good tokens, refusals and inquiries the Verifier holds, and the bytes
// that it counts for the tokens.
func Remembered(v *Verifier) (good, bytes, refused, inquiries int) {
	if v.good != nil {
		for i := range v.good.shards {
			s := &v.good.shards[i]
			s.mu.RLock()
			good, bytes = good+len(s.byDigest), bytes+s.bytes
			s.mu.RUnlock()
		}
	}
	if i := v.inquire; i != nil {
		i.mu.Lock()
		refused, inquiries = max(len(i.refused), len(i.order)), len(i.flights)
		i.mu.Unlock()
	}
	return good, bytes, refused, inquiries
}

// LooksLikeJWT is looksLikeJWT where no header is known.
func LooksLikeJWT(token string) bool { return looksLikeJWT(token, &headerMemo{}) }

// Fingerprint gives digests as a Verifier of its own does, with FIPS 140-3 or without.
func Fingerprint(fips bool) func(token string) [16]byte {
	f := newFingerprinter()
	if fips {
		f = fingerprinter{}
	}
	room := &scratch{}
	return func(token string) [16]byte {
		room.token = append(room.token[:0], token...)
		return f.digest(room)
	}
}
