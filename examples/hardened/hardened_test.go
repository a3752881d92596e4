package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
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

// app is the program, running in this process, with a browser that trusts it.
type app struct {
	t       *testing.T
	base    string
	issuer  string
	log     *apptest.Output
	browser *http.Client
	visited []*url.URL
}

func start(t *testing.T) *app {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	a := &app{t: t, log: &apptest.Output{}}
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, nil, in, a.log)
		_ = in.Close() // a pipe in memory
	}()
	var said bytes.Buffer
	for b := make([]byte, 1<<10); !strings.Contains(said.String(), "-----END CERTIFICATE-----"); {
		n, err := out.Read(b)
		if said.Write(b[:n]); err != nil {
			t.Fatalf("it did not start: %s", a.log)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the pipe
	addresses := regexp.MustCompile(`https://\S+`).FindAllString(said.String(), 2)
	a.base, a.issuer = strings.TrimSuffix(addresses[0], "/"), addresses[1]
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(said.Bytes()) {
		t.Fatalf("no certificate in %s", said.String())
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	a.browser = &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		a.visited = append(a.visited, r.URL)
		return nil
	}}
	stop := sync.OnceValue(func() int { transport.CloseIdleConnections(); cancel(); return <-status })
	t.Cleanup(func() {
		if s := stop(); s != serve.OK {
			t.Errorf("exit status %d\n%s", s, a.log)
		}
	})
	return a
}

type page struct {
	*http.Response
	text string
}

func (a *app) send(method, address string, form url.Values) page {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	response, err := a.browser.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return page{response, string(body)}
}

func (a *app) open(path string) page { a.t.Helper(); return a.send(http.MethodGet, a.base+path, nil) }

var formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)

func (a *app) submit(p page, form url.Values) page {
	a.t.Helper()
	found := formAction.FindStringSubmatch(p.text)
	if found == nil {
		a.t.Fatalf("status %d, no form:\n%s", p.StatusCode, p.text)
	}
	target, err := p.Request.URL.Parse(html.UnescapeString(found[1]))
	if err != nil {
		a.t.Fatal(err)
	}
	return a.send(http.MethodPost, target.String(), form)
}

// AZ-30, DP-01: the browser carries a reference alone, the token is bound, and the API takes it with a proof.
func TestHardened(t *testing.T) {
	a := start(t)
	login := a.submit(a.open("/profile"), url.Values{"username": {"alice"}, "password": {"wonderland"}, "action": {"login"}})
	profile := a.submit(login, url.Values{"action": {"allow"}})
	if profile.StatusCode != http.StatusOK || !strings.Contains(profile.text, "alice") {
		t.Fatalf("status %d\n%s", profile.StatusCode, profile.text)
	}
	var authorize, callback url.Values
	for _, u := range a.visited {
		if strings.HasSuffix(u.Path, "/oauth2/authorize") {
			authorize = u.Query()
		}
		if u.Path == "/callback" {
			callback = u.Query()
		}
	}
	if len(authorize) != 2 || !authorize.Has("request_uri") || authorize.Get("client_id") != "hardened" {
		t.Errorf("the browser carried %v", authorize)
	}
	if callback.Get("iss") != a.issuer || !callback.Has("code") {
		t.Errorf("callback %v", callback)
	}
	var called struct {
		Status int
		Body   string
	}
	if p := a.open("/api/call"); json.Unmarshal([]byte(p.text), &called) != nil || called.Status != http.StatusOK || !strings.Contains(called.Body, `"sub":"alice"`) {
		t.Errorf("/api/call: %s", p.text)
	}
	if p := a.open("/api/me"); strings.TrimSpace(p.text) != `{"sub":"alice"}` {
		t.Errorf("/api/me: %s", p.text)
	}
	for _, cookie := range a.browser.Jar.Cookies(profile.Request.URL) {
		if !strings.HasPrefix(cookie.Name, "__Host-") && !strings.HasPrefix(cookie.Name, "localacp_") {
			t.Errorf("cookie %s", cookie.Name)
		}
	}
	if p := a.send(http.MethodPost, a.base+"/logout", nil); p.StatusCode != http.StatusOK {
		t.Errorf("/logout: %d", p.StatusCode)
	}
	if p := a.open("/profile"); p.Request.URL.Path == "/profile" {
		t.Error("still signed in")
	}
	if log := a.log.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, callback.Get("code")) {
		t.Errorf("log:\n%s", log)
	}
}
