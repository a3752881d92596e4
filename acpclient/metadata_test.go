package acpclient_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// JW-01: the issuer is compared byte for byte, both values are in the error, and nothing
// goes on.
func TestMetadataIssuer(t *testing.T) {
	for _, row := range []struct {
		name  string
		named func(iss string) any
	}{
		{"JW-01 slash added", func(iss string) any { return iss + "/" }},
		{"JW-01 case", func(iss string) any { return strings.Replace(iss, "acme", "Acme", 1) }},
		{"JW-01 another host", func(iss string) any { return "https://evil.example/acme/demo" }},
		{"JW-01 another name of the host", func(iss string) any { return strings.Replace(iss, "127.0.0.1", "localhost", 1) }},
		{"JW-01 another path", func(iss string) any { return strings.TrimSuffix(iss, "/demo") }},
		{"JW-01 percent-encoded", func(iss string) any { return strings.Replace(iss, "acme", "%61cme", 1) }},
		{"JW-01 a default port", func(iss string) any { return iss + ":80" }},
		{"JW-01 an escape sequence", func(iss string) any { return "https://evil.example/\x1b[2J" }},
		{"ID-08 a template", func(iss string) any { return strings.Replace(iss, "acme", "{tenantid}", 1) }},
		{"JW-01 empty", func(string) any { return "" }},
		{"JW-01 missing", func(string) any { return gone{} }},
		{"JW-01 null", func(string) any { return nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLab(t, acptest.Options{}, nil)
			named := row.named(l.server.Issuer)
			l.server.OnMetadata(func(m map[string]any) { claim{"issuer": named}.edit(m) })
			err := l.client.Ready(t.Context())
			wantReason(t, err, "issuer")
			if !errors.Is(err, acpclient.ErrInvalidResponse) {
				t.Errorf("not an ErrInvalidResponse: %v", err)
			}
			if text, _ := named.(string); !strings.Contains(err.Error(), l.server.Issuer) ||
				!strings.ContainsRune(text, '\x1b') && !strings.Contains(err.Error(), text) || strings.ContainsRune(err.Error(), '\x1b') {
				t.Errorf("the text lacks one of the two, or quotes it badly: %v", err)
			}
			if _, _, err := l.client.Authorize(t.Context(), nil); err == nil {
				t.Error("a login starts")
			}
			if n := l.count(acptest.JWKSEndpoint); n != 0 {
				t.Error("keys are fetched from a server of another name")
			}
		})
	}
}

// What is there must have the type that the specification gives it.
func TestMetadataTypes(t *testing.T) {
	for _, row := range []struct {
		name   string
		edit   claim
		reason string
	}{
		{"an honest document", claim{}, ""},
		{"JW-02 ISSUER is another member", claim{"ISSUER": "https://evil.example"}, ""},
		{"JW-02 TOKEN_ENDPOINT is another member", claim{"TOKEN_ENDPOINT": "javascript:alert(1)"}, ""},
		{"JW-02 JWKS_URI cannot replace jwks_uri", claim{"jwks_uri": gone{}, "JWKS_URI": "https://evil.example/keys"}, "unavailable"},
		{"JW-30 signed_metadata is ignored", claim{"signed_metadata": "e30.e30.AA"}, ""},
		{"JW-30 signed_jwks_uri is ignored", claim{"signed_jwks_uri": "http://169.254.169.254/"}, ""},
		{"null is absent", claim{"userinfo_endpoint": nil, "scopes_supported": nil}, ""},
		{"token_endpoint a number", claim{"token_endpoint": 7}, "metadata"},
		{"jwks_uri an array", claim{"jwks_uri": []string{"https://as.example/keys"}}, "metadata"},
		{"scopes_supported a string: no check depends on it", claim{"scopes_supported": "openid"}, ""},
		{"acr_values_supported holds a number", claim{"acr_values_supported": []any{1}}, ""},
		{"issuer a number", claim{"issuer": 7}, "metadata"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLab(t, acptest.Options{}, nil)
			l.server.OnMetadata(func(m map[string]any) { row.edit.edit(m) })
			wantReason(t, l.client.Ready(t.Context()), row.reason)
		})
	}
	for _, row := range []struct{ name, body, reason string }{
		{"not JSON", "<html>", "metadata"},
		{"empty", "", "metadata"},
		{"an array", "[]", "metadata"},
		{"no member", "{}", "issuer"},
		{"cut off", `{"issuer":"https://as.example"`, "metadata"},
		{"two documents", `{}{}`, "metadata"},
		{"JW-02 issuer twice", `{"issuer":"https://as.example","issuer":"https://evil.example"}`, "metadata"},
		{"RL-19 more than 1 MiB", `{"x":"` + strings.Repeat("x", 1<<20) + `"}`, "response_too_large"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLab(t, acptest.Options{}, nil)
			l.server.Handle(acptest.MetadataEndpoint, acptest.Answer(http.StatusOK, "application/json", row.body))
			err := l.client.Ready(t.Context())
			wantReason(t, err, row.reason)
			if len(err.Error()) > 512 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// forbiddenEndpoints are URLs that a server on 127.0.0.1 may not name.
var forbiddenEndpoints = []struct{ name, url string }{
	{"http", "http://as.example/x"},
	{"http to another port of a public host", "http://as.example:8080/x"},
	{"javascript", "javascript:alert(1)"},
	{"javascript with slashes", "javascript://127.0.0.1/%0aalert(1)"},
	{"data", "data:text/html,x"},
	{"file", "file:///etc/passwd"},
	{"ftp", "ftp://127.0.0.1/x"},
	{"relative", "/oauth2/token"},
	{"no scheme", "//127.0.0.1/x"},
	{"no host", "https:///x"},
	{"opaque", "https:as.example"},
	{"user information", "https://user:pass@as.example/x"},
	{"user information that looks like a host", "https://127.0.0.1@evil.example/x"},
	{"fragment", "https://as.example/x#y"},
	{"empty fragment", "https://as.example/x#"},
	{"control character", "https://as.example/x\ny"},
	{"space", "https://as.example/x y"},
	{"not ASCII", "https://as.example/é"},
	{"cloud metadata service", "https://169.254.169.254/latest/meta-data"},
	{"cloud metadata service, http", "http://169.254.169.254/latest/meta-data"},
	{"link-local IPv6", "https://[fe80::1]/x"},
	{"link-local IPv6 with a zone", "https://[fe80::1%25eth0]/x"},
	{"link-local in IPv6", "https://[::ffff:169.254.169.254]/x"},
	{"10/8", "https://10.0.0.1/x"},
	{"172.16/12", "https://172.31.255.255/x"},
	{"192.168/16", "https://192.168.1.1/x"},
	{"carrier-grade NAT", "https://100.64.0.1/x"},
	{"unique local IPv6", "https://[fd00::1]/x"},
	{"link-local behind NAT64", "https://[64:ff9b::a9fe:a9fe]/x"},
	{"private in IPv6", "https://[::ffff:10.0.0.1]/x"},
	{"carrier-grade NAT in IPv6", "https://[::ffff:100.64.0.1]/x"},
	{"0.0.0.0 in IPv6", "https://[::ffff:0.0.0.0]/x"},
	{"0.0.0.0", "https://0.0.0.0/x"},
	{"0.0.0.0 over http", "http://0.0.0.0/x"},
	{"the unspecified IPv6", "https://[::]/x"},
	{"the unspecified IPv6 over http", "http://[::]/x"},
	{"broadcast", "https://255.255.255.255/x"},
	{"multicast", "https://224.0.0.1/x"},
}

// JW-03, AZ-35: no request and no browser is sent to such a place.
func TestMetadataEndpoints(t *testing.T) {
	for _, member := range []string{
		"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint",
		"introspection_endpoint", "revocation_endpoint", "end_session_endpoint",
	} {
		l := newLab(t, acptest.Options{}, nil)
		for _, row := range forbiddenEndpoints {
			t.Run("JW-03 AZ-35 "+member+" "+row.name, func(t *testing.T) {
				l.client = l.newClient(nil)
				l.server.OnMetadata(func(m map[string]any) { m[member] = row.url })
				err := l.client.Ready(t.Context())
				wantReason(t, err, "metadata")
				if err != nil && !strings.Contains(err.Error(), member) {
					t.Errorf("the text does not name the member: %v", err)
				}
				if address, flow, err := l.client.Authorize(t.Context(), nil); err == nil || address != "" || flow != nil {
					t.Errorf("a login starts at %q: %v", address, err)
				}
			})
		}
		if n := l.count(acptest.JWKSEndpoint); n != 0 {
			t.Errorf("%s: %d requests for keys", member, n)
		}
	}
}

// The other side of JW-03: what is allowed.
func TestMetadataEndpointsAllowed(t *testing.T) {
	for _, address := range []string{
		"https://as.example/x", "https://as.example:8443/x?tenant=a", "https://127.0.0.1/x", "http://127.0.0.2:8080/x",
		"http://localhost:8080/x", "http://[::1]:8080/x", "https://8.8.8.8/x", "https://[2001:db8::1]/x",
	} {
		l := newLab(t, acptest.Options{}, nil)
		l.server.OnMetadata(func(m map[string]any) { m["userinfo_endpoint"] = address })
		if err := l.client.Ready(t.Context()); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// JW-03: what is near the issuer is far from a public one. The document of a server at
// another place is brought by a transport, so that no address needs to exist.
func TestMetadataEndpointsByIssuer(t *testing.T) {
	for _, row := range []struct {
		issuer, endpoint string
		allowed          bool
	}{
		{"https://as.example", "https://as.example/x", true},
		{"https://as.example", "https://other.example/x", true},
		{"https://as.example", "https://127.0.0.1/x", false},
		{"https://as.example", "http://127.0.0.1/x", false},
		{"https://as.example", "http://localhost/x", false},
		{"https://as.example", "https://localhost/x", false},
		{"https://as.example", "https://[::1]/x", false},
		{"https://as.example", "https://10.0.0.1/x", false},
		{"https://8.8.8.8", "https://10.0.0.1/x", false},
		{"https://10.0.0.1", "https://10.0.0.1/x", true},
		{"https://10.0.0.1", "https://192.168.0.1/x", true},
		{"https://10.0.0.1", "https://127.0.0.1/x", false},
		{"https://10.0.0.1", "https://169.254.169.254/x", false},
		{"https://10.0.0.1", "http://10.0.0.1/x", false},
		{"http://localhost:8080", "http://127.0.0.1:8080/x", true},
		{"http://localhost:8080", "https://10.0.0.1/x", false},
		{"http://[::1]:8080", "http://127.0.0.1:8080/x", true},
	} {
		t.Run("JW-03 "+row.issuer+" names "+row.endpoint, func(t *testing.T) {
			c, err := acpclient.New(acpclient.Config{Issuer: row.issuer, ClientID: "cid", Logger: slog.New(slog.DiscardHandler), Transport: bringer(
				`{"issuer":"` + row.issuer + `","token_endpoint":"` + row.endpoint + `"}`)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = c.Metadata(t.Context()); (err == nil) != row.allowed {
				t.Errorf("allowed: %v, %v", err == nil, err)
			}
		})
	}
}

// bringer answers every request with this document.
type bringer string

func (b bringer) RoundTrip(*http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	rec.Write([]byte(b))
	return rec.Result(), nil
}

// AZ-35: an endpoint that a login needs is missing.
func TestMetadataLacksEndpoints(t *testing.T) {
	for _, member := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri"} {
		for _, value := range []any{gone{}, nil, ""} {
			l := newLab(t, acptest.Options{}, nil)
			l.server.OnMetadata(func(m map[string]any) { claim{member: value}.edit(m) })
			address, flow, err := l.client.Authorize(t.Context(), nil)
			wantReason(t, err, "metadata")
			if address != "" || flow != nil || !errors.Is(err, acpclient.ErrInvalidResponse) {
				t.Errorf("%s %v: %q, %v", member, value, address, err)
			}
		}
	}
}

// The document is judged, and given to the caller as it is.
func TestMetadata(t *testing.T) {
	l := newLab(t, acptest.Options{IssParameter: true}, nil)
	l.server.OnMetadata(func(m map[string]any) { m["acr_values_supported"] = []string{"urn:acp:mfa"}; m["X"] = "upper" })
	m, err := l.client.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.Issuer != l.server.Issuer || m.TokenEndpoint != l.server.URL(acptest.TokenEndpoint) ||
		m.EndSessionEndpoint != l.server.URL(acptest.LogoutEndpoint) || !m.AuthorizationResponseIssParameterSupported ||
		!slices.Equal(m.IDTokenSigningAlgValuesSupported, []string{"RS256", "ES256", "PS256"}) {
		t.Errorf("%+v", m)
	}
	var own struct {
		MTLSIssuer string `json:"mtls_issuer"`
		Lower      string `json:"x"`
	}
	if err := m.Claims(&own); err != nil || own.MTLSIssuer != l.server.Issuer || own.Lower != "" {
		t.Errorf("%+v, %v", own, err)
	}
}
