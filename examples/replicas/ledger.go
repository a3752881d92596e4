package main

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// ledger notes what the replicas do, for the page to show.
type ledger struct {
	mu        sync.Mutex
	answered  [replicas]int
	refreshes [replicas]int
	last      []refresh // newest first
}

// refresh is one at the authorization server, of anybody's token.
type refresh struct {
	Replica int
	At      time.Time
}

const shown = 8 // of the last refreshes

func (l *ledger) answer(replica int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered[replica-1]++
}

func (l *ledger) refresh(replica int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refreshes[replica-1]++
	l.last = slices.Insert(l.last, 0, refresh{replica, time.Now()})
	l.last = l.last[:min(shown, len(l.last))]
}

// row is what is known of a replica.
type row struct{ Number, Answered, Refreshes int }

func (l *ledger) read() (rows []row, total int, last []refresh) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.answered {
		rows = append(rows, row{i + 1, l.answered[i], l.refreshes[i]})
		total += l.refreshes[i]
	}
	return rows, total, slices.Clone(l.last)
}

// noting is the way of a replica to the authorization server, which notes the refreshes.
type noting struct {
	replica int
	ledger  *ledger
	next    http.RoundTripper
}

func (n *noting) RoundTrip(r *http.Request) (*http.Response, error) {
	refreshes := isRefresh(r)
	response, err := n.next.RoundTrip(r)
	if refreshes && err == nil && response.StatusCode == http.StatusOK {
		n.ledger.refresh(n.replica)
	}
	return response, err
}

// isRefresh looks into a copy of the form.
func isRefresh(r *http.Request) bool {
	if r.Method != http.MethodPost || r.GetBody == nil {
		return false
	}
	body, err := r.GetBody()
	if err != nil {
		return false
	}
	defer body.Close()
	sent, err := io.ReadAll(body)
	if err != nil {
		return false
	}
	form, err := url.ParseQuery(string(sent))
	return err == nil && form.Get("grant_type") == "refresh_token"
}
