package acpclient_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

const canary = "canary-s3cret"

// LG-03: an error of the transport has a URL, and the URL has secrets.
func TestTransportErrorsShowNoURL(t *testing.T) {
	const dead = "http://127.0.0.1:1/x?key=" + canary // a port on which nobody listens, and that nobody is given
	for name, transport := range map[string]http.RoundTripper{
		"LG-03 refused": nil,
		"LG-03 a transport that quotes": roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.URL.Query().Has("key") {
				return nil, fmt.Errorf("cannot %w", &net.OpError{Op: "dial", Err: errors.New("refused")})
			}
			return http.DefaultTransport.RoundTrip(req)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, func(c *acpclient.Config) { c.Transport = transport })
			r.secret("query", canary)
			tokens := r.login()
			r.OnMetadata(func(m map[string]any) {
				m["token_endpoint"], m["userinfo_endpoint"], m["revocation_endpoint"] = dead, dead, dead
			})
			other := newRig(t, nil, func(c *acpclient.Config) { c.Issuer, c.ClientID, c.Transport = r.Issuer, r.ClientID, transport })
			other.secret("query", canary)
			flow, callback := r.callback(nil)
			_, err := other.client.Exchange(t.Context(), flow, callback)
			r.fails(err, acpclient.ErrUnavailable, "unavailable")
			_, err = other.client.Refresh(t.Context(), tokens)
			r.fails(err, acpclient.ErrUnavailable, "unavailable")
			r.fails(other.client.UserInfo(t.Context(), tokens, new(any)), acpclient.ErrUnavailable, "unavailable")
			r.fails(other.client.Revoke(t.Context(), tokens), acpclient.ErrUnavailable, "unavailable")
		})
	}
}

// LG-04: a server that sends back what it got puts it into no text of ours.
func TestEchoedSecrets(t *testing.T) {
	for name, shape := range map[string]string{
		"LG-04 page":        `<p>%s</p>`,
		"LG-04 error":       `{"error":"%s"}`,
		"LG-04 description": `{"error":"x","error_description":"got %s"}`,
		"LG-04 cause":       `{"error":"x","cause":"%s","error_hint":"%[1]s"}`,
		"LG-04 trace":       `{"error":"x","trace_id":"%s"}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{Client: acptest.Client{Secret: canary, AuthMethod: acptest.AuthPost}}, nil)
			tokens := r.login()
			for _, member := range []string{"code", "code_verifier", "client_secret", "refresh_token"} {
				r.Handle(acptest.TokenEndpoint, func(w http.ResponseWriter, req *http.Request) {
					value := req.PostFormValue(member)
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusBadRequest)
					fmt.Fprintf(w, shape, value)
				})
				flow, callback := r.callback(nil)
				_, err := r.client.Exchange(t.Context(), flow, callback)
				echoes(r, err)
				_, err = r.client.Refresh(t.Context(), tokens)
				echoes(r, err)
			}
		})
	}
}

// echoes checks an error of the server, whose code may be anything harmless.
func echoes(r *rig, err error) {
	r.t.Helper()
	r.fails(err, nil, acpclient.Reason(err))
}

// LG-06: nothing that the server says makes a second line, or an escape sequence, in the log.
func TestLogInjection(t *testing.T) {
	for name, issuer := range map[string]string{
		"LG-06 line break": "https://evil.example\nlevel=INFO msg=forged", "LG-06 escape": "https://evil\x1b[2J", "LG-06 bidi": "\u202e",
		"LG-06 huge": strings.Repeat("a b ", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			r.OnMetadata(func(m map[string]any) { m["issuer"] = issuer })
			_, err := r.client.Metadata(t.Context())
			r.fails(err, acpclient.ErrInvalidResponse, "issuer")
			r.mu.Lock()
			defer r.mu.Unlock()
			line, rest, _ := strings.Cut(r.log.String(), "\n")
			if line == "" || rest != "" || len(line) > 1024 || !ascii(line) || strings.Contains(line, "\nlevel") {
				t.Errorf("log %.300q", r.log.String())
			}
		})
	}
}
