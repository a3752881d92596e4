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
	"strings"
	"sync"
	"testing"

	"github.com/acp-go/acp/examples/internal/apptest"
	"github.com/acp-go/acp/examples/internal/serve"
)

// agent is a browser without a screen: it keeps cookies and follows redirects of
// navigations, but not of fetches.
type agent struct {
	t      *testing.T
	client *http.Client
}

func newAgent(t *testing.T, roots ...http.RoundTripper) *agent {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var transport http.RoundTripper
	if len(roots) > 0 {
		transport = roots[0]
	} else {
		own := &http.Transport{}
		t.Cleanup(own.CloseIdleConnections)
		transport = own
	}
	return &agent{t, &http.Client{Jar: jar, Transport: transport}}
}

type answer struct {
	*http.Response
	text string
}

func (a *agent) do(method, address string, form url.Values, header map[string]string) answer {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		a.t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := a.client.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer{response, string(body)}
}

// open navigates and follows redirects.
func (a *agent) open(address string) answer {
	a.t.Helper()
	a.client.CheckRedirect = nil
	return a.do(http.MethodGet, address, nil, navigation)
}

// step navigates and stays where the answer is.
func (a *agent) step(address string) answer {
	a.t.Helper()
	a.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return a.do(http.MethodGet, address, nil, navigation)
}

// fetch is what a script of the page does.
func (a *agent) fetch(address string) answer {
	a.t.Helper()
	a.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return a.do(http.MethodGet, address, nil, map[string]string{
		"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin",
	})
}

var navigation = map[string]string{
	"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none",
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// submit posts the page's form and follows redirects.
func (a *agent) submit(page answer, fields ...string) answer {
	a.t.Helper()
	found := formAction.FindStringSubmatch(page.text)
	if found == nil {
		a.t.Fatalf("no form on %s (status %d):\n%s", page.Request.URL, page.StatusCode, page.text)
	}
	target, err := page.Request.URL.Parse(html.UnescapeString(found[1]))
	if err != nil {
		a.t.Fatal(err)
	}
	form := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(page.text, -1) {
		form.Set(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	header := map[string]string{
		"Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded",
		"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site", "Origin": "null",
	}
	if target.Host == page.Request.URL.Host {
		header["Sec-Fetch-Site"] = "same-origin"
		header["Origin"] = target.Scheme + "://" + target.Host
	}
	a.client.CheckRedirect = nil
	return a.do(http.MethodPost, target.String(), form, header)
}

// signIn opens a protected page, signs alice in and consents.
func (a *agent) signIn(address string) answer {
	a.t.Helper()
	page := a.submit(a.open(address), "username", "alice", "password", "wonderland", "action", "login")
	return a.submit(page, "action", "allow")
}

// app is the program, running in this process.
type app struct {
	base   string
	issuer string
	stop   func() int // ends it as SIGTERM does, and is its exit status
	log    *apptest.Output
}

func startApp(t *testing.T, environ ...string) *app {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	status := make(chan int, 1)
	started := &app{log: &apptest.Output{}}
	go func() {
		status <- run(ctx, environ, in, started.log)
		_ = in.Close() // a pipe in memory
	}()
	lines := bufio.NewScanner(out)
	for started.base == "" || started.issuer == "" {
		if !lines.Scan() {
			t.Fatalf("it did not start: %s", started.log)
		}
		if _, address, found := strings.Cut(lines.Text(), "web application is at"); found {
			started.base = strings.TrimSuffix(strings.TrimSpace(address), "/")
		}
		if _, address, found := strings.Cut(lines.Text(), "authorization server is"); found {
			started.issuer = strings.TrimSpace(address)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the pipe
	started.stop = sync.OnceValue(func() int { cancel(); return <-status })
	t.Cleanup(func() {
		if s := started.stop(); s != serve.OK {
			t.Errorf("exit status %d\n%s", s, started.log)
		}
	})
	return started
}
