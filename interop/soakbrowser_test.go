package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"
)

// soakBrowser is a person's browser: it signs in once, and then asks for several things at
// the same time, again and again.
type soakBrowser struct {
	subject string
	origin  string
	client  *http.Client
	tally   *tally

	mu      sync.Mutex
	leaving time.Time // when it began to sign out; zero: it did not
	gone    time.Time // when it had
	stolen  string    // its cookies of just before
	lost    bool
}

var soakSubject = regexp.MustCompile(`soak-[0-9]{3}`)

// signIn goes through the server's pages, in the test's goroutine.
func (s *stage) signIn(subject string, tally *tally) *soakBrowser {
	s.t.Helper()
	a := newAgent(s.t, s.origin+"/callback")
	a.login = subject
	values := a.passServer(s.origin+"/login?return_to=/profile", true)
	res, err := a.client.Get(s.origin + "/callback?" + values.Encode())
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK || soakSubject.FindString(string(body)) != subject {
		s.t.Fatalf("signing in as %s: %d at %s\n%s", subject, res.StatusCode, res.Request.URL, body)
	}
	client := *a.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &soakBrowser{subject: subject, origin: s.origin, client: &client, tally: tally}
}

// soakRequests are made at the same time.
var soakRequests = []string{"/api/call", "/api/me", "/profile", "/api/call"}

// browse goes on until ctx ends, with pauses of about this length.
func (b *soakBrowser) browse(ctx context.Context, pause time.Duration) {
	for ctx.Err() == nil && !b.isLost() {
		var batch sync.WaitGroup
		for _, path := range soakRequests {
			batch.Go(func() { b.ask(path) })
		}
		batch.Wait()
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
		}
	}
}

// ask is not stopped by the end of the run: its answer counts.
func (b *soakBrowser) ask(path string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.origin+path, nil)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Accept", map[bool]string{true: "text/html", false: "application/json"}[path == "/profile"])
	start := time.Now()
	res, err := b.client.Do(r)
	if err != nil {
		b.tally.note(visit{who: b.subject, path: path, start: start, end: time.Now(), wrong: err.Error()})
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	v := visit{who: b.subject, path: path, start: start, end: time.Now(), status: res.StatusCode, replica: res.Header.Get("X-Replica")}
	switch {
	case err != nil:
		v.wrong = err.Error()
	case res.StatusCode == http.StatusOK:
		v.wrong = b.judge(path, string(body))
	case res.StatusCode == http.StatusServiceUnavailable: // the tally knows whether it may be
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusSeeOther:
		if !b.leavesBefore(v.end) {
			v.wrong, v.logout = fmt.Sprintf("a logout: %s", body), true
		}
	default:
		v.wrong = string(body)
	}
	if v.status == http.StatusOK && b.goneBefore(start) {
		v.wrong = "signed in again, after signing out"
	}
	if v.logout {
		b.lose()
	}
	b.tally.note(v)
}

// judge wants the user's own name on everything, and nobody else's.
func (b *soakBrowser) judge(path, body string) (wrong string) {
	names := soakSubject.FindAllString(body, -1)
	if len(names) == 0 {
		return "nobody's page: " + body
	}
	for _, name := range names {
		if name != b.subject {
			return "the page of " + name + ": " + body
		}
	}
	if path == "/api/call" {
		var answer struct{ Status int }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Status != http.StatusOK {
			return "the API answered " + body
		}
	}
	return ""
}

// signOut does so while other requests are under way. What the cookies were stays in stolen.
func (b *soakBrowser) signOut(ctx context.Context) error {
	u, err := url.Parse(b.origin)
	if err != nil {
		return err
	}
	stolen := &http.Request{Header: http.Header{}}
	for _, c := range b.client.Jar.Cookies(u) {
		stolen.AddCookie(c)
	}
	b.mu.Lock()
	b.leaving, b.stolen = time.Now(), stolen.Header.Get("Cookie")
	b.mu.Unlock()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.origin+"/logout", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Origin", b.origin)
	res, err := b.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		body, _ := io.ReadAll(res.Body)
		return fmt.Errorf("signing out: %d %s", res.StatusCode, body)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = time.Now()
	return nil
}

func (b *soakBrowser) leavesBefore(moment time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.leaving.IsZero() && b.leaving.Before(moment)
}

func (b *soakBrowser) goneBefore(moment time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.gone.IsZero() && b.gone.Before(moment)
}

// lose ends the browsing of whom was signed out.
func (b *soakBrowser) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = true
}

func (b *soakBrowser) isLost() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}
