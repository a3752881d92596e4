package middleware

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	rosterSize   = 16 // places of one user
	rosterPart   = 4  // of the time that one call to the Store may take, no login waits longer for a place
	placeVersion = 1
)

// roster knows which sessions a user has. A Store cannot add to a list in one step, so each
// session takes a place of its own: one of a bounded number, whose tokens are known of who the
// user is. It is best effort: a session without a place is as good as any, and a place without
// its session says nothing.
type roster struct {
	shelf  *shelf
	sealer *sealer // under keys that no cookie holds: it is read without the user's browser
	client string
}

// place is one of a user's: empty where value is nil. What cannot be read has no record.
type place struct {
	token string
	value []byte
	rec   *record
}

// placeToken has 34 characters. Applications that share a Store share no places.
func (l *roster) placeToken(sub markKey, i int) string {
	b := appendText(appendText(appendText(nil, "place"), l.client), sub[:])
	sum := sha256.Sum256(append(b, byte(i)))
	return "u." + base64.RawURLEncoding.EncodeToString(sum[:24])
}

func (l *roster) places(ctx context.Context, sub markKey) ([]place, error) {
	tokens := make([]string, rosterSize)
	for i := range tokens {
		tokens[i] = l.placeToken(sub, i)
	}
	values, err := l.shelf.storage.Find(ctx, tokens...)
	if err != nil {
		return nil, err
	}
	places := make([]place, rosterSize)
	for i, token := range tokens {
		places[i] = place{token: token, value: values[i]}
		if plain, _, ok := l.sealer.open(token, string(values[i])); ok {
			places[i].rec = decodePlace(plain, sub)
		}
	}
	return places, nil
}

func encodePlace(r *record) []byte {
	b := append([]byte{placeVersion}, r.id[:]...)
	b = append(b, r.ticket.sid[:]...)
	return appendTime(b, r.created)
}

// decodePlace gives a record of which no more is known than whether it has ended.
func decodePlace(b []byte, sub markKey) *record {
	d := &decoder{rest: b}
	version := d.byte()
	r := &record{ticket: &ticket{sub: sub}}
	copy(r.id[:], d.take(uint64(len(r.id))))
	copy(r.ticket.sid[:], d.take(uint64(len(r.ticket.sid))))
	if r.created = d.time(); d.failed || version != placeVersion {
		return nil
	}
	return r
}

// forget takes away the records of sessions that are over.
func (l *roster) forget(ctx context.Context, places []place) error {
	var tokens []string
	for _, p := range places {
		if p.rec != nil {
			tokens = append(append(tokens, endings(p.rec)...), recordToken(p.rec.id))
		}
	}
	if tokens == nil {
		return nil
	}
	values, err := l.shelf.storage.Find(ctx, tokens...)
	if err != nil {
		return err
	}
	now := l.shelf.storage.now()
	for i := range places {
		r := places[i].rec
		if r == nil {
			continue
		}
		n := len(endings(r))
		if values[n] == nil || ended(r, values[:n]) || !now.Before(l.shelf.until(r)) {
			places[i].rec = nil
		}
		values = values[n+1:]
	}
	return nil
}

// add gives a new session a place: an empty one, else one whose session is over, else that of the
// oldest. Those who log in at the same moment try in different orders.
func (l *roster) add(ctx context.Context, r *record) {
	ctx, cancel := context.WithTimeout(ctx, l.shelf.storage.timeout/rosterPart)
	defer cancel()
	places, err := l.places(ctx, r.ticket.sub)
	if err != nil {
		return
	}
	rand.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	if slices.ContainsFunc(places, place.empty) {
		places = slices.DeleteFunc(places, func(p place) bool { return !p.empty() })
	} else if l.forget(ctx, places) != nil {
		return
	}
	slices.SortStableFunc(places, func(x, y place) int { return x.since().Compare(y.since()) })
	for _, p := range places {
		if taken, err := l.take(ctx, p, r); taken || err != nil {
			return
		}
	}
}

func (p place) empty() bool { return p.value == nil }

// since is zero for a place whose session is over.
func (p place) since() time.Time {
	if p.rec == nil {
		return time.Time{}
	}
	return p.rec.created
}

// take is certain where an empty place is added in one step. Else what is there afterwards counts.
func (l *roster) take(ctx context.Context, p place, r *record) (taken bool, err error) {
	store, until := l.shelf.storage, l.shelf.until(r)
	atomic := p.empty() && store.add != nil
	if atomic {
		if added, err := store.Add(ctx, p.token, until); !added {
			return false, err
		}
	}
	sealed, err := l.sealer.seal(p.token, encodePlace(r))
	if err == nil {
		err = store.Commit(ctx, p.token, []byte(sealed), until)
	}
	if err != nil || atomic {
		return err == nil, err
	}
	values, err := store.Find(ctx, p.token)
	return err == nil && bytes.Equal(values[0], []byte(sealed)), err
}

// remove gives the place of a session back that is over.
func (l *roster) remove(ctx context.Context, r *record) {
	ctx, cancel := context.WithTimeout(ctx, l.shelf.storage.timeout/rosterPart)
	defer cancel()
	places, _ := l.places(ctx, r.ticket.sub)
	for _, p := range places {
		if p.rec != nil && p.rec.id == r.id {
			_ = l.shelf.storage.Delete(ctx, p.token) // what is left there says nothing
		}
	}
}
