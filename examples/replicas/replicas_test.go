package main

import (
	"bufio"
	"context"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/examples/internal/serve"
)

// start runs the program with access tokens of two seconds, and returns where it is.
func start(t *testing.T, environ ...string) (base string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	log := new(strings.Builder)
	status := make(chan int, 1)
	go func() {
		status <- runWith(ctx, environ, in, log, 2*time.Second)
		_ = in.Close() // a pipe in memory
	}()
	t.Cleanup(func() {
		cancel()
		if s := <-status; s != serve.OK {
			t.Errorf("exit status %d\n%s", s, log)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, address, found := strings.Cut(lines.Text(), "replicas are behind"); found {
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the pipe
			return strings.TrimSuffix(strings.TrimSpace(address), "/")
		}
	}
	t.Fatal("it did not start")
	return ""
}

// browser keeps cookies and follows redirects.
type browser struct {
	t    *testing.T
	base string
	http.Client
}

func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, base, http.Client{Jar: jar, Transport: transport}}
}

func (b *browser) do(method, address string, form url.Values) (at *url.URL, body string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	response, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	sent, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		b.t.Fatalf("%s %s: %d (%v)\n%s", method, address, response.StatusCode, err, sent)
	}
	return response.Request.URL, string(sent)
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	shownID    = regexp.MustCompile(`id="(replica|subject|token|refreshes)">([^<]*)<`)
)

func (b *browser) submit(at *url.URL, page string, fields ...string) (*url.URL, string) {
	b.t.Helper()
	action := formAction.FindStringSubmatch(page)
	if action == nil {
		b.t.Fatalf("no form on %s\n%s", at, page)
	}
	target, err := at.Parse(html.UnescapeString(action[1]))
	if err != nil {
		b.t.Fatal(err)
	}
	form := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(page, -1) {
		form.Set(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.do(http.MethodPost, target.String(), form)
}

func (b *browser) signIn() {
	b.t.Helper()
	at, page := b.do(http.MethodGet, b.base+"/login?return_to=/", nil)
	at, page = b.submit(at, page, "username", "alice", "password", "wonderland", "action", "login")
	b.submit(at, page, "action", "allow")
}

// look is what the page shows, by the ids of its elements.
func (b *browser) look() map[string]string {
	b.t.Helper()
	_, page := b.do(http.MethodGet, b.base+"/", nil)
	shown := map[string]string{}
	for _, found := range shownID.FindAllStringSubmatch(page, -1) {
		shown[found[1]] = found[2]
	}
	return shown
}

// Each replica knows the session, one of them refreshes its token for all, and all of them
// forget it together.
func TestReplicas(t *testing.T) {
	base := start(t)
	one, other := newBrowser(t, base), newBrowser(t, base)
	one.signIn()
	other.signIn()
	seen, tokens := map[string]bool{}, map[string]bool{}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(time.Minute)
	for len(tokens) < 3 || len(seen) < replicas {
		<-tick.C
		shown := one.look()
		if shown["subject"] != "alice" {
			t.Fatalf("the page shows %v", shown)
		}
		seen[shown["replica"]], tokens[shown["token"]] = true, true
		if time.Now().After(deadline) {
			t.Fatalf("seen: replicas %v, tokens %v", seen, tokens)
		}
		// One may have happened whose token was not seen yet.
		if n, err := strconv.Atoi(shown["refreshes"]); err != nil || n > len(tokens) {
			t.Fatalf("%d refreshes (%v), and %d tokens were seen", n, err, len(tokens))
		}
	}
	other.do(http.MethodPost, base+"/everywhere", nil)
	for range 2 * replicas {
		for _, b := range []*browser{one, other} {
			if shown := b.look(); shown["subject"] != "" {
				t.Errorf("after signing out everywhere: %v", shown)
			}
		}
	}
}

// One browser signs another one out, and nobody else.
func TestSignOutOne(t *testing.T) {
	base := start(t)
	one, other, third := newBrowser(t, base), newBrowser(t, base), newBrowser(t, base)
	ids := map[*browser]string{}
	for _, b := range []*browser{third, other, one} { // each sees those before it, newest first
		b.signIn()
		_, page := b.do(http.MethodGet, base+"/", nil)
		listed := hidden.FindAllStringSubmatch(page, -1)
		if strings.Count(page, "this browser</dd>") != 1 || len(listed) != len(ids) {
			t.Fatalf("%d others are listed, and there are %d\n%s", len(listed), len(ids), page)
		}
		if b == one {
			ids[other], ids[third] = listed[0][2], listed[1][2]
		} else {
			ids[b] = ""
		}
	}
	for range 2 { // the second time it is over already
		one.do(http.MethodPost, base+"/end", url.Values{"id": {ids[other]}})
	}
	for range replicas {
		for b, want := range map[*browser]string{one: "alice", other: "", third: "alice"} {
			if shown := b.look(); shown["subject"] != want {
				t.Errorf("%v, want %q", shown, want)
			}
		}
	}
}

func TestSettings(t *testing.T) {
	for name, row := range map[string]struct{ setting, variable string }{
		"a Redis that cannot be":     {"ACP_REDIS_URL=http://secret-canary", "ACP_REDIS_URL"},
		"everybody knows the users":  {"ACP_LISTEN=0.0.0.0:0", "ACP_LISTEN"},
		"an address that cannot be ": {"ACP_LISTEN=here", "ACP_LISTEN"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, log strings.Builder
			status := run(t.Context(), []string{row.setting}, &out, &log)
			if line := log.String(); status != serve.Misspelled || !strings.Contains(line, row.variable+":") || strings.Count(line, "\n") != 1 || strings.Contains(line, "canary") {
				t.Errorf("status %d\n%s", status, line)
			}
		})
	}
}
