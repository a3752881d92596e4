package middleware

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/gorilla/securecookie"
)

// shelf keeps the records of sessions in a Store, each sealed for its own place. What was
// ended leaves a tombstone, so that nothing that comes late brings it back.
type shelf struct {
	storage *storage
	until   func(*record) time.Time
}

// get reads the rest of a record that a ticket stands for: nil where there is none any more.
// Without reading the store nobody is signed in, and nobody is signed out: the error answers 503.
func (s *shelf) get(ctx context.Context, t *record) (*record, error) {
	values, err := s.storage.Find(ctx, append(endings(t), recordToken(t.id))...)
	if err != nil {
		return nil, err
	}
	last := len(values) - 1
	if values[last] == nil || ended(t, values[:last]) {
		return nil, nil
	}
	r, ok := s.open(t, values[last])
	if !ok {
		return nil, nil
	}
	return r, nil
}

// endings are where the end of a session may stand: its tombstone first.
func endings(t *record) []string {
	tokens := []string{endToken(t.id), markToken(t.ticket.sub), othersToken(t.ticket.sub)}
	if t.ticket.sid != (markKey{}) {
		tokens = append(tokens, markToken(t.ticket.sid))
	}
	return tokens
}

func ended(t *record, values [][]byte) bool {
	return values[0] != nil || slices.ContainsFunc(values[1:], func(b []byte) bool { return decodeMark(b).ends(t) })
}

// put stores a record. It reports ended when the session was ended meanwhile, and then
// leaves nothing behind.
func (s *shelf) put(ctx context.Context, r *record) (ended bool, err error) {
	b, err := s.seal(r)
	if err != nil {
		return false, err
	}
	if err := s.storage.Commit(ctx, recordToken(r.id), b, s.until(r)); err != nil {
		return false, err
	}
	if ended, err = s.hasEnded(ctx, r); ended {
		err = s.remove(ctx, r)
	}
	return ended, err
}

func (s *shelf) hasEnded(ctx context.Context, r *record) (bool, error) {
	values, err := s.storage.Find(ctx, endings(r)...)
	return err == nil && ended(r, values), err
}

// end ends a session: the tombstone first, so that a refresh under way finds it.
func (s *shelf) end(ctx context.Context, r *record) error {
	if err := s.storage.Commit(ctx, endToken(r.id), []byte{1}, s.until(r)); err != nil {
		return err
	}
	return s.remove(ctx, r)
}

func (s *shelf) remove(ctx context.Context, r *record) error {
	return s.storage.Delete(ctx, recordToken(r.id))
}

// mark leaves word that sessions are over, and never takes back what a later word says.
func (s *shelf) mark(ctx context.Context, token string, m mark, until time.Time) error {
	values, err := s.storage.Find(ctx, token)
	if err != nil || decodeMark(values[0]).at.After(m.at) {
		return err
	}
	return s.storage.Commit(ctx, token, m.encode(), until)
}

// firstSeen is when something came for the first time, as far as that is known.
func (s *shelf) firstSeen(ctx context.Context, token string, now, until time.Time) (time.Time, error) {
	values, err := s.storage.Find(ctx, token)
	if err != nil {
		return now, err
	}
	if m := decodeMark(values[0]); !m.at.IsZero() {
		return m.at, nil
	}
	return now, s.storage.Commit(ctx, token, mark{at: now}.encode(), until)
}

// keepReturn leaves where a login went, for a reload that reaches another process. Without it that
// is refused, which is no reason to refuse the login.
func (s *shelf) keepReturn(ctx context.Context, state string, t *transaction) {
	token := onceToken("state", state)
	if b, err := sealWith(codecOf([]byte(state), "return"), token, []byte(t.flow.ReturnTo)); err == nil {
		_ = s.storage.Commit(ctx, token, b, t.useful())
	}
}

// returnOf is "" for a state whose login did not end well, or of which nothing is known.
func (s *shelf) returnOf(ctx context.Context, state string) (string, error) {
	token := onceToken("state", state)
	values, err := s.storage.Find(ctx, token)
	if err != nil {
		return "", err
	}
	b, _ := openWith(codecOf([]byte(state), "return"), token, values[0])
	return string(b), nil
}

// seal seals a record under a key that is in its cookie, and in no other, and under the token
// of its place, so that it cannot be moved. The cookie in turn is sealed under
// Config.CookieKeys, which so may change while the record stays.
func (s *shelf) seal(r *record) ([]byte, error) {
	return sealWith(r.ticket.sealing(), recordToken(r.id), r.encode())
}

func (s *shelf) open(t *record, sealed []byte) (*record, bool) {
	plain, ok := openWith(t.ticket.sealing(), recordToken(t.id), sealed)
	if !ok {
		return nil, false
	}
	r, ok := decodeRecord(plain)
	if !ok || r.id != t.id {
		return nil, false
	}
	r.ticket = t.ticket
	if t.seen.After(r.seen) {
		r.seen = t.seen
	}
	return r, true
}

// sealWith seals what a Store holds, whose readers do not have the secret. It may encrypt plain in place.
func sealWith(codec *securecookie.SecureCookie, token string, plain []byte) ([]byte, error) {
	if codec == nil {
		return nil, errSeal
	}
	sealed, err := codec.Encode(token, plain)
	if err != nil {
		return nil, errSeal
	}
	return []byte(sealed), nil
}

func openWith(codec *securecookie.SecureCookie, token string, sealed []byte) (plain []byte, ok bool) {
	ok = codec != nil && codec.Decode(token, string(sealed), &plain) == nil
	return plain, ok
}

// codecOf is nil for a secret that Go's FIPS mode finds too short: a state that is not ours may be.
func codecOf(secret []byte, purpose string) *securecookie.SecureCookie {
	key, err := hkdf.Key(sha256.New, secret, nil, "acp-go store v1|"+purpose, 2*keySize)
	if err != nil {
		return nil
	}
	return securecookie.New(key[:keySize], key[keySize:]).SetSerializer(securecookie.NopEncoder{}).MaxLength(0).MaxAge(0)
}
