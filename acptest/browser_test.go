package acptest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/acp-go/acp/acptest"
)

func TestCookieRules(t *testing.T) {
	big := strings.Repeat("x", 4096)
	rows := []struct{ name, address, line, dropped string }{
		{"plain", "http://app.example/", "a=b", ""},
		{"SE-01 host prefix", "https://app.example/", "__Host-a=b; Secure; Path=/; HttpOnly", ""},
		{"host prefix over loopback http", "http://127.0.0.1:80/", "__Host-a=b; Secure; Path=/", ""},
		{"SE-02 host prefix, Domain", "https://app.example/", "__Host-a=b; Secure; Path=/; Domain=app.example", "no Domain"},
		{"SE-02 host prefix, Path", "https://app.example/", "__Host-a=b; Secure; Path=/x", "Path=/"},
		{"SE-02 host prefix, no Path", "https://app.example/", "__Host-a=b; Secure", "Path=/"},
		{"SE-02 host prefix, not Secure", "https://app.example/", "__Host-a=b; Path=/", "demands Secure"},
		{"CB-31 delete without Secure", "https://app.example/", "__Host-a=; Path=/; Max-Age=0", "demands Secure"},
		{"prefix in lower case", "https://app.example/", "__host-a=b; Path=/", "demands Secure"},
		{"secure prefix", "https://app.example/", "__Secure-a=b", "demands Secure"},
		{"http prefix", "https://app.example/", "__Host-Http-a=b; Secure; Path=/", "HttpOnly"},
		{"Secure over http", "http://app.example/", "a=b; Secure", "insecure connection"},
		{"SameSite=None alone", "https://app.example/", "a=b; SameSite=None", "demands Secure"},
		{"too long", "https://app.example/", "a=" + big, "4096"},
		{"foreign Domain", "https://app.example/", "a=b; Domain=other.example", "Domain"},
		{"top level Domain", "https://app.example/", "a=b; Domain=example", "Domain"},
		{"parent Domain", "https://a.app.example/", "a=b; Domain=app.example", ""},
		{"malformed", "https://app.example/", "=", "malformed"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := acptest.NewBrowser(t)
			dropped := b.SetCookie(row.address, row.line)
			if row.dropped == "" && (dropped != "" || len(b.Cookies(row.address)) != 1) {
				t.Errorf("dropped: %q, cookies %v", dropped, b.Cookies(row.address))
			}
			if row.dropped != "" && (!strings.Contains(dropped, row.dropped) || len(b.Cookies(row.address)) != 0) {
				t.Errorf("dropped: %q, cookies %v", dropped, b.Cookies(row.address))
			}
		})
	}
}

func TestCookieScope(t *testing.T) {
	b := acptest.NewBrowser(t)
	b.SetCookie("https://app.example/a/b", "p=1; Path=/a")
	b.SetCookie("https://app.example/", "s=1; Secure")
	b.SetCookie("https://app.example/", "d=1; Domain=app.example")
	b.SetCookie("http://127.0.0.1:1/", "port=1")
	for address, want := range map[string]int{
		"https://app.example/a": 3, "https://app.example/a/x": 3, "https://app.example/ab": 2,
		"http://app.example/": 1, "https://x.app.example/": 1, "http://127.0.0.1:2/": 1, "http://localhost:1/": 0,
	} {
		if got := b.Cookies(address); len(got) != want {
			t.Errorf("%s gets %v, want %d", address, got, want)
		}
	}
	if why := b.SetCookie("http://app.example/", "s=2"); why == "" {
		t.Error("an insecure page overwrote a Secure cookie")
	}
	b.SetCookie("https://app.example/", "s=; Max-Age=0")
	if b.Cookie("https://app.example/", "s") != "" {
		t.Error("the cookie was not deleted")
	}
	for i := range 200 {
		b.SetCookie("https://many.example/", fmt.Sprintf("c%d=1", i))
	}
	if got := b.Cookies("https://many.example/"); len(got) != 180 || got[0].Name != "c20" {
		t.Errorf("%d cookies, the first is %q", len(got), got[0].Name)
	}
	b.ClearCookies()
	if len(b.Cookies("https://many.example/")) != 0 {
		t.Error("cookies are left")
	}
}

// echo answers with what the browser sent.
func echo(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, name := range []string{"Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-Dest", "Sec-Fetch-User", "Origin", "Referer", "Cookie"} {
		w.Header().Set("Echo-"+name, r.Header.Get(name))
	}
	w.Header().Set("Echo-Form", r.Method+" "+r.Form.Encode())
	w.Header().Set("Referrer-Policy", r.Form.Get("policy"))
	fmt.Fprint(w, `<form method=post action="/next"><input name=q value="a&amp;b"><input type=submit name=s value=1><input type=checkbox name=c checked></form>`)
}

func TestNavigationHeaders(t *testing.T) {
	b := acptest.NewBrowser(t)
	app, other := "https://app.example", "https://other.example"
	redirects := http.NewServeMux()
	redirects.HandleFunc("/", echo)
	redirects.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other+"/hop", http.StatusTemporaryRedirect)
	})
	b.Mount(app, redirects)
	b.Mount("https://sub.app.example", http.HandlerFunc(echo))
	b.Mount("http://plain.example", http.HandlerFunc(echo))
	b.Mount(other, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hop" {
			http.Redirect(w, r, app+"/landed", http.StatusTemporaryRedirect)
			return
		}
		echo(w, r)
	}))
	for _, c := range []string{"strict=1; Secure; SameSite=Strict", "lax=1; Secure; SameSite=Lax", "none=1; Secure; SameSite=None", "default=1; Secure"} {
		if why := b.SetCookie(app+"/", c); why != "" {
			t.Fatal(why)
		}
	}
	all, lax, none := "strict=1; lax=1; none=1; default=1", "lax=1; none=1; default=1", "none=1"
	type want struct{ mode, site, user, origin, cookie string }
	check := func(name string, s *acptest.Step, w want) {
		t.Helper()
		h := s.ResponseHeader
		got := want{h.Get("Echo-Sec-Fetch-Mode"), h.Get("Echo-Sec-Fetch-Site"), h.Get("Echo-Sec-Fetch-User"), h.Get("Echo-Origin"), h.Get("Echo-Cookie")}
		if got != w {
			t.Errorf("%s: %+v, want %+v", name, got, w)
		}
	}
	check("typed", b.Navigate(app+"/").Last(), want{"navigate", "none", "?1", "", all})
	check("typed, via another site", b.Navigate(app+"/away").Last(), want{"navigate", "none", "?1", "", all})
	check("link from another site", b.NavigateFrom(other+"/", app+"/").Last(), want{"navigate", "cross-site", "?1", "", lax})
	check("link from a sibling", b.NavigateFrom("https://sub.app.example/", app+"/").Last(), want{"navigate", "same-site", "?1", "", all})
	check("link that leaves and returns", b.NavigateFrom(app+"/", app+"/away").Last(), want{"navigate", "cross-site", "?1", "", all})
	check("post from another site", b.PostFrom(other+"/", app+"/", url.Values{}).Last(), want{"navigate", "cross-site", "?1", other, none})
	check("post from the same origin", b.PostFrom(app+"/", app+"/", url.Values{}).Last(), want{"navigate", "same-origin", "?1", app, all})
	check("post that leaves and returns", b.PostFrom(app+"/", app+"/away", url.Values{}).Last(), want{"navigate", "cross-site", "?1", "null", all})
	check("fetch", b.Fetch("GET", app+"/", nil), want{"cors", "same-origin", "", "", all})
	check("fetch from another site", b.Fetch("GET", app+"/", &acptest.FetchOptions{From: other + "/"}), want{"cors", "cross-site", "", other, none})
	check("image from another site", b.Fetch("GET", app+"/", &acptest.FetchOptions{From: other + "/", Mode: "no-cors", Dest: "image"}), want{"no-cors", "cross-site", "", "", none})
	check("fetch post", b.Fetch("POST", app+"/", nil), want{"cors", "same-origin", "", app, all})
	check("insecure page", b.Navigate("http://plain.example/").Last(), want{"", "", "", "", ""})

	page := b.Navigate(app + "/form?policy=no-referrer").Submit(url.Values{"extra": {"1"}, "q": {"new"}})
	check("form on a no-referrer page", page.Last(), want{"navigate", "same-origin", "?1", "null", all})
	page = b.Navigate(app + "/form").Submit(url.Values{"s": {"1"}})
	if got := page.Last().ResponseHeader.Get("Echo-Form"); got != "POST c=on&q=a%26b&s=1" {
		t.Errorf("the form sent %q", got)
	}
	if got := page.Last().ResponseHeader.Get("Echo-Referer"); got != app+"/form" {
		t.Errorf("Referer %q", got)
	}
	if got := page.Click(other + "/").Last().ResponseHeader.Get("Echo-Referer"); got != app+"/" {
		t.Errorf("Referer %q", got)
	}
	if got := len(b.Log()); got == 0 || b.Log()[got-1].URL.Host != "other.example" {
		t.Errorf("log of %d", got)
	}
}

func TestRedirectMethods(t *testing.T) {
	for status, want := range map[int]string{301: "GET ", 302: "GET ", 303: "GET ", 307: "POST a=1", 308: "POST a=1"} {
		b := acptest.NewBrowser(t)
		mux := http.NewServeMux()
		mux.Handle("/from", acptest.RedirectTo(status, "/to"))
		mux.HandleFunc("/to", echo)
		b.Mount("https://app.example", mux)
		page := b.PostFrom("https://app.example/", "https://app.example/from", url.Values{"a": {"1"}})
		if got := page.Last().ResponseHeader.Get("Echo-Form"); got != want || len(page.Steps) != 2 {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}

func TestBrowserFailures(t *testing.T) {
	loop := acptest.RedirectTo(302, "/")
	rows := []struct {
		name, text string
		do         func(*acptest.Browser)
	}{
		{"loop", "gives up after 25", func(b *acptest.Browser) { b.Navigate("https://app.example/") }},
		{"no answer", "no answer", func(b *acptest.Browser) { b.Navigate("http://127.0.0.1:1/") }},
		{"cut", "no answer", func(b *acptest.Browser) {
			b.Mount("https://app.example", acptest.Reset())
			b.Fetch("GET", "https://app.example/", nil)
		}},
		{"script address", "does not follow", func(b *acptest.Browser) {
			b.Mount("https://app.example", acptest.RedirectTo(302, "javascript:alert(1)"))
			b.Navigate("https://app.example/")
		}},
		{"relative address", "not an absolute", func(b *acptest.Browser) { b.SetCookie("/", "a=b") }},
		{"no form", "0 forms", func(b *acptest.Browser) {
			b.Mount("https://app.example", acptest.Answer(200, "text/html", "<p>"))
			b.Navigate("https://app.example/").Submit(nil)
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			rec := &recorder{TB: t}
			b := acptest.NewBrowser(rec)
			b.Mount("https://app.example", loop)
			row.do(b)
			if len(rec.failures) != 1 || !strings.Contains(rec.text(), row.text) {
				t.Errorf("failures %q, want %q", rec.failures, row.text)
			}
		})
	}
}

func TestBrowserWalksALogin(t *testing.T) {
	for _, mode := range []string{"query", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			c := newClient(t, &acptest.Options{Interactive: true, Users: []acptest.User{{Subject: "alice"}, {Subject: "bob"}}})
			b := c.s.Browser()
			b.Mount("https://app.example", http.HandlerFunc(echo))
			b.SetCookie("https://app.example/", "tx=1; Secure; SameSite=Lax")
			params := c.params()
			params.Set("response_mode", mode)
			start := c.s.URL(acptest.AuthorizeEndpoint) + "?" + params.Encode()

			signIn := b.Navigate(start)
			if signIn = signIn.Submit(url.Values{"action": {"signin"}, "username": {"nobody"}}); !strings.Contains(signIn.Body(), "username") {
				t.Fatal(signIn.Body())
			}
			consent := signIn.Submit(url.Values{"action": {"signin"}, "username": {"bob"}})
			if !strings.Contains(consent.Body(), "profile") {
				t.Fatal(consent.Body())
			}
			done := consent.Submit(url.Values{"action": {"accept"}})
			if done.URL().Host != "app.example" || done.Status() != 200 {
				t.Fatalf("ended at %v", done.URL())
			}
			got := done.Last().ResponseHeader
			if mode == "form_post" {
				if got.Get("Echo-Cookie") != "" || got.Get("Echo-Sec-Fetch-User") != "" || !strings.HasPrefix(got.Get("Echo-Form"), "POST code=") {
					t.Errorf("form_post: %v", got)
				}
			} else if got.Get("Echo-Cookie") != "tx=1" {
				t.Errorf("query: %v", got)
			}
			v, err := url.ParseQuery(strings.SplitN(got.Get("Echo-Form"), " ", 2)[1])
			if err != nil {
				t.Fatal(err)
			}
			tokens := c.token(c.tokenForm(v.Get("code")), c.basic())
			if _, id := payload(t, text(tokens.json, "id_token")); id["sub"] != "bob" {
				t.Errorf("%s", tokens.body)
			}

			silent := c.params()
			silent.Set("prompt", "none")
			if p := b.Tab().Navigate(c.s.URL(acptest.AuthorizeEndpoint) + "?" + silent.Encode()); !p.URL().Query().Has("code") {
				t.Errorf("prompt=none with a session: %v", p.URL())
			}
			again := c.params()
			again.Set("prompt", "login")
			if p := b.Navigate(c.s.URL(acptest.AuthorizeEndpoint) + "?" + again.Encode()); !strings.Contains(p.Body(), "username") {
				t.Errorf("prompt=login: %s", p.Body())
			}
			refused := b.Navigate(c.s.URL(acptest.AuthorizeEndpoint) + "?" + c.params().Encode()).Submit(url.Values{"action": {"reject"}})
			if refused.URL().Query().Get("error") != "rejected" {
				t.Errorf("refused: %v", refused.URL())
			}
			b.Navigate(c.s.URL(acptest.LogoutEndpoint))
			silent = c.params()
			silent.Set("prompt", "none")
			if p := b.Navigate(c.s.URL(acptest.AuthorizeEndpoint) + "?" + silent.Encode()); p.URL().Query().Get("error") != "login_required" {
				t.Errorf("prompt=none after logout: %v", p.URL())
			}
		})
	}
}

func TestNavigateUntil(t *testing.T) {
	c := newClient(t, nil)
	b := c.s.Browser()
	b.Mount("https://app.example", http.HandlerFunc(echo))
	params := c.params()
	page := b.NavigateUntil(c.s.URL(acptest.AuthorizeEndpoint)+"?"+params.Encode(), func(u *url.URL) bool { return u.Host == "app.example" })
	if page.Next == nil || page.Next.Query().Get("state") != params.Get("state") || len(page.Steps) != 1 {
		t.Fatalf("stopped before %v", page.Next)
	}
	if end := page.Follow(); end.Next != nil || end.URL().Path != "/callback" || len(end.Steps) != 2 || end.Follow() != end {
		t.Errorf("ended at %v", end.URL())
	}
	if back := page.Follow().Back(); back.Status() != 200 || back.Last().ResponseHeader.Get("Echo-Sec-Fetch-Site") != "none" {
		t.Errorf("back: %v", back.Last())
	}
}
