package middleware_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

const mfa = "urn:acp:mfa"

// stepUpCluster has a page /transfer that needs more.
func stepUpCluster(t *testing.T, stored bool, need *middleware.StepUp, edit func(*setup)) *cluster {
	t.Helper()
	c := newCluster(t, 2, func(s *setup) {
		if !stored {
			s.config.Store = nil
		}
		if edit != nil {
			edit(s)
		}
	})
	for _, r := range c.replicas {
		protect, err := r.auth.RequireStepUp(need)
		if err != nil {
			t.Fatal(err)
		}
		page := protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.served.Add(1)
			fmt.Fprint(w, "transfer by ", middleware.SessionFromContext(r.Context()).Subject)
		}))
		before := r.handler
		r.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/transfer") {
				page.ServeHTTP(w, r)
				return
			}
			before.ServeHTTP(w, r)
		})
	}
	if !stored {
		c.handler = c.replicas[0].handler
	}
	return c
}

// The page sends a user who is too weak or too old to the server, who comes back strong enough to the same
// page; the session of before gives way.
func TestStepUp(t *testing.T) {
	minutes := func(n int) *time.Duration { return new(time.Duration(n) * time.Minute) }
	for name, row := range map[string]struct {
		need middleware.StepUp
		acr  string // of the first login
		age  time.Duration
		sent string
	}{
		"acr":              {middleware.StepUp{ACRValues: []string{mfa}}, "urn:acp:pwd", 0, "acr_values=" + mfa},
		"acr, none before": {middleware.StepUp{ACRValues: []string{mfa}}, "", 0, "acr_values=" + mfa},
		"acr, a prefix":    {middleware.StepUp{ACRValues: []string{mfa}}, mfa + "x", 0, "acr_values=" + mfa},
		"acr, upper case":  {middleware.StepUp{ACRValues: []string{mfa}}, strings.ToUpper(mfa), 0, "acr_values=" + mfa},
		"one of two":       {middleware.StepUp{ACRValues: []string{mfa, "urn:acp:hwk"}}, "urn:acp:pwd", 0, "acr_values=" + mfa + " urn:acp:hwk"},
		"max_age":          {middleware.StepUp{MaxAge: minutes(5)}, "", 5*time.Minute + 2*time.Second, "max_age=300"},
		"both, acr lacks":  {middleware.StepUp{ACRValues: []string{mfa}, MaxAge: minutes(5)}, "", 0, "max_age=300"},
		"both, too old":    {middleware.StepUp{ACRValues: []string{mfa}, MaxAge: minutes(5)}, mfa, 6 * time.Minute, "acr_values=" + mfa},
		"satisfied, acr":   {middleware.StepUp{ACRValues: []string{"x", mfa}}, mfa, 0, ""},
		"satisfied, age":   {middleware.StepUp{MaxAge: minutes(5)}, "", 4 * time.Minute, ""},
		"satisfied, both":  {middleware.StepUp{ACRValues: []string{mfa}, MaxAge: minutes(5)}, mfa, 4 * time.Minute, ""},
	} {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", stored ", stored), func(t *testing.T) {
				c := stepUpCluster(t, stored, &row.need, nil)
				c.server.OnAuthorize(func(a *acptest.Authorization) {
					if a.Params.Get("acr_values") == "" && a.Params.Get("max_age") == "" {
						a.ACR, a.AuthTime = row.acr, time.Now().Add(-row.age)
						return
					}
					a.AuthTime = time.Now()
				})
				held := c.signIn()
				asked := c.server.Count(acptest.AuthorizeEndpoint)
				served := c.served.Load()
				f := request("GET", site+"/transfer", held)
				f.Header.Set("Sec-Fetch-Mode", "cors")
				w := c.serve(f)
				if want := map[bool]int{true: 401, false: 200}[row.sent != ""]; w.Code != want || sets(w.Header(), txPrefix) || w.Header().Get("Location") != "" || c.served.Load()-served != int64(map[int]int{200: 1}[want]) {
					t.Errorf("a fetch: %d", w.Code)
				}
				for _, method := range []string{"POST", "HEAD", "DELETE"} {
					w := c.serve(request(method, site+"/transfer", held))
					if w.Code == 200 != (row.sent == "") || sets(w.Header(), txPrefix) {
						t.Errorf("%s: %d", method, w.Code)
					}
				}
				p := c.browser.Navigate(site + "/transfer?to=bob&amount=1%2F2")
				if p.Body() != "transfer by alice" || p.URL().RequestURI() != "/transfer?to=bob&amount=1%2F2" {
					t.Fatalf("ended at %s with %d %s\n%s", p.URL(), p.Status(), p.Body(), c.logs)
				}
				n := c.server.Count(acptest.AuthorizeEndpoint) - asked
				if row.sent == "" {
					if n != 0 || len(p.Steps) != 1 {
						t.Errorf("%d logins for nothing", n)
					}
					return
				}
				if n != 1 {
					t.Errorf("%d authorize requests", n)
				}
				q := c.server.Requests(acptest.AuthorizeEndpoint)[asked].Query
				if key, value, _ := strings.Cut(row.sent, "="); q.Get(key) != value {
					t.Errorf("sent %s", q.Encode())
				}
				if c.cookieHeader() == held {
					t.Error("the session of before stays")
				}
				if code, _, _ := c.replicas[0].get("/profile", held); code == 200 {
					t.Error("CB-33: the session of before serves")
				}
				if p := c.browser.Navigate(site + "/transfer"); p.Body() != "transfer by alice" || len(p.Steps) != 1 {
					t.Errorf("the second time: %d after %d steps", p.Status(), len(p.Steps))
				}
			})
		}
	}
}

// A server that never satisfies: the user is told, nobody runs in circles, and the session of before stays.
func TestStepUpLoopGuard(t *testing.T) {
	for name, row := range map[string]struct {
		need   middleware.StepUp
		server func(c *cluster, a *acptest.Authorization)
		status int
		reason string
	}{
		"another acr": {middleware.StepUp{ACRValues: []string{mfa}}, func(_ *cluster, a *acptest.Authorization) { a.ACR = "urn:acp:pwd" }, 403, "acr"},
		"no acr":      {middleware.StepUp{ACRValues: []string{mfa}}, func(_ *cluster, a *acptest.Authorization) { a.ACR = "" }, 403, "acr"},
		"too old, by the clocks' difference": {middleware.StepUp{MaxAge: new(time.Minute)}, func(c *cluster, a *acptest.Authorization) {
			a.AuthTime = time.Now().Add(-90 * time.Second) // within what is forgiven in an ID token
		}, 403, "auth_time"},
		"far too old":  {middleware.StepUp{MaxAge: new(time.Minute)}, func(c *cluster, a *acptest.Authorization) { a.AuthTime = time.Now().Add(-time.Hour) }, 502, "auth_time"},
		"no auth_time": {middleware.StepUp{MaxAge: new(time.Minute)}, func(c *cluster, a *acptest.Authorization) { a.AuthTime = time.Time{} }, 502, "auth_time"},
		"refuses":      {middleware.StepUp{ACRValues: []string{mfa}}, func(c *cluster, a *acptest.Authorization) { a.Error = "access_denied" }, 403, "provider_error:access_denied"},
		"cannot":       {middleware.StepUp{ACRValues: []string{mfa}}, func(c *cluster, a *acptest.Authorization) { a.Error = "unmet_authentication_requirements" }, 502, "provider_error:unmet_authentication_requirements"},
	} {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", stored ", stored), func(t *testing.T) {
				c := stepUpCluster(t, stored, &row.need, nil)
				c.server.OnAuthorize(func(a *acptest.Authorization) { a.AuthTime = time.Now().Add(-3 * time.Minute) })
				held := c.signIn()
				c.server.OnAuthorize(func(a *acptest.Authorization) { row.server(c, a) })
				for range 2 {
					asked, served := c.server.Count(acptest.AuthorizeEndpoint), c.served.Load()
					p := c.browser.Navigate(site + "/transfer")
					if p.Status() != row.status || p.URL().Path != "/callback" || c.server.Count(acptest.AuthorizeEndpoint) != asked+1 || c.served.Load() != served {
						t.Fatalf("%d at %s after %d authorize requests\n%s", p.Status(), p.URL(), c.server.Count(acptest.AuthorizeEndpoint)-asked, c.logs)
					}
					if !strings.Contains(c.logs.String(), "reason="+row.reason) || strings.Contains(p.Body(), mfa) {
						t.Errorf("%s\n%s", p.Body(), c.logs)
					}
					if c.cookieHeader() != held {
						t.Error("the session of before changed")
					}
				}
				if p := c.browser.Navigate(site + "/profile"); p.Body() != "alice" {
					t.Errorf("the session of before: %d", p.Status())
				}
			})
		}
	}
}

// Nobody is signed in: the plain login first, then the stronger one, once.
func TestStepUpWithoutSession(t *testing.T) {
	c := stepUpCluster(t, true, &middleware.StepUp{ACRValues: []string{mfa}}, nil)
	p := c.browser.Navigate(site + "/transfer/now?x=1#end")
	if p.Body() != "transfer by alice" || p.URL().RequestURI() != "/transfer/now?x=1" || c.server.Count(acptest.AuthorizeEndpoint) > 2 {
		t.Errorf("%d at %s after %d logins", p.Status(), p.URL(), c.server.Count(acptest.AuthorizeEndpoint))
	}
	if code, _ := c.replicas[0].fetch("/transfer", ""); code != 401 {
		t.Errorf("a fetch: %d", code)
	}
}

// What a login asks for is decided by the page, not by whoever brings the callback: a plain login does
// not pass for a stronger one, nor may its transaction be taken for the other's.
func TestStepUpIsSealed(t *testing.T) {
	c := stepUpCluster(t, true, &middleware.StepUp{ACRValues: []string{mfa}}, nil)
	c.signIn()
	c.server.OnAuthorize(func(a *acptest.Authorization) { a.ACR = "urn:acp:pwd" })
	strong := c.browser.NavigateUntil(site+"/transfer", func(u *url.URL) bool { return u.Path == "/callback" })
	if w := c.serve(request("GET", strong.Next.String(), c.cookieHeader())); w.Code != 403 || sets(w.Header(), sessionPrefix) {
		t.Errorf("the stronger login: %d", w.Code)
	}
	strong = c.browser.NavigateUntil(site+"/transfer", func(u *url.URL) bool { return u.Path == "/callback" })
	plain := c.callback(c.browser.Tab(), "/login?return_to=/transfer")
	mixed := *strong.Next
	q := mixed.Query()
	q.Set("state", plain.Next.Query().Get("state"))
	mixed.RawQuery = q.Encode()
	if w := c.serve(request("GET", mixed.String(), c.cookieHeader())); w.Code == 303 || sets(w.Header(), sessionPrefix) {
		t.Errorf("one's code with the other's state: %d", w.Code)
	}
}

// The settings of every login go on being sent, but for what the page asks for itself.
func TestStepUpKeepsTheOptions(t *testing.T) {
	c := stepUpCluster(t, true, &middleware.StepUp{MaxAge: new(time.Minute)}, func(s *setup) {
		s.config.Authorize = &acpclient.AuthorizeOptions{ACRValues: []string{"urn:acp:pwd"}, UILocales: []string{"de"}, MaxAge: new(time.Hour)}
	})
	c.server.OnAuthorize(func(a *acptest.Authorization) { a.AuthTime = time.Now().Add(-2 * time.Minute) })
	c.signIn()
	c.server.OnAuthorize(nil)
	if p := c.browser.Navigate(site + "/transfer"); p.Body() != "transfer by alice" {
		t.Fatalf("%d %s\n%s", p.Status(), p.Body(), c.logs)
	}
	asked := c.server.Requests(acptest.AuthorizeEndpoint)
	q := asked[len(asked)-1].Query
	if q.Get("acr_values") != "urn:acp:pwd" || q.Get("ui_locales") != "de" || q.Get("max_age") != "60" {
		t.Errorf("sent %s", q.Encode())
	}
	asked = asked[:1]
	if q := asked[0].Query; q.Get("max_age") != "3600" {
		t.Errorf("the plain login sent %s", q.Encode())
	}
}

func TestStepUpMistakes(t *testing.T) { // CF-01
	a := newApp(t, nil)
	for name, row := range map[string]struct {
		need *middleware.StepUp
		want []string
	}{
		"nil":                {nil, []string{"nothing"}},
		"zero":               {&middleware.StepUp{}, []string{"nothing"}},
		"empty":              {&middleware.StepUp{ACRValues: []string{}}, []string{"nothing"}},
		"no time":            {&middleware.StepUp{MaxAge: new(time.Duration(0))}, []string{"MaxAge"}},
		"less than a minute": {&middleware.StepUp{MaxAge: new(59 * time.Second)}, []string{"MaxAge"}},
		"negative":           {&middleware.StepUp{MaxAge: new(-time.Hour)}, []string{"MaxAge"}},
		"half a second":      {&middleware.StepUp{MaxAge: new(time.Minute + time.Second/2)}, []string{"MaxAge"}},
		"a space in an acr":  {&middleware.StepUp{ACRValues: []string{"a b"}, MaxAge: new(time.Second)}, []string{"ACRValues", "StepUp.MaxAge"}},
		"an empty acr":       {&middleware.StepUp{ACRValues: []string{""}}, []string{"ACRValues"}},
	} {
		protect, err := a.auth.RequireStepUp(row.need)
		if err == nil || protect != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range row.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// It is copied, and a nil handler is none.
	need := &middleware.StepUp{ACRValues: []string{mfa}}
	protect, err := a.auth.RequireStepUp(need)
	if err != nil {
		t.Fatal(err)
	}
	need.ACRValues[0] = ""
	a.login()
	if w := serve(protect(nil), request("GET", site+"/", a.cookieHeader())); w.Code != 303 || !strings.Contains(w.Header().Get("Location"), url.QueryEscape(mfa)) {
		t.Errorf("a copy: %d to %s", w.Code, w.Header().Get("Location"))
	}
	// A program that ends starts nothing.
	if err := a.auth.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := serve(protect(nil), request("GET", site+"/", a.cookieHeader())); w.Code != 503 || sets(w.Header(), txPrefix) {
		t.Errorf("RL-21: after Close: %d", w.Code)
	}
}
