package interop_test

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// agent plays the browser for tests that need none: it keeps cookies, follows redirects,
// and answers oidc-provider's forms.
type agent struct {
	t      *testing.T
	client *http.Client
	stop   string // the redirect URL: where a callback begins, which is not followed
	login  string // at the server
}

func newAgent(t *testing.T, redirectURL string) *agent {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, stop: redirectURL, login: "alice"}
	a.client = &http.Client{
		Jar: jar, Timeout: patience,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), a.stop) || len(via) > 10 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
	return a
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)
	formPrompt = regexp.MustCompile(`name="prompt" value="([^"]+)"`)
	formField  = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)
	abortLink  = regexp.MustCompile(`href="([^"]+/abort)"`)
)

// passServer goes from the authorize URL to the callback's parameters.
func (a *agent) passServer(authorizeURL string, consent bool) url.Values {
	a.t.Helper()
	res, err := a.client.Get(authorizeURL)
	for range 5 {
		if err != nil {
			a.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			a.t.Fatal(err)
		}
		if location := res.Header.Get("Location"); strings.HasPrefix(location, a.stop) {
			u, err := url.Parse(location)
			if err != nil {
				a.t.Fatal(err)
			}
			return u.Query()
		}
		page := string(body)
		action := formAction.FindStringSubmatch(page)
		if action == nil {
			a.t.Fatalf("%s answered %d:\n%s", res.Request.URL, res.StatusCode, page)
		}
		target := html.UnescapeString(action[1])
		if target == a.stop { // form_post, with status 400 when it brings an error
			callback := url.Values{}
			for _, field := range formField.FindAllStringSubmatch(page, -1) {
				callback.Add(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
			}
			return callback
		}
		prompt := formPrompt.FindStringSubmatch(page)
		switch {
		case prompt == nil:
			a.t.Fatalf("an unknown form:\n%s", page)
		case prompt[1] == "consent" && !consent:
			res, err = a.client.Get(html.UnescapeString(abortLink.FindStringSubmatch(page)[1]))
		case prompt[1] == "consent":
			res, err = a.client.PostForm(target, url.Values{"prompt": {"consent"}})
		default:
			res, err = a.client.PostForm(target, url.Values{"prompt": {"login"}, "login": {a.login}, "password": {"wonderland"}})
		}
		if err != nil {
			a.t.Fatal(err)
		}
	}
	a.t.Fatal("the server's pages do not end")
	return nil
}
