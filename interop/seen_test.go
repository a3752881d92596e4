package interop_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// seenRequest is a request as secure.mjs got it, the browser's included.
type seenRequest struct {
	Path, Method        string
	Mutual, Certificate bool // at the port that asks for certificates, and with one
	TLS                 string
	Scheme              string         // of the header Authorization
	Proof               string         // the header DPoP
	Parameters          map[string]any // of query and body
	Status              int
}

func (s seenRequest) String() string { return fmt.Sprint(s.Path, " ", s.Status) }

// text is a parameter that stands there once; "" for none.
func (s seenRequest) text(name string) string {
	value, _ := s.Parameters[name].(string)
	return value
}

func seenBySecure(t *testing.T, issuer string, trusted *x509.CertPool) (seen []seenRequest) {
	t.Helper()
	u, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport, Timeout: patience}).Get("https://" + u.Host + "/seen")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&seen); err != nil {
		t.Fatalf("%v, %v", seen, err)
	}
	return seen
}

// backChannelOf are those of the client itself, and which paths were asked in what order.
func backChannelOf(seen []seenRequest) (own []seenRequest, order string) {
	var paths []string
	for _, s := range seen {
		switch s.Path {
		case "/par", "/oauth2/token", "/userinfo", "/oauth2/revoke":
			own, paths = append(own, s), append(paths, s.String())
		}
	}
	return own, strings.Join(paths, ", ")
}

// jwtClaims reads a JWT that somebody else has judged.
func jwtClaims(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	for i, v := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// wantFresh demands that no proof and no assertion was sent twice, and that an attempt after a refused
// nonce has a nonce (DP-18).
func wantFresh(t *testing.T, own []seenRequest) {
	t.Helper()
	used := map[any]bool{}
	for i, s := range own {
		for _, token := range []string{s.Proof, s.text("client_assertion")} {
			if token == "" {
				continue
			}
			_, claims := jwtClaims(t, token)
			if id := claims["jti"]; id == nil || id == "" || used[id] {
				t.Errorf("DP-18 %v: the jti %v is used twice", s, id)
			} else {
				used[id] = true
			}
		}
		if i == 0 || own[i-1].Path != s.Path || s.Proof == "" {
			continue
		}
		if _, claims := jwtClaims(t, s.Proof); own[i-1].Status >= 400 && claims["nonce"] == nil {
			t.Errorf("DP-18 %v: no nonce", s)
		}
	}
}
