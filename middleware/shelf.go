package middleware

import (
	"context"
	"sync"
	"time"

	"github.com/gorilla/securecookie"
)

// shelf keeps the records of sessions in a Store, each sealed for its own place. What was
// ended leaves a tombstone, so that nothing that comes late brings it back.
type shelf struct {
	storage *storage
	secrets [][]byte // one per rotation slot, derived, newest first
	until   func(*record) time.Time
}

// get reads the rest of a record that a ticket stands for: nil where there is none any more.
// Without reading the store nobody is signed in, and nobody is signed out: the error answers 503.
func (s *shelf) get(ctx context.Context, t *record) (*record, error) {
	tokens := []string{recordToken(t.id), endToken(t.id), markToken(t.ticket.sub)}
	if t.ticket.sid != (markKey{}) {
		tokens = append(tokens, markToken(t.ticket.sid))
	}
	values, err := s.findAll(ctx, tokens)
	if err != nil || values[0] == nil || values[1] != nil {
		return nil, err
	}
	for _, b := range values[2:] {
		// What cannot be read was not written by us, and ends nothing.
		if m, ok := decodeMark(b); ok && m.ends(t) {
			return nil, nil
		}
	}
	r, ok := s.open(t, values[0])
	if !ok {
		return nil, nil
	}
	return r, nil
}

// findAll reads several values at once: nil for what is not there.
func (s *shelf) findAll(ctx context.Context, tokens []string) ([][]byte, error) {
	values, errs := make([][]byte, len(tokens)), make([]error, len(tokens))
	find := func(i int) {
		b, found, err := s.storage.Find(ctx, tokens[i])
		if errs[i] = err; found && err == nil {
			values[i] = append([]byte{}, b...) // not nil, and nobody else's
		}
	}
	var wg sync.WaitGroup
	for i := 1; i < len(tokens); i++ {
		wg.Go(func() { find(i) })
	}
	find(0)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return values, nil
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
	_, ended, err = s.storage.Find(ctx, endToken(r.id))
	if ended && err == nil {
		err = s.storage.Delete(ctx, recordToken(r.id))
	}
	return ended, err
}

// end ends a session: the tombstone first, so that a refresh under way finds it.
func (s *shelf) end(ctx context.Context, r *record) error {
	if err := s.storage.Commit(ctx, endToken(r.id), []byte{1}, s.until(r)); err != nil {
		return err
	}
	return s.storage.Delete(ctx, recordToken(r.id))
}

// mark ends the sessions of a user, or of a session at the server, that were created until now.
func (s *shelf) mark(ctx context.Context, k markKey, m mark, until time.Time) error {
	return s.storage.Commit(ctx, markToken(k), m.encode(), until)
}

// codec seals one record: under a key that is half in the cookie, and under the token of
// its place, so that it cannot be moved to another.
func (s *shelf) codec(slot int, t *ticket) (*securecookie.SecureCookie, error) {
	key, err := expand(s.secrets[slot], "acp-go record", t.half[:])
	if err != nil {
		return nil, err
	}
	return securecookie.New(key[:keySize], key[keySize:]).SetSerializer(securecookie.NopEncoder{}).MaxLength(0).MaxAge(0), nil
}

func (s *shelf) seal(r *record) ([]byte, error) {
	codec, err := s.codec(0, r.ticket)
	if err != nil {
		return nil, err
	}
	sealed, err := codec.Encode(recordToken(r.id), r.encode())
	if err != nil {
		return nil, errSeal
	}
	return []byte(sealed), nil
}

func (s *shelf) open(t *record, sealed []byte) (*record, bool) {
	for slot := range s.secrets {
		codec, err := s.codec(slot, t.ticket)
		if err != nil {
			return nil, false
		}
		var plain []byte
		if codec.Decode(recordToken(t.id), string(sealed), &plain) != nil {
			continue
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
	return nil, false
}
