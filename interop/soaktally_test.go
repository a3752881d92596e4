package interop_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// visit is one request of a browser, and its answer.
type visit struct {
	who, path, replica string
	start, end         time.Time
	status             int
	wrong              string // "" for an answer that may be
	logout             bool
}

func (v visit) String() string {
	return fmt.Sprintf("%s %s at %s, %v to %v: %d %.300s", v.who, v.path, v.replica,
		v.start.Format("05.000"), v.end.Format("05.000"), v.status, v.wrong)
}

// outage is a time in which something is down, and a while afterwards, in which others find
// out that it is not: 503 may be an answer then.
type outage struct {
	name       string
	start, end time.Time // end is zero while it lasts
	refused    int
}

// recovery is five seconds, the longest pause between two tries, and a second for those to
// come on a busy machine.
const recovery = 6 * time.Second

// tally judges the answers of all browsers.
type tally struct {
	mu       sync.Mutex
	requests int
	took     map[bool][]time.Duration // in an outage, and outside
	outages  []*outage
	refused  []visit // 503
	wrong    []visit
	lost     map[string]bool // who was signed out
}

func newTally() *tally {
	return &tally{took: map[bool][]time.Duration{}, lost: map[string]bool{}}
}

func (t *tally) note(v visit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests++
	_, during := t.during(v)
	t.took[during] = append(t.took[during], v.end.Sub(v.start))
	switch {
	case v.logout:
		t.lost[v.who] = true
		t.wrong = append(t.wrong, v)
	case v.wrong != "":
		t.wrong = append(t.wrong, v)
	case v.status == http.StatusServiceUnavailable:
		t.refused = append(t.refused, v)
	}
}

// during is the outage that a visit falls into.
func (t *tally) during(v visit) (*outage, bool) {
	for _, o := range slices.Backward(t.outages) {
		if v.end.After(o.start) && (o.end.IsZero() || v.start.Before(o.end.Add(recovery))) {
			return o, true
		}
	}
	return nil, false
}

// begin opens an outage, which the result closes.
func (t *tally) begin(name string) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := &outage{name: name, start: time.Now()}
	t.outages = append(t.outages, o)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		o.end = time.Now()
	}
}

// settle counts the refusals of each outage, and makes the others wrong.
func (t *tally) settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, v := range t.refused {
		if o, ok := t.during(v); ok {
			o.refused++
			continue
		}
		v.wrong = "503 while nothing is down"
		t.wrong = append(t.wrong, v)
	}
	t.refused = nil
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests, %d wrong, %d signed out; p50 %v p99 %v, in outages p50 %v p99 %v; 503:", t.requests, len(t.wrong), len(t.lost),
		percentile(t.took[false], .5).Round(10*time.Microsecond), percentile(t.took[false], .99).Round(10*time.Microsecond),
		percentile(t.took[true], .5).Round(10*time.Microsecond), percentile(t.took[true], .99).Round(10*time.Microsecond))
	for _, o := range t.outages {
		fmt.Fprintf(&b, " %s (%v) %d", o.name, o.end.Sub(o.start).Round(10*time.Millisecond), o.refused)
	}
	return b.String()
}
