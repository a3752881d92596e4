package middleware

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/acp-go/acp/acpclient"
)

const (
	transactionVersion = 1
	maxTransactions    = 5
	maxTransactionSize = 4 << 10 // bytes of all their names and values
)

// transaction is one unfinished login, sealed in a cookie of its own that is named after
// its state. So two tabs do not disturb each other.
type transaction struct {
	started time.Time
	before  sessionID // the session that the login began in; zero without one
	need    StepUp    // what the login must bring
	flow    acpclient.Flow
}

// useful is when it is certain that no process takes the state any more.
func (t *transaction) useful() time.Time { return t.flow.Expiry.Add(maxSkew) }

// stateKey is what stands for a state in names and maps.
type stateKey [sha256.Size]byte

func keyOf(state string) stateKey { return sha256.Sum256([]byte(state)) }

// id is the changing part of the cookie's name: 128 bits of the hash.
func (k stateKey) id() string { return base64.RawURLEncoding.EncodeToString(k[:16]) }

// encode keeps the return path out of the JSON, which could make six bytes of one.
func (t *transaction) encode() ([]byte, error) {
	flow := t.flow
	flow.ReturnTo = ""
	text, err := json.Marshal(&flow)
	if err != nil {
		return nil, err
	}
	b := []byte{transactionVersion}
	b = appendTime(b, t.started)
	b = append(b, t.before[:]...)
	b = binary.AppendUvarint(b, uint64(len(t.need.ACRValues)))
	for _, value := range t.need.ACRValues {
		b = appendText(b, value)
	}
	if age := t.need.MaxAge; age != nil {
		b = append(b, 1)
		b = binary.AppendUvarint(b, uint64(*age/time.Second))
	} else {
		b = append(b, 0)
	}
	b = appendText(b, t.flow.ReturnTo)
	return append(b, text...), nil
}

func decodeTransaction(b []byte) (*transaction, bool) {
	d := &decoder{rest: b}
	if d.byte() != transactionVersion {
		return nil, false
	}
	t := &transaction{started: d.time()}
	copy(t.before[:], d.take(uint64(len(t.before))))
	for n := d.uvarint(); n > 0 && !d.failed; n-- {
		t.need.ACRValues = append(t.need.ACRValues, string(d.text()))
	}
	if d.byte() != 0 {
		t.need.MaxAge = new(time.Duration(min(d.uvarint(), uint64(math.MaxInt64/time.Second))) * time.Second)
	}
	returnTo := string(d.text())
	if d.failed || json.Unmarshal(d.rest, &t.flow) != nil {
		return nil, false
	}
	t.flow.ReturnTo = returnTo
	return t, true
}

func (a *Authenticator) openTransaction(p presentedTx) (*transaction, bool) {
	plain, _, ok := a.transactions.open(a.cookies.tx+p.id, p.value)
	if !ok {
		return nil, false
	}
	t, ok := decodeTransaction(plain)
	return t, ok && keyOf(t.flow.State).id() == p.id
}

// beginTransaction sets the cookie of a new login, and forgets the oldest where there
// are too many.
func (a *Authenticator) beginTransaction(w http.ResponseWriter, r *http.Request, flow *acpclient.Flow, need *StepUp) error {
	now, p := a.now(), a.cookies.read(r)
	t := &transaction{started: now, flow: *flow, need: *need}
	if rec, _, ok := a.join(p); ok {
		t.before = rec.id
	}
	plain, err := t.encode()
	if err != nil {
		return err
	}
	name := a.cookies.tx + keyOf(flow.State).id()
	sealed, err := a.transactions.seal(name, plain)
	if err != nil {
		return err
	}
	if len(name)+len(sealed) > maxCookie {
		return &problem{status: http.StatusInternalServerError, reason: "transaction_too_large", detail: "a login does not fit into a cookie"}
	}
	a.makeRoom(w.Header(), p.txs, len(name)+len(sealed), now)
	a.cookies.set(w.Header(), name, sealed, ceilSecond(flow.Expiry.Sub(now)))
	return nil
}

// makeRoom deletes unfinished logins until a new one of this size fits. What cannot be
// read counts as oldest.
func (a *Authenticator) makeRoom(h http.Header, txs []presentedTx, size int, now time.Time) {
	type aged struct {
		name    string
		size    int
		started time.Time
	}
	var live []aged
	for _, p := range txs {
		e := aged{name: a.cookies.tx + p.id, size: len(a.cookies.tx) + len(p.id) + len(p.value)}
		if t, ok := a.openTransaction(p); ok {
			if !now.Before(t.flow.Expiry) {
				a.cookies.remove(h, e.name)
				continue
			}
			e.started = t.started
		}
		live = append(live, e)
		size += e.size
	}
	slices.SortStableFunc(live, func(x, y aged) int { return x.started.Compare(y.started) })
	for len(live) >= maxTransactions || len(live) > 0 && size > maxTransactionSize {
		a.cookies.remove(h, live[0].name)
		size -= live[0].size
		live = live[1:]
	}
}

// findTransaction is the unfinished login that a callback's state belongs to. Its
// cookie is deleted, whatever becomes of the callback.
func (a *Authenticator) findTransaction(h http.Header, p *presented, state string) (*transaction, error) {
	id, tried := keyOf(state).id(), 0
	for _, tx := range p.txs {
		if tx.id != id || tried == maxCopies {
			continue
		}
		tried++
		a.cookies.remove(h, a.cookies.tx+id)
		t, ok := a.openTransaction(tx)
		switch {
		case !ok || !sameSecret(t.flow.State, state):
			continue
		case !a.now().Before(t.flow.Expiry):
			return nil, invalidCallback("state_expired", "the login took too long")
		}
		return t, nil
	}
	switch {
	case tried > 0:
		return nil, invalidCallback("state_mismatch", "the login's cookie is not one that this application made")
	case len(p.txs) > 0:
		return nil, invalidCallback("state_mismatch", "no login with this state was started in this browser")
	}
	return nil, errNoLogin
}

var errNoLogin = invalidCallback("state_missing", "no login was started in this browser, or it is over")

// ceilSecond rounds up, so that a cookie does not end before what it holds.
func ceilSecond(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
