package middleware_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/middleware"
)

func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func thumbprint(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// A token that is bound to a certificate, over TLS.
func TestClientCertificate(t *testing.T) {
	a := newAPI(t, nil, nil)
	mine, other := newCertificate(t), newCertificate(t)
	o := &middleware.BearerOptions{ClientCertificate: &middleware.ClientCertificate{}, Logger: a.logs.logger()}
	s := httptest.NewUnstartedServer(protect(t, a.verifier, o)(shows))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	defer s.Close()
	cnf := func(cnf any) string { return a.server.AccessToken(map[string]any{"cnf": cnf}) }
	bound := cnf(map[string]any{"x5t#S256": thumbprint(mine)})
	for _, row := range []struct {
		name, token string
		certificate *tls.Certificate
		status      int
	}{
		{"MT-01 the certificate", bound, &mine, 200},
		{"MT-02 another one", bound, &other, 401},
		{"MT-02 none", bound, nil, 401},
		{"MT-02 an empty cnf", cnf(map[string]any{}), &mine, 401},
		{"MT-02 cnf no object", cnf("x"), &mine, 401},
		{"MT-02 an empty hash", cnf(map[string]any{"x5t#S256": ""}), &mine, 401},
		{"MT-02 an unknown member alone", cnf(map[string]any{"x5t": thumbprint(mine)}), &mine, 401},
		{"MT-02 the hash with padding", cnf(map[string]any{"x5t#S256": thumbprint(mine) + "="}), &mine, 401},
		{"MT-02 a DPoP key", cnf(map[string]any{"jkt": thumbprint(mine)}), &mine, 401},
		{"MT-02 a DPoP key, too", cnf(map[string]any{"jkt": "x", "x5t#S256": thumbprint(mine)}), &mine, 401},
		{"not bound", a.server.AccessToken(nil), nil, 200},
		{"BR-11 expired", a.server.AccessToken(map[string]any{"exp": 1, "cnf": map[string]any{"x5t#S256": thumbprint(mine)}}), &mine, 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			config := &tls.Config{InsecureSkipVerify: true}
			if row.certificate != nil {
				config.Certificates = []tls.Certificate{*row.certificate}
			}
			transport := &http.Transport{TLSClientConfig: config}
			defer transport.CloseIdleConnections()
			for range 2 { // the second time the token is remembered, and not its proof
				r, err := http.NewRequest("GET", s.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := transport.RoundTrip(acptest.WithBearer(r, row.token))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if challenge := res.Header.Get("WWW-Authenticate"); res.StatusCode != row.status || row.status == 401 && parameter(challenge, "error") != "invalid_token" {
					t.Errorf("%d %q\n%s", res.StatusCode, challenge, a.logs)
				}
			}
		})
	}
}

// A certificate in a header is a proxy's word, and only a proxy's.
func TestClientCertificateHeader(t *testing.T) {
	binary := func(c tls.Certificate) string { return ":" + base64.StdEncoding.EncodeToString(c.Certificate[0]) + ":" }
	mine, other := newCertificate(t), newCertificate(t)
	for !strings.ContainsAny(binary(mine), "+/") { // else base64url would be the same text
		mine = newCertificate(t)
	}
	token := &acpclient.AccessToken{Subject: "alice", Confirmation: &acpclient.Confirmation{X5tS256: thumbprint(mine)}}
	text := func(certificates ...tls.Certificate) string {
		var b strings.Builder
		for _, c := range certificates {
			b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
		}
		return url.PathEscape(b.String())
	}
	hash := func(c tls.Certificate) string {
		sum := sha256.Sum256(c.Certificate[0])
		return hex.EncodeToString(sum[:])
	}
	const proxy, stranger = "192.0.2.7:4711", "198.51.100.1:4711"
	for _, row := range []struct {
		name, format, remote string
		values               []string
		status               int
	}{
		{"MT-04 RFC 9440", "", proxy, []string{binary(mine)}, 200},
		{"MT-04 RFC 9440, by name", "rfc9440", "[::ffff:192.0.2.7]:1", []string{" " + binary(mine)}, 200},
		{"MT-03 from a stranger", "", stranger, []string{binary(mine)}, 401},
		{"MT-03 from a stranger, garbage", "", stranger, []string{"x"}, 401},
		{"MT-03 from a socket", "", "@", []string{binary(mine)}, 401},
		{"MT-02 another certificate", "", proxy, []string{binary(other)}, 401},
		{"MT-02 none", "", proxy, nil, 401},
		{"MT-04 two headers", "", proxy, []string{binary(mine), binary(mine)}, 400},
		{"MT-04 two in one", "", proxy, []string{binary(mine) + ", " + binary(mine)}, 400},
		{"MT-04 empty", "", proxy, []string{""}, 400},
		{"MT-04 an empty sequence", "", proxy, []string{"::"}, 400},
		{"MT-04 base64 alone", "", proxy, []string{strings.Trim(binary(mine), ":")}, 400},
		{"MT-04 base64url", "", proxy, []string{":" + base64.RawURLEncoding.EncodeToString(mine.Certificate[0]) + ":"}, 400},
		{"MT-04 garbage", "", proxy, []string{":***:"}, 400},
		{"MT-04 64 KiB", "", proxy, []string{":" + strings.Repeat("A", 64<<10) + ":"}, 400},
		{"MT-04 another format", "", proxy, []string{text(mine)}, 400},

		{"MT-04 PEM", "pem", proxy, []string{text(mine)}, 200},
		{"MT-04 PEM with a chain", "pem", proxy, []string{text(mine, other)}, 200},
		{"MT-02 PEM, the leaf is another's", "pem", proxy, []string{text(other, mine)}, 401},
		{"MT-04 a key in PEM", "pem", proxy, []string{url.PathEscape("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")}, 400},
		{"MT-04 PEM, garbage", "pem", proxy, []string{"%zz"}, 400},
		{"MT-04 PEM, empty", "pem", proxy, []string{""}, 400},

		{"MT-04 Hash", "xfcc", proxy, []string{"By=spiffe://a;Hash=" + hash(mine) + `;Subject="CN=a,O=\"b;Hash=0\"";URI=spiffe://c`}, 200},
		{"MT-04 Hash in upper case", "xfcc", proxy, []string{"hash=" + strings.ToUpper(hash(mine))}, 200},
		{"MT-04 Cert", "xfcc", proxy, []string{`Cert="` + text(mine) + `"`}, 200},
		{"MT-04 both", "xfcc", proxy, []string{"Hash=" + hash(mine) + `;Cert="` + text(mine) + `"`}, 200},
		{"MT-04 both, of two", "xfcc", proxy, []string{"Hash=" + hash(mine) + `;Cert="` + text(other) + `"`}, 400},
		{"MT-02 another Hash", "xfcc", proxy, []string{"Hash=" + hash(other)}, 401},
		{"MT-04 two elements", "xfcc", proxy, []string{"Hash=" + hash(mine) + ",Hash=" + hash(other)}, 400},
		{"MT-04 an element that the client sent first", "xfcc", proxy, []string{"Hash=" + hash(mine) + ",By=x;Hash=" + hash(other)}, 400},
		{"MT-04 a Hash inside of a quoted text", "xfcc", proxy, []string{`Subject="Hash=` + hash(mine) + `"`}, 400},
		{"MT-04 a quote that is never closed", "xfcc", proxy, []string{`Subject="a;Hash=` + hash(mine)}, 400},
		{"MT-04 something behind a quote", "xfcc", proxy, []string{`Hash="` + hash(mine) + `"x`}, 400},
		{"MT-04 no value", "xfcc", proxy, []string{"Hash"}, 400},
		{"MT-04 a short Hash", "xfcc", proxy, []string{"Hash=" + hash(mine)[:62]}, 400},
		{"MT-04 neither", "xfcc", proxy, []string{"By=a"}, 400},
		{"MT-03 Envoy's, from a stranger", "xfcc", stranger, []string{"Hash=" + hash(mine)}, 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := &middleware.BearerOptions{Logger: slog.New(slog.DiscardHandler), ClientCertificate: &middleware.ClientCertificate{
				Header: "client-cert", Format: row.format, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			}}
			r := bearer("token")
			r.RemoteAddr = row.remote
			r.Header["Client-Cert"] = row.values
			// The connection is the proxy's: its own certificate is not the client's.
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: other.Certificate[0]}}}
			w := httptest.NewRecorder()
			protect(t, verifies(token), o)(shows).ServeHTTP(w, r)
			if w.Code != row.status {
				t.Errorf("%d %s", w.Code, w.Header().Get("WWW-Authenticate"))
			}
		})
	}
	// MT-03: nobody asked for a header.
	for name, c := range map[string]*middleware.ClientCertificate{"no option": nil, "the connection": {}} {
		r := bearer("token")
		r.RemoteAddr = proxy
		for _, header := range []string{"Client-Cert", "X-Client-Cert", "X-Forwarded-Client-Cert"} {
			r.Header.Set(header, "Hash="+hash(mine))
		}
		w := httptest.NewRecorder()
		protect(t, verifies(token), &middleware.BearerOptions{Logger: slog.New(slog.DiscardHandler), ClientCertificate: c})(shows).ServeHTTP(w, r)
		if w.Code != 401 {
			t.Errorf("MT-03, %s: %d", name, w.Code)
		}
	}
}

// A token that is bound to a key and to a certificate needs both; RequireBound needs one.
func TestRequireBound(t *testing.T) {
	key, certificate := acptest.NewKey("ES256"), newCertificate(t)
	both := &acpclient.Confirmation{JKT: key.Thumbprint(), X5tS256: thumbprint(certificate)}
	for _, row := range []struct {
		name, scheme string
		cnf          *acpclient.Confirmation
		shown        bool
		status       int
	}{
		{"both", "DPoP ", both, true, 200},
		{"MT-02 both, without the certificate", "DPoP ", both, false, 401},
		{"DP-01 both, as Bearer", "Bearer ", both, true, 401},
		{"a key alone", "DPoP ", &acpclient.Confirmation{JKT: key.Thumbprint()}, false, 200},
		{"a certificate alone", "Bearer ", &acpclient.Confirmation{X5tS256: thumbprint(certificate)}, true, 200},
		{"DP-02 a certificate alone, as DPoP", "DPoP ", &acpclient.Confirmation{X5tS256: thumbprint(certificate)}, true, 401},
		{"MT-02 not bound", "Bearer ", nil, true, 401},
		{"DP-02 not bound", "DPoP ", nil, true, 401},
	} {
		o := &middleware.BearerOptions{
			Logger: slog.New(slog.DiscardHandler), DPoP: &middleware.DPoPOptions{BaseURL: audience},
			ClientCertificate: &middleware.ClientCertificate{}, RequireBound: true,
		}
		inner := *o
		inner.DPoP, inner.ClientCertificate, inner.RequireBound = nil, nil, false
		verifier := &sameVerifier{verifies(&acpclient.AccessToken{Subject: "alice", Confirmation: row.cnf})}
		r := bearer("token")
		r.Header.Set("Authorization", row.scheme+"token")
		r.Header["Dpop"] = []string{key.Proof("GET", audience+"/things", "token", nil)}
		if row.shown {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: certificate.Certificate[0]}}}
		}
		w := httptest.NewRecorder()
		h := shows
		if row.scheme == "Bearer " { // what was shown further out need not be shown again
			h = protect(t, verifier, &inner)(shows).ServeHTTP
		}
		protect(t, verifier, o)(h).ServeHTTP(w, r)
		if w.Code != row.status {
			t.Errorf("%s: %d %s", row.name, w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
}

// sameVerifier makes a verifier that two protectors know for the same.
type sameVerifier struct{ middleware.TokenVerifier }

func TestClientCertificateOptions(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for want, o := range map[string]middleware.BearerOptions{
		"ClientCertificate.Header: is needed": {ClientCertificate: &middleware.ClientCertificate{Format: "pem"}},
		"ClientCertificate.Header: is no":     {ClientCertificate: &middleware.ClientCertificate{Header: "a b", Proxies: proxies}},
		"ClientCertificate.Format":            {ClientCertificate: &middleware.ClientCertificate{Header: "a", Format: "der", Proxies: proxies}},
		"ClientCertificate.Proxies: is empty": {ClientCertificate: &middleware.ClientCertificate{Header: "a"}},
		"ClientCertificate.Proxies: holds":    {ClientCertificate: &middleware.ClientCertificate{Header: "a", Proxies: make([]netip.Prefix, 1)}},
		"BearerOptions.RequireBound":          {RequireBound: true},
	} {
		if _, err := middleware.RequireBearer(verifies(nil), &o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
