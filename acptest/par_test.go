package acptest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acptest"
)

// push sends an authorization request through the back channel.
func (c *client) push(params url.Values, header http.Header) answer {
	c.t.Helper()
	return c.send("POST", c.s.URL(acptest.PAREndpoint), params.Encode(), header)
}

func (c *client) pushedURL(id, uri string) string {
	return c.s.URL(acptest.AuthorizeEndpoint) + "?" + url.Values{"client_id": {id}, "request_uri": {uri}}.Encode()
}

func TestPAR(t *testing.T) {
	c := newClient(t, &acptest.Options{RequirePAR: true})
	meta := c.get(c.s.URL(acptest.MetadataEndpoint), nil)
	if meta.json["require_pushed_authorization_requests"] != true || meta.json["pushed_authorization_request_endpoint"] != c.s.URL(acptest.PAREndpoint) {
		t.Errorf("metadata %s", meta.body)
	}
	params := c.params()
	var scopes []string
	c.s.OnAuthorize(func(a *acptest.Authorization) { scopes = a.Scopes })
	a := c.push(params, c.basic())
	uri := text(a.json, "request_uri")
	if a.status != 201 || uri == "" || a.json["expires_in"] != 60.0 || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	back := c.get(c.pushedURL(c.s.ClientID, uri), nil)
	location, err := url.Parse(back.header.Get("Location"))
	if err != nil || back.status != 302 || location.Query().Get("state") != params.Get("state") || !slices.Contains(scopes, "profile") {
		t.Fatalf("%d %v %v", back.status, back.header, scopes)
	}
	if a := c.token(c.tokenForm(location.Query().Get("code")), c.basic()); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if b := c.push(c.params(), c.basic()); text(b.json, "request_uri") == uri {
		t.Error("a request_uri comes twice")
	}
}

// What a client may do without breaking a rule, and what is refused all the same.
func TestRequestURIRefusals(t *testing.T) {
	now := time.Now()
	c := newClient(t, &acptest.Options{PARTTL: 30 * time.Second, Now: func() time.Time { return now }})
	c.s.Register(acptest.Client{ID: "other"})
	uri := text(c.push(c.params(), c.basic()).json, "request_uri")
	for name, address := range map[string]string{
		"another client's": c.pushedURL("other", uri),
		"unknown":          c.pushedURL(c.s.ClientID, uri+"x"),
	} {
		if a := c.get(address, nil); a.status != 400 || a.header.Get("Location") != "" || !strings.Contains(string(a.body), "invalid_request_uri") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := c.get(c.pushedURL(c.s.ClientID, uri), nil); a.status != 302 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := c.get(c.pushedURL(c.s.ClientID, uri), nil); a.status != 400 || a.header.Get("Location") != "" {
		t.Errorf("used twice: %d %s", a.status, a.body)
	}
	late := text(c.push(c.params(), c.basic()).json, "request_uri")
	now = now.Add(30 * time.Second)
	if a := c.get(c.pushedURL(c.s.ClientID, late), nil); a.status != 400 || a.header.Get("Location") != "" {
		t.Errorf("expired: %d %s", a.status, a.body)
	}
}

func TestPARFaults(t *testing.T) {
	rows := []struct {
		name   string
		rule   acptest.Rule // "" breaks none
		status int
		send   func(c *client) answer
	}{
		{"AZ-30 plain request", acptest.RulePAR, 400, func(c *client) answer {
			return c.get(c.s.URL(acptest.AuthorizeEndpoint)+"?"+c.params().Encode(), nil)
		}},
		{"AZ-30 parameter beside the reference", acptest.RulePAR, 302, func(c *client) answer {
			uri := text(c.push(c.params(), c.basic()).json, "request_uri")
			return c.get(c.pushedURL(c.s.ClientID, uri)+"&login_hint=alice", nil)
		}},
		{"request_uri in the body", acptest.RulePAR, 400, func(c *client) answer {
			v := c.params()
			v.Set("request_uri", "urn:x")
			return c.push(v, c.basic())
		}},
		{"no client_id in the body", acptest.RulePAR, 400, func(c *client) answer {
			v := c.params()
			v.Del("client_id")
			return c.push(v, c.basic())
		}},
		{"no redirect_uri, which ACP demands", "", 400, func(c *client) answer {
			v := c.params()
			v.Del("redirect_uri")
			return c.push(v, c.basic())
		}},
		{"not authenticated", acptest.RuleClientAuth, 401, func(c *client) answer { return c.push(c.params(), form()) }},
		{"wrong secret", "", 401, func(c *client) answer {
			h := form()
			h.Set("Authorization", basicOf(c.s.ClientID, "wrong"))
			return c.push(c.params(), h)
		}},
		{"GET", acptest.RuleMethod, 405, func(c *client) answer { return c.get(c.s.URL(acptest.PAREndpoint), c.basic()) }},
		{"JSON", acptest.RuleContentType, 400, func(c *client) answer {
			h := c.basic()
			h.Set("Content-Type", "application/json")
			return c.send("POST", c.s.URL(acptest.PAREndpoint), "{}", h)
		}},
		{"secret in the URL", acptest.RuleSecretInURL, 201, func(c *client) answer {
			return c.send("POST", c.s.URL(acptest.PAREndpoint)+"?client_secret=x", c.params().Encode(), c.basic())
		}},
		{"no PKCE", acptest.RulePKCE, 201, func(c *client) answer {
			v := c.params()
			v.Del("code_challenge")
			v.Del("code_challenge_method")
			return c.push(v, c.basic())
		}},
		{"AZ-01 token", acptest.RuleResponseType, 400, func(c *client) answer {
			v := c.params()
			v.Set("response_type", "token")
			return c.push(v, c.basic())
		}},
		{"redirect_uri", acptest.RuleRedirectURI, 400, func(c *client) answer {
			v := c.params()
			v.Set("redirect_uri", "http://app.example/")
			return c.push(v, c.basic())
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			rec := &recorder{TB: t}
			c := &client{t: t, s: acptest.NewServer(rec, &acptest.Options{RequirePAR: true})}
			a := row.send(c)
			if a.status != row.status || (a.status >= 400 && a.header.Get("Location") != "") {
				t.Errorf("%d %s", a.status, a.body)
			}
			var rules []acptest.Rule
			for _, b := range c.s.Breaches() {
				rules = append(rules, b.Rule)
			}
			if want := slices.DeleteFunc([]acptest.Rule{row.rule}, func(r acptest.Rule) bool { return r == "" }); !slices.Equal(rules, want) {
				t.Errorf("breaches of %q, want %q", rules, want)
			}
		})
	}
}
