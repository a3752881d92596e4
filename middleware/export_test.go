package middleware

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/acp-go/acp/acpclient"
)

// What the tests see of the inside: the clock, and the parts that have no door of their own.

const (
	MaxUsed     = maxUsed
	PageStyle   = pageStyle
	MaxReturnTo = maxReturnTo
)

func (a *Authenticator) SetClock(now func() time.Time) { a.now = now }

func LocalPath(to string, own []string) bool { return localPath(to, own) }

func IsNavigation(r *http.Request) bool { return isNavigation(r) }

func Clean(s string) string { return clean(s) }

// Explained tells whether a reason has an explanation of its own.
func Explained(reason string) bool { _, ok := explanations[reason]; return ok }

func Explanations() map[string][2]string { return explanations }

// SessionCookies are the cookies of a new session with these tokens, as a browser holds them.
func (a *Authenticator) SessionCookies(t *acpclient.Tokens, created, seen time.Time) ([]*http.Cookie, error) {
	r := newRecord(t, created)
	r.seen = seen
	if a.shelf != nil {
		newTicket(r, a.issuer, r.subject, "")
		if _, err := a.shelf.put(context.Background(), r); err != nil {
			return nil, err
		}
	}
	return a.cookiesOf(r)
}

func (a *Authenticator) cookiesOf(r *record) ([]*http.Cookie, error) {
	chunks, err := a.split(r)
	var cookies []*http.Cookie
	for i, c := range chunks {
		cookies = append(cookies, &http.Cookie{Name: a.cookies.chunk(i), Value: c})
	}
	return cookies, err
}

// GenerationOf is the number of refreshes that the cookies of a request speak of.
func (a *Authenticator) GenerationOf(r *http.Request) (uint64, bool) {
	rec, _, ok := a.join(a.cookies.read(r))
	if !ok {
		return 0, false
	}
	return rec.generation, true
}

// WithGeneration seals the session of a request again, as another process would after
// its own refreshes.
func (a *Authenticator) WithGeneration(r *http.Request, generation uint64) []*http.Cookie {
	rec, _, ok := a.join(a.cookies.read(r))
	if !ok {
		return nil
	}
	next := *rec
	next.generation = generation
	cookies, _ := a.cookiesOf(&next)
	return cookies
}

// Seal seals any bytes as a session, or as a transaction with this id.
func (a *Authenticator) SealSession(plain []byte) string {
	s, _ := a.sessions.seal(sealedName(a.cookies.session, 1), plain)
	return "1." + s
}

func (a *Authenticator) SealTransaction(id string, plain []byte) string {
	s, _ := a.transactions.seal(a.cookies.tx+id, plain)
	return s
}

// RecordRoundTrip encodes and decodes tokens.
func RecordRoundTrip(t *acpclient.Tokens, now time.Time) (*acpclient.Tokens, int, bool) {
	b := newRecord(t, now).encode()
	r, ok := decodeRecord(b)
	if !ok {
		return nil, len(b), false
	}
	return r.tokens(), len(b), true
}

// DecodeRecord gives the tokens of a session, and the session written again.
func DecodeRecord(b []byte) (t *acpclient.Tokens, again []byte, ok bool) {
	r, ok := decodeRecord(b)
	if !ok {
		return nil, nil, false
	}
	return r.tokens(), r.encode(), true
}

func EncodeRecord(t *acpclient.Tokens, now time.Time) []byte { return newRecord(t, now).encode() }

func TransactionRoundTrip(f acpclient.Flow, now time.Time) (acpclient.Flow, bool) {
	b, err := (&transaction{started: now, flow: f}).encode()
	if err != nil {
		return f, false
	}
	t, ok := decodeTransaction(b)
	if !ok {
		return f, false
	}
	return t.flow, true
}

// WaitForReplay returns once a second callback of this state waits for the first.
func (a *Authenticator) WaitForReplay(ctx context.Context, state string) error {
	for ; ctx.Err() == nil; runtime.Gosched() {
		if o, ok := a.memory.used.get(keyOf(state)); ok {
			o.mu.Lock()
			waiting := o.waiting
			o.mu.Unlock()
			if waiting > 0 {
				return nil
			}
		}
	}
	return ctx.Err()
}

// HasSession tells whether a request carries a session that would be served.
func (a *Authenticator) HasSession(r *http.Request) bool {
	f, err := a.find(r.Context(), a.cookies.read(r))
	return f.rec != nil && err == nil
}

// Sizes are the numbers of entries in the process's memory.
func (a *Authenticator) Sizes() map[string]int {
	return map[string]int{
		"ended": len(a.memory.ended.items), "latest": len(a.memory.latest.items),
		"backoffs": len(a.memory.backoffs.items), "used": len(a.memory.used.items),
	}
}

// BoundedMap is a memory of n entries.
func BoundedMap(n int, now func() time.Time) (put func(k, v int, expiry time.Time), get func(k int) (int, bool), size func() int) {
	b := newBounded[int, int](n, now)
	return b.put, b.get, func() int { return len(b.items) }
}

// Pause is the wait after so many failures.
func Pause(failures int, err error) time.Duration { return pause(failures, err) }

// Stale judges tokens that were issued at a time, for a session whose id starts with b.
func Stale(t *acpclient.Tokens, issued, now time.Time, generation uint64, b byte) bool {
	r := &record{issued: issued, generation: generation}
	r.hold(t)
	r.id[0] = b
	return stale(r, now)
}

// Token is what a request shows, and whether it is exactly one token in the right place.
func Token(r *http.Request) (token string, ok, absent bool) {
	c := readCredentials(r)
	if !isB64Token(c.token) {
		return "", false, c.kind == noCredentials
	}
	return c.token, c.kind == bearerToken, false
}

func QuotedString(s string) string { return quotedString(s) }

const MaxBearerToken = maxBearerToken

// SetSleep replaces the pauses of the background: before a refused refresh is believed, and between
// tries to store tokens.
// SetStoreTimeout changes the time that one call to the Store may take.
func (a *Authenticator) SetStoreTimeout(d time.Duration) { a.shelf.storage.timeout = d }

func (a *Authenticator) SetSleep(f func(time.Duration)) { a.refresher.sleep = f }

// Saving is the number of sessions whose tokens wait for the Store.
func (a *Authenticator) Saving() int {
	a.refresher.mu.Lock()
	defer a.refresher.mu.Unlock()
	return len(a.refresher.saving)
}

// Flights is the number of refreshes under way.
func (a *Authenticator) Flights() int {
	a.refresher.mu.Lock()
	defer a.refresher.mu.Unlock()
	return len(a.refresher.flights)
}

// RecordToken is where the Store has the session of a request.
func (a *Authenticator) RecordToken(r *http.Request) string {
	rec, _, _ := a.join(a.cookies.read(r))
	return storePrefix + recordToken(rec.id)
}

// TicketID is the secret part of a ticket.
func (a *Authenticator) TicketID(r *http.Request) []byte {
	rec, _, _ := a.join(a.cookies.read(r))
	return rec.ticket.id[:]
}

// StoredGeneration is the generation of the session of a request, in the Store.
func (a *Authenticator) StoredGeneration(r *http.Request) (uint64, bool) {
	rec, _, ok := a.join(a.cookies.read(r))
	if !ok {
		return 0, false
	}
	stored, err := a.shelf.get(r.Context(), rec)
	if err != nil || stored == nil {
		return 0, false
	}
	return stored.generation, true
}

// Ticket is what is sealed in the cookie of a stored session.
func (a *Authenticator) Ticket(r *http.Request) []byte {
	rec, _, _ := a.join(a.cookies.read(r))
	return rec.encodeTicket()
}

const MaxUnstored = maxUnstored

// Unstored is the number of ended sessions of which the Store does not know.
func (a *Authenticator) Unstored() int {
	a.unstored.mu.Lock()
	defer a.unstored.mu.Unlock()
	return len(a.unstored.ends)
}

// Trying tells whether a goroutine goes on telling the Store.
func (a *Authenticator) Trying() bool {
	a.unstored.mu.Lock()
	defer a.unstored.mu.Unlock()
	return a.unstored.done != nil
}

// FillUnstored is the end of n sessions that the Store did not take.
func (a *Authenticator) FillUnstored(n int) {
	for range n {
		r := newRecord(&acpclient.Tokens{}, a.now())
		a.unstored.add(r)
	}
}

const RosterSize = rosterSize
