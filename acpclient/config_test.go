package acpclient_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

func TestNewRefuses(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name  string
		edit  func(*acpclient.Config)
		names string // the setting that the error must name
	}{
		{"CF-01 zero value", func(c *acpclient.Config) { *c = acpclient.Config{} }, "Issuer"},
		{"CF-01 zero value, in words", func(c *acpclient.Config) { *c = acpclient.Config{} }, "Issuer: is empty"},
		{"CF-01 issuer is the metadata's address", func(c *acpclient.Config) { c.Issuer += "/.well-known/openid-configuration" }, "stands before"},
		{"CF-01 zero value, client", func(c *acpclient.Config) { *c = acpclient.Config{} }, "ClientID"},
		{"CF-01 empty secret", func(c *acpclient.Config) { c.Auth = acpclient.Secret("") }, "Auth"},
		{"CF-01 key without a signer", func(c *acpclient.Config) { c.Auth = acpclient.PrivateKeyJWT{} }, "Auth"},
		{"CF-01 short RSA key", func(c *acpclient.Config) { c.Auth = acpclient.PrivateKeyJWT{Key: small} }, "2048"},
		{"CF-01 unprintable client id", func(c *acpclient.Config) { c.ClientID = "a\nb" }, "ClientID"},
		{"CF-01 negative leeway", func(c *acpclient.Config) { c.Leeway = -1 }, "Leeway"},
		{"CF-01 leeway of an hour", func(c *acpclient.Config) { c.Leeway = time.Hour }, "Leeway"},
		{"CF-01 flow of a day", func(c *acpclient.Config) { c.FlowLifetime = 24 * time.Hour }, "FlowLifetime"},
		{"CF-01 negative token size", func(c *acpclient.Config) { c.MaxTokenSize = -1 }, "MaxTokenSize"},
		{"CF-01 stale for ever", func(c *acpclient.Config) { c.MaxStale = 1000 * time.Hour }, "MaxStale"},
		{"CF-04 http issuer", func(c *acpclient.Config) { c.Issuer = "http://as.example" }, "Issuer"},
		{"CF-04 issuer on 0.0.0.0", func(c *acpclient.Config) { c.Issuer = "http://0.0.0.0:8080" }, "Issuer"},
		{"CF-04 alg none", func(c *acpclient.Config) { c.IDTokenAlgs = []string{"none"} }, "IDTokenAlgs"},
		{"issuer with a query", func(c *acpclient.Config) { c.Issuer += "?a=b" }, "Issuer"},
		{"issuer with an empty query", func(c *acpclient.Config) { c.Issuer += "?" }, "Issuer"},
		{"issuer with a fragment", func(c *acpclient.Config) { c.Issuer += "#" }, "Issuer"},
		{"issuer with user information", func(c *acpclient.Config) { c.Issuer = "https://u:passw0rd@as.example" }, "Issuer"},
		{"expected issuer is no URL", func(c *acpclient.Config) { c.ExpectedIssuer = "acme" }, "ExpectedIssuer"},
		{"AZ-12 fragment", func(c *acpclient.Config) { c.RedirectURL = "https://app.example/cb#x" }, "RedirectURL"},
		{"AZ-12 empty fragment", func(c *acpclient.Config) { c.RedirectURL = "https://app.example/cb#" }, "RedirectURL"},
		{"AZ-12 user information", func(c *acpclient.Config) { c.RedirectURL = "https://u:passw0rd@app.example/cb" }, "RedirectURL"},
		{"AZ-12 http", func(c *acpclient.Config) { c.RedirectURL = "http://app.example/cb" }, "RedirectURL"},
		{"AZ-12 http that looks like loopback", func(c *acpclient.Config) { c.RedirectURL = "http://127.0.0.1.example/cb" }, "RedirectURL"},
		{"AZ-12 relative", func(c *acpclient.Config) { c.RedirectURL = "/callback" }, "RedirectURL"},
		{"AZ-12 without scheme", func(c *acpclient.Config) { c.RedirectURL = "//app.example/cb" }, "RedirectURL"},
		{"AZ-12 control byte", func(c *acpclient.Config) { c.RedirectURL = "https://app.example/c\x00b" }, "RedirectURL"},
		{"AZ-12 line break", func(c *acpclient.Config) { c.RedirectURL = "https://app.example/cb\r\n" }, "RedirectURL"},
		{"AZ-12 javascript", func(c *acpclient.Config) { c.RedirectURL = "javascript:alert(1)" }, "RedirectURL"},
		{"AZ-34 scope with a quote", func(c *acpclient.Config) { c.Scopes = []string{`a"b`} }, "Scopes"},
		{"AZ-34 two scopes in one", func(c *acpclient.Config) { c.Scopes = []string{"a b"} }, "Scopes"},
		{"response mode", func(c *acpclient.Config) { c.ResponseMode = "fragment" }, "ResponseMode"},
		{"CB-38 a response that a browser keeps to itself", func(c *acpclient.Config) { c.ResponseMode = "fragment.jwt" }, "ResponseMode: a browser keeps the fragment"},
		{"CB-38 no response mode", func(c *acpclient.Config) { c.ResponseMode = "x.jwt" }, "ResponseMode"},
		{"CB-38 a response under the client's secret", func(c *acpclient.Config) {
			c.ResponseMode, c.IDTokenAlgs, c.Auth = "query.jwt", []string{"HS256"}, acpclient.Secret("thirty-two-bytes-are-long-enough")
		}, "ResponseMode: query.jwt needs a signature"},
		{"empty trusted audience", func(c *acpclient.Config) { c.TrustedAudiences = []string{""} }, "TrustedAudiences"},
		{"CF-07 two places of trust", func(c *acpclient.Config) {
			c.RootCAs, c.Transport = x509.NewCertPool(), http.DefaultTransport
		}, "RootCAs"},
		{"CF-07 HMAC beside a signature", func(c *acpclient.Config) { c.IDTokenAlgs = []string{"HS256", "RS256"} }, "IDTokenAlgs"},
		{"CF-07 HMAC without a secret", func(c *acpclient.Config) { c.IDTokenAlgs = []string{"HS256"} }, "IDTokenAlgs"},
		{"CF-07 HMAC under a short secret", func(c *acpclient.Config) {
			c.IDTokenAlgs, c.Auth = []string{"HS256"}, acpclient.Secret("thirty-one-bytes-are-too-short.")
		}, "IDTokenAlgs"},
		{"CF-07 algorithm that does not fit the key", func(c *acpclient.Config) {
			c.Auth = acpclient.PrivateKeyJWT{Key: newSigner(t, "ES256"), Alg: "RS256"}
		}, "Alg"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			config := acpclient.Config{Issuer: "https://as.example/acme/demo", ClientID: "app", RedirectURL: redirectURL}
			row.edit(&config)
			client, err := acpclient.New(config)
			if err == nil || client != nil {
				t.Fatalf("New = %v, %v, want an error alone", client, err)
			}
			if !strings.Contains(err.Error(), row.names) {
				t.Errorf("error %q does not name %q", err, row.names)
			}
			if strings.Contains(err.Error(), "passw0rd") || strings.Contains(err.Error(), "too-short") {
				t.Errorf("error %q shows a secret", err)
			}
		})
	}
}

func TestNewReportsEveryMistake(t *testing.T) {
	_, err := acpclient.New(acpclient.Config{Issuer: "x", RedirectURL: "x", Leeway: -1, Scopes: []string{""}, Auth: acpclient.Secret("")})
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"Issuer", "ClientID", "RedirectURL", "Leeway", "Scopes", "Auth"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error %q leaves out %s", err, name)
		}
	}
}

func TestNewAccepts(t *testing.T) {
	for _, issuer := range []string{
		"https://as.example", "https://as.example/", "https://as.example/acme/demo/", "https://as.example:8443/a%2Fb",
		"http://127.0.0.1:8080/t/w", "http://[::1]:8080", "http://localhost",
	} {
		client, err := acpclient.New(acpclient.Config{Issuer: issuer, ClientID: "app"})
		if err != nil {
			t.Errorf("issuer %s: %v", issuer, err)
			continue
		}
		if got := client.Config().Issuer; got != issuer {
			t.Errorf("issuer %s became %s", issuer, got)
		}
	}
}

// CF-06: the configuration is copied, in both directions.
func TestConfigIsCopied(t *testing.T) {
	scopes, trusted, algs := []string{"openid", "profile"}, []string{"other"}, []string{"ES256"}
	r := newRig(t, nil, func(c *acpclient.Config) { c.Scopes, c.TrustedAudiences, c.IDTokenAlgs = scopes, trusted, algs })
	scopes[0], trusted[0], algs[0] = "admin", "evil", "none"
	got := r.client.Config()
	got.Scopes[1], got.TrustedAudiences[0], got.IDTokenAlgs[0] = "admin", "evil", "none"
	now := r.client.Config()
	if !slices.Equal(now.Scopes, []string{"openid", "profile"}) || now.TrustedAudiences[0] != "other" || now.IDTokenAlgs[0] != "ES256" {
		t.Errorf("the client's configuration is now %v %v %v", now.Scopes, now.TrustedAudiences, now.IDTokenAlgs)
	}
	if now.Auth != nil {
		t.Error("Config gives the credentials away")
	}
	flow, _ := r.callback(nil)
	if !slices.Equal(flow.Scopes, []string{"openid", "profile"}) {
		t.Errorf("the flow asks for %v", flow.Scopes)
	}
	flow.Scopes[0] = "admin"
	if later, _ := r.callback(nil); later.Scopes[0] != "openid" {
		t.Error("a change of one Flow's Scopes reaches the next login")
	}
}

// CF-04: there is no switch that turns a check off.
func TestNoSwitchTurnsAChecksOff(t *testing.T) {
	loud := regexp.MustCompile(`(?i)skip|disable|allow|unsafe|noverify|insecure`)
	for _, typ := range []reflect.Type{
		reflect.TypeFor[acpclient.Config](), reflect.TypeFor[acpclient.VerifierConfig](), reflect.TypeFor[acpclient.AuthorizeOptions](),
	} {
		for i := range typ.NumField() {
			if name := typ.Field(i).Name; loud.MatchString(name) && !strings.HasPrefix(name, "Insecure") {
				t.Errorf("%s.%s", typ, name)
			}
		}
	}
}

// CF-01: what a caller may forget is an error, and no nil pointer is followed.
func TestForgottenArguments(t *testing.T) {
	r := newRig(t, nil, nil)
	ctx := context.Background()
	if _, err := r.client.Exchange(ctx, nil, nil); err == nil {
		t.Error("Exchange without a flow")
	}
	if _, err := r.client.Exchange(ctx, &acpclient.Flow{}, nil); err == nil {
		t.Error("Exchange with an empty flow")
	}
	for name, tokens := range map[string]*acpclient.Tokens{
		"nil": nil, "empty": {}, "an ID token alone": {IDToken: "e30.eyJzdWIiOiJhIn0."},
	} {
		if _, err := r.client.Refresh(ctx, tokens); err == nil {
			t.Errorf("Refresh with %s", name)
		}
		if err := r.client.Revoke(ctx, tokens); err == nil {
			t.Errorf("Revoke with %s", name)
		}
		if err := r.client.UserInfo(ctx, tokens, new(any)); err == nil {
			t.Errorf("UserInfo with %s", name)
		}
		if _, err := r.client.TokenSource(ctx, tokens, nil).Token(); err == nil {
			t.Errorf("TokenSource with %s", name)
		}
	}
	if _, err := r.client.LogoutURL(ctx, nil, nil); err != nil {
		t.Errorf("LogoutURL without tokens: %v", err)
	}
	r.asked("token", 0)
	r.asked("revoke", 0)
	r.asked("userinfo", 0)
}

// CF-01, CF-06: a pointer to a key is the key at the time of New; a nil one is a mistake.
func TestAuthByPointer(t *testing.T) {
	config := acpclient.Config{Issuer: "https://as.example", ClientID: "cid", Auth: (*acpclient.PrivateKeyJWT)(nil)}
	if _, err := acpclient.New(config); err == nil || !strings.Contains(err.Error(), "PrivateKeyJWT.Key: is nil") {
		t.Errorf("a nil pointer: %v", err)
	}
	key := acptest.NewKey("ES256").Signer()
	auth := &acpclient.PrivateKeyJWT{Key: key}
	r := newRig(t, &acptest.Options{Client: acptest.Client{Key: key.Public()}}, func(c *acpclient.Config) { c.Auth = auth })
	auth.Key, auth.Audience = nil, "https://evil.example"
	r.login()
}

// CF-01, AZ-34: options that are set once can be judged once, at the start.
func TestAuthorizeOptionsCheck(t *testing.T) {
	if err := (*acpclient.AuthorizeOptions)(nil).Check(); err != nil {
		t.Error(err)
	}
	if err := (&acpclient.AuthorizeOptions{Prompt: []string{"login"}}).Check(); err != nil {
		t.Error(err)
	}
	if err := (&acpclient.AuthorizeOptions{Prompt: []string{"none", "login"}}).Check(); err == nil || !strings.Contains(err.Error(), "Prompt") {
		t.Errorf("%v", err)
	}
}
