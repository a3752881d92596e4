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
