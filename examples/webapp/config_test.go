package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/acp-go/acp/examples/internal/apptest"
)

// settings are a good configuration, changed by "NAME=value" pairs.
func settings(changes ...string) []string {
	return append([]string{
		"PATH=/bin",
		"ACP_ISSUER=https://acp.example/demo/bank",
		"ACP_CLIENT_ID=web",
		"ACP_REDIRECT_URL=http://127.0.0.1:8080/callback",
		"ACP_COOKIE_KEY=" + apptest.CookieKey(),
		"ACP_LISTEN=127.0.0.1:0",
	}, changes...)
}

const canary = apptest.Canary

func TestWrongSettings(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	smallKey := apptest.PEM(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small))
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	good := apptest.CookieKey()
	for name, row := range map[string]struct {
		environ  []string
		variable string
	}{
		"no issuer, but a client":      {[]string{"ACP_CLIENT_ID=" + canary}, "ACP_ISSUER"},
		"blank issuer, but a secret":   {[]string{"ACP_ISSUER= ", "ACP_CLIENT_SECRET=" + canary}, "ACP_ISSUER"},
		"no issuer, but an unknown":    {[]string{"ACP_NONSENSE=" + canary}, "ACP_ISSUER"},
		"no issuer, but Redis":         {[]string{"ACP_REDIS_URL=redis://:" + canary + "@x"}, "ACP_ISSUER"},
		"no issuer, listen to all":     {[]string{"ACP_LISTEN=0.0.0.0:0"}, "ACP_LISTEN"},
		"unknown":                      {settings("ACP_CLIENTID=" + canary), "ACP_CLIENTID"},
		"Redis by http":                {settings("ACP_REDIS_URL=http://:" + canary + "@localhost"), "ACP_REDIS_URL"},
		"Redis with a bad port":        {settings("ACP_REDIS_URL=redis://:" + canary + "@localhost:x"), "ACP_REDIS_URL"},
		"Redis with a bad database":    {settings("ACP_REDIS_URL=redis://:" + canary + "@localhost/x"), "ACP_REDIS_URL"},
		"issuer relative":              {settings("ACP_ISSUER=/demo/bank"), "ACP_ISSUER"},
		"issuer with query":            {settings("ACP_ISSUER=https://acp.example/demo?x=" + canary), "ACP_ISSUER"},
		"issuer with empty query":      {settings("ACP_ISSUER=https://acp.example/demo?"), "ACP_ISSUER"},
		"issuer with fragment":         {settings("ACP_ISSUER=https://acp.example/demo#x"), "ACP_ISSUER"},
		"issuer with password":         {settings("ACP_ISSUER=https://user:" + canary + "@acp.example/demo"), "ACP_ISSUER"},
		"issuer by http":               {settings("ACP_ISSUER=http://acp.example/demo"), "ACP_ISSUER"},
		"issuer by ftp":                {settings("ACP_ISSUER=ftp://acp.example/demo"), "ACP_ISSUER"},
		"no client id":                 {settings("ACP_CLIENT_ID="), "ACP_CLIENT_ID"},
		"redirect by http":             {settings("ACP_REDIRECT_URL=http://app.example/callback"), "ACP_REDIRECT_URL"},
		"redirect relative":            {settings("ACP_REDIRECT_URL=/callback"), "ACP_REDIRECT_URL"},
		"redirect with fragment":       {settings("ACP_REDIRECT_URL=https://app.example/callback#x"), "ACP_REDIRECT_URL"},
		"response mode":                {settings("ACP_RESPONSE_MODE=fragment"), "ACP_RESPONSE_MODE"},
		"auth method":                  {settings("ACP_CLIENT_AUTH=none"), "ACP_CLIENT_AUTH"},
		"basic without secret":         {settings("ACP_CLIENT_AUTH=client_secret_basic"), "ACP_CLIENT_SECRET"},
		"post without secret":          {settings("ACP_CLIENT_AUTH=client_secret_post", "ACP_CLIENT_SECRET=  "), "ACP_CLIENT_SECRET"},
		"key without method":           {settings("ACP_CLIENT_KEY=/" + canary), "ACP_CLIENT_KEY"},
		"key with basic":               {settings("ACP_CLIENT_AUTH=client_secret_basic", "ACP_CLIENT_SECRET=x", "ACP_CLIENT_KEY=/x"), "ACP_CLIENT_KEY"},
		"private_key_jwt without key":  {settings("ACP_CLIENT_AUTH=private_key_jwt"), "ACP_CLIENT_KEY"},
		"private_key_jwt with secret":  {settings("ACP_CLIENT_AUTH=private_key_jwt", "ACP_CLIENT_SECRET="+canary), "ACP_CLIENT_SECRET"},
		"key file missing":             {settings("ACP_CLIENT_AUTH=private_key_jwt", "ACP_CLIENT_KEY=/"+canary), "ACP_CLIENT_KEY"},
		"key file without PEM":         {settings("ACP_CLIENT_AUTH=private_key_jwt", "ACP_CLIENT_KEY="+apptest.File(t, canary)), "ACP_CLIENT_KEY"},
		"key too small":                {settings("ACP_CLIENT_AUTH=private_key_jwt", "ACP_CLIENT_KEY="+smallKey), "ACP_CLIENT_KEY"},
		"CA file missing":              {settings("ACP_ROOT_CA=/" + canary), "ACP_ROOT_CA"},
		"CA file without certificate":  {settings("ACP_ROOT_CA=" + apptest.File(t, canary)), "ACP_ROOT_CA"},
		"cookie key missing":           {settings("ACP_COOKIE_KEY="), "ACP_COOKIE_KEY"},
		"cookie key no base64":         {settings("ACP_COOKIE_KEY=" + canary + "!"), "ACP_COOKIE_KEY"},
		"cookie key short":             {settings("ACP_COOKIE_KEY=" + base64.StdEncoding.EncodeToString([]byte(canary))), "ACP_COOKIE_KEY"},
		"cookie key all zero":          {settings("ACP_COOKIE_KEY=" + zero), "ACP_COOKIE_KEY"},
		"second cookie key all zero":   {settings("ACP_COOKIE_KEY=" + good + "," + zero), "ACP_COOKIE_KEY"},
		"second cookie key is missing": {settings("ACP_COOKIE_KEY=" + good + ","), "ACP_COOKIE_KEY"},
		"listen without port":          {settings("ACP_LISTEN=127.0.0.1"), "ACP_LISTEN"},
		"listen with a named port":     {settings("ACP_LISTEN=127.0.0.1:http"), "ACP_LISTEN"},
		"listen port too high":         {settings("ACP_LISTEN=127.0.0.1:65536"), "ACP_LISTEN"},
		"API relative":                 {settings("ACP_API_URL=accounts"), "ACP_API_URL"},
		"cookie key is text":           {settings("ACP_COOKIE_KEY=" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(canary, 6)[:32]))), "ACP_COOKIE_KEY"}, // SE-03
		"cookie key is an example":     {settings("ACP_COOKIE_KEY=" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\xff", 32)))), "ACP_COOKIE_KEY"},     // SE-03
		"cookie key twice":             {settings("ACP_COOKIE_KEY=" + good + "," + good), "ACP_COOKIE_KEY"},
		"scope with a quote":           {settings("ACP_SCOPES=openid \"" + canary), "ACP_SCOPES"},
		"scope not in ASCII":           {settings("ACP_SCOPES=openid ä" + canary), "ACP_SCOPES"},
		"client id with a control":     {settings("ACP_CLIENT_ID=\x01" + canary), "ACP_CLIENT_ID"},
		"secret with a line break":     {settings("ACP_CLIENT_SECRET=" + canary + "\n"), "ACP_CLIENT_SECRET"},
		"issuer with a space":          {settings("ACP_ISSUER=https://acp.example/a " + canary), "ACP_ISSUER"},
		"issuer without a host":        {settings("ACP_ISSUER=https://:443/" + canary), "ACP_ISSUER"},
		"issuer's port too high":       {settings("ACP_ISSUER=https://acp.example:65536/" + canary), "ACP_ISSUER"},
		"redirect not in ASCII":        {settings("ACP_REDIRECT_URL=https://app.example/ä" + canary), "ACP_REDIRECT_URL"},
		"redirect without a path":      {settings("ACP_REDIRECT_URL=https://" + canary + ".example"), "ACP_REDIRECT_URL"},
		"redirect to the login":        {settings("ACP_REDIRECT_URL=https://" + canary + ".example/login"), "ACP_REDIRECT_URL"},
		"redirect to the logout":       {settings("ACP_REDIRECT_URL=https://" + canary + ".example/logout"), "ACP_REDIRECT_URL"},
		"redirect to a page":           {settings("ACP_REDIRECT_URL=https://" + canary + ".example/profile"), "ACP_REDIRECT_URL"},
		"redirect to the API":          {settings("ACP_REDIRECT_URL=https://" + canary + ".example/api/me"), "ACP_REDIRECT_URL"},
		"redirect with dots":           {settings("ACP_REDIRECT_URL=https://" + canary + ".example/a/../callback"), "ACP_REDIRECT_URL"},
		"redirect with two slashes":    {settings("ACP_REDIRECT_URL=https://" + canary + ".example//callback"), "ACP_REDIRECT_URL"},
		"listen elsewhere":             {settings("ACP_LISTEN=192.0.2.1:0"), "ACP_LISTEN"},
		"unknown, with a line break":   {settings("ACP_A\nB=" + canary), `ACP_A\nB`},
		"API by http":                  {settings("ACP_API_URL=http://api.example/accounts"), "ACP_API_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			apptest.Refuses(t, "webapp", run, row.environ, row.variable, good, "192.0.2.1")
		})
	}
}

// A port that is taken is no wrong setting: the next start may succeed.
func TestListenerInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var stderr strings.Builder
	if status := run(t.Context(), settings("ACP_LISTEN="+taken.Addr().String()), io.Discard, &stderr); status != 1 {
		t.Errorf("exit status %d", status)
	}
	if message := stderr.String(); !strings.HasPrefix(message, "webapp: ACP_LISTEN: ") || strings.Count(message, "\n") != 1 || strings.Contains(message, taken.Addr().String()) {
		t.Errorf("not one line that names ACP_LISTEN alone: %s", message)
	}
}

func TestGoodSettings(t *testing.T) {
	c, err := parse([]string{"ACP_ISSUER=", "ACP_CLIENT_SECRET=  ", "ACP_NONSENSE=", "HOME=/"})
	if err != nil || c.Issuer != "" || c.Listen != "127.0.0.1:0" {
		t.Errorf("blank is not absent: %+v, %v", c, err)
	}
	first, second := apptest.CookieKey(), apptest.CookieKey()
	c, err = parse(settings("ACP_COOKIE_KEY="+first+", "+second, "ACP_SCOPES= openid  things.read ", "ACP_LISTEN=", "ACP_RESPONSE_MODE=form_post"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.CookieKeys) != 2 || base64.StdEncoding.EncodeToString(c.CookieKeys[0]) != first {
		t.Error("the newest cookie key is not the first")
	}
	if strings.Join(c.Scopes, ",") != "openid,things.read" || c.Listen != "127.0.0.1:8080" || c.auth != nil || c.Development {
		t.Errorf("%+v", c)
	}
}
