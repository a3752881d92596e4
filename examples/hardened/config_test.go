package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/apptest"
	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/internal/throwaway"
)

const (
	canary     = apptest.Canary
	signing    = "ACP_PROFILE=fapi2-message-signing"
	selfSigned = "ACP_CLIENT_AUTH=self_signed_tls_client_auth"
)

// clientFiles are ACP_CLIENT_KEY and ACP_CLIENT_CERT.
func clientFiles(t *testing.T) (key, certificate string) {
	t.Helper()
	c, err := throwaway.Client("hardened")
	if err != nil {
		t.Fatal(err)
	}
	return "ACP_CLIENT_KEY=" + apptest.KeyFile(t, c.PrivateKey), "ACP_CLIENT_CERT=" + apptest.PEM(t, "CERTIFICATE", c.Certificate[0])
}

// CF-07: what is unknown, incomplete or contradictory stops the start, in one line.
func TestWrongSettings(t *testing.T) {
	key, certificate := clientFiles(t)
	otherKey, otherCertificate := clientFiles(t)
	small, err1 := rsa.GenerateKey(rand.Reader, 1024)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	smallKey, p384Key := apptest.PEM(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small)), apptest.KeyFile(t, p384)
	cookieKey := apptest.CookieKey()
	_, keyFile, _ := strings.Cut(key, "=")
	pem, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	settings := func(changes ...string) []string {
		return append([]string{
			"ACP_ISSUER=https://as.example", "ACP_CLIENT_ID=hardened", key, "ACP_REDIRECT_URL=https://app.example/callback",
			"ACP_COOKIE_KEY=" + cookieKey, "ACP_LISTEN=127.0.0.1:0",
		}, changes...)
	}
	for name, row := range map[string]struct {
		environ  []string
		variable string
	}{
		"no issuer, but a client":       {[]string{"ACP_CLIENT_ID=" + canary}, "ACP_ISSUER"},
		"no issuer, but a profile":      {[]string{signing}, "ACP_ISSUER"},
		"no issuer, but a certificate":  {[]string{"ACP_TLS_CERT=/" + canary}, "ACP_ISSUER"},
		"no issuer, but an unknown":     {[]string{"ACP_NONSENSE=" + canary}, "ACP_ISSUER"},
		"no issuer, listen to all":      {[]string{"ACP_LISTEN=0.0.0.0:0"}, "ACP_LISTEN"},
		"listen to nothing":             {[]string{"ACP_LISTEN=x"}, "ACP_LISTEN"},
		"unknown":                       {settings("ACP_CLIENTID=" + canary), "ACP_CLIENTID"},
		"a client secret":               {settings("ACP_CLIENT_SECRET=" + canary), "ACP_CLIENT_SECRET"},
		"issuer by http":                {settings("ACP_ISSUER=http://as.example"), "ACP_ISSUER"},
		"issuer by http on loopback":    {settings("ACP_ISSUER=http://127.0.0.1:1"), "ACP_ISSUER"},
		"no client id":                  {settings("ACP_CLIENT_ID= "), "ACP_CLIENT_ID"},
		"profile":                       {settings("ACP_PROFILE=" + canary), "ACP_PROFILE"},
		"auth method with a secret":     {settings("ACP_CLIENT_AUTH=client_secret_basic"), "ACP_CLIENT_AUTH"},
		"no auth method":                {settings("ACP_CLIENT_AUTH=none"), "ACP_CLIENT_AUTH"},
		"no key":                        {settings("ACP_CLIENT_KEY="), "ACP_CLIENT_KEY"},
		"key missing":                   {settings("ACP_CLIENT_KEY=/" + canary), "ACP_CLIENT_KEY"},
		"key in the place of its file":  {settings("ACP_CLIENT_KEY=" + string(pem)), "ACP_CLIENT_KEY"},
		"key without PEM":               {settings("ACP_CLIENT_KEY=" + apptest.File(t, canary)), "ACP_CLIENT_KEY"},
		"key too small":                 {settings("ACP_CLIENT_KEY=" + smallKey), "ACP_CLIENT_KEY"},
		"key for ES384":                 {settings("ACP_CLIENT_KEY=" + p384Key), "ACP_CLIENT_KEY"},
		"key id that signs nothing":     {settings(selfSigned, certificate, "ACP_CLIENT_KEY_ID="+canary), "ACP_CLIENT_KEY_ID"},
		"TLS without certificate":       {settings(selfSigned), "ACP_CLIENT_CERT"},
		"tls_client_auth without":       {settings("ACP_CLIENT_AUTH=tls_client_auth"), "ACP_CLIENT_CERT"},
		"certificate of another key":    {settings(selfSigned, otherCertificate), "ACP_CLIENT_CERT"},
		"certificate without PEM":       {settings(selfSigned, "ACP_CLIENT_CERT="+apptest.File(t, canary)), "ACP_CLIENT_CERT"},
		"certificate's key alone":       {settings("ACP_CLIENT_CERT_KEY=" + keyFile), "ACP_CLIENT_CERT_KEY"},
		"certificate and foreign key":   {settings(otherCertificate), "ACP_CLIENT_CERT"},
		"DPoP key missing":              {settings("ACP_DPOP_KEY=/" + canary), "ACP_DPOP_KEY"},
		"DPoP key too small":            {settings("ACP_DPOP_KEY=" + smallKey), "ACP_DPOP_KEY"},
		"DPoP key for ES384":            {settings("ACP_DPOP_KEY=" + p384Key), "ACP_DPOP_KEY"},
		"no redirect":                   {settings("ACP_REDIRECT_URL="), "ACP_REDIRECT_URL"},
		"redirect by http on loopback":  {settings("ACP_REDIRECT_URL=http://127.0.0.1:1/callback"), "ACP_REDIRECT_URL"},
		"redirect to a page":            {settings("ACP_REDIRECT_URL=https://app.example/profile"), "ACP_REDIRECT_URL"},
		"response mode":                 {settings("ACP_RESPONSE_MODE=fragment"), "ACP_RESPONSE_MODE"},
		"response mode without signing": {settings(signing, "ACP_RESPONSE_MODE=query"), "ACP_RESPONSE_MODE"},
		"form_post without signing":     {settings(signing, "ACP_RESPONSE_MODE=form_post"), "ACP_RESPONSE_MODE"},
		"scope":                         {settings("ACP_SCOPES=openid \"" + canary), "ACP_SCOPES"},
		"no cookie key":                 {settings("ACP_COOKIE_KEY="), "ACP_COOKIE_KEY"},
		"cookie key is text":            {settings("ACP_COOKIE_KEY=" + canary), "ACP_COOKIE_KEY"},
		"API by http":                   {settings("ACP_API_URL=http://" + canary + ".example"), "ACP_API_URL"},
		"root CA":                       {settings("ACP_ROOT_CA=" + apptest.File(t, canary)), "ACP_ROOT_CA"},
		"Redis by http":                 {settings("ACP_REDIS_URL=http://:" + canary + "@localhost"), "ACP_REDIS_URL"},
		"own certificate without key":   {settings("ACP_TLS_CERT=" + strings.TrimPrefix(certificate, "ACP_CLIENT_CERT=")), "ACP_TLS_KEY"},
		"own key without certificate":   {settings("ACP_TLS_KEY=" + keyFile), "ACP_TLS_CERT"},
		"own key of another":            {settings("ACP_TLS_KEY="+keyFile, "ACP_TLS_CERT="+strings.TrimPrefix(otherCertificate, "ACP_CLIENT_CERT=")), "ACP_TLS_CERT"},
	} {
		t.Run(name, func(t *testing.T) {
			apptest.Refuses(t, "hardened", run, row.environ, row.variable, cookieKey, keyFile, otherKey, strings.Split(string(pem), "\n")[1])
		})
	}
}

// What the tokens are bound to, and what signs.
func TestGoodSettings(t *testing.T) {
	key, certificate := clientFiles(t)
	dpop, _ := clientFiles(t)
	dpop = strings.Replace(dpop, "ACP_CLIENT_KEY", "ACP_DPOP_KEY", 1)
	for name, row := range map[string]struct {
		changes                 []string
		passing, certified      bool
		proves, signs, withKeys bool
	}{
		"nothing more":           {nil, true, false, true, false, true},
		"a DPoP key":             {[]string{dpop}, false, false, true, false, true},
		"a certificate":          {[]string{"ACP_CLIENT_AUTH=tls_client_auth", certificate}, false, false, false, false, false},
		"a certificate and DPoP": {[]string{selfSigned, certificate, dpop}, false, false, true, false, false},
		"a certificate beside":   {[]string{certificate}, false, true, false, false, true},
		"signed":                 {[]string{signing, "ACP_CLIENT_KEY_ID=k"}, true, false, true, true, true},
		"signed by certificate":  {[]string{signing, selfSigned, certificate, "ACP_CLIENT_KEY_ID=k"}, false, false, false, true, false},
	} {
		c, err := parse(append([]string{
			"ACP_ISSUER=https://as.example", "ACP_CLIENT_ID=hardened", key, "ACP_REDIRECT_URL=https://app.example/callback",
			"ACP_COOKIE_KEY=" + apptest.CookieKey(), "ACP_CLIENT_SECRET= ",
		}, row.changes...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, withKeys := c.auth.(acpclient.PrivateKeyJWT)
		if c.passing != row.passing || (c.certificate != nil) != row.certified || (c.dpop != nil) != row.proves ||
			(c.requestObject != nil) != row.signs || withKeys != row.withKeys || c.own != nil || c.Development {
			t.Errorf("%s: %+v", name, c)
		}
		if c.requestObject != nil && c.requestObject.KeyID != "k" {
			t.Errorf("%s: the kid of requests is %q", name, c.requestObject.KeyID)
		}
	}
}

func TestWrongSettingEndsTheProcess(t *testing.T) {
	apptest.EndsWith(t, serve.Misspelled, "ACP_CLIENT_ID=x")
}
