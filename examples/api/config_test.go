package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/acp-go/acp/examples/internal/apptest"
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settings are a good configuration, changed by "NAME=value" pairs.
func settings(changes ...string) []string {
	return append([]string{
		"PATH=/bin", "ACP_ISSUER=https://acp.example/demo/bank", "ACP_AUDIENCE=spiffe://acp.example/things", "ACP_LISTEN=127.0.0.1:0",
	}, changes...)
}

const canary = apptest.Canary

func TestWrongSettings(t *testing.T) {
	const id, secret = "ACP_CLIENT_ID=" + canary, "ACP_CLIENT_SECRET=" + canary
	for name, row := range map[string]struct {
		environ  []string
		variable string
	}{
		"no issuer, but an audience":    {[]string{"ACP_AUDIENCE=" + canary}, "ACP_ISSUER"},
		"no issuer, but a mode":         {[]string{"ACP_TOKEN_MODE=jwt"}, "ACP_ISSUER"},
		"no issuer, but a resource":     {[]string{"ACP_RESOURCE=https://" + canary + ".example"}, "ACP_ISSUER"},
		"blank issuer, but a secret":    {[]string{"ACP_ISSUER= \t", secret}, "ACP_ISSUER"},
		"no issuer, but an unknown":     {[]string{"ACP_NONSENSE=" + canary}, "ACP_ISSUER"},
		"no issuer, listen to all":      {[]string{"ACP_LISTEN=0.0.0.0:0"}, "ACP_LISTEN"},
		"CF-01 no audience":             {settings("ACP_AUDIENCE="), "ACP_AUDIENCE"}, // BR-12
		"BR-12 blank audience":          {settings("ACP_AUDIENCE=  "), "ACP_AUDIENCE"},
		"unknown":                       {settings("ACP_AUDIENCES=" + canary), "ACP_AUDIENCES"},
		"the webapp's":                  {settings("ACP_COOKIE_KEY=" + canary), "ACP_COOKIE_KEY"},
		"unknown, over two lines":       {settings("ACP_X\nY=" + canary), `ACP_X\nY`},
		"issuer relative":               {settings("ACP_ISSUER=/demo/bank"), "ACP_ISSUER"},
		"issuer with query":             {settings("ACP_ISSUER=https://acp.example/demo?x=" + canary), "ACP_ISSUER"},
		"issuer with an empty fragment": {settings("ACP_ISSUER=https://acp.example/demo#"), "ACP_ISSUER"},
		"issuer with password":          {settings("ACP_ISSUER=https://user:" + canary + "@acp.example/demo"), "ACP_ISSUER"},
		"issuer by http":                {settings("ACP_ISSUER=http://acp.example/demo"), "ACP_ISSUER"},
		"issuer with a port too high":   {settings("ACP_ISSUER=https://acp.example:65536/demo"), "ACP_ISSUER"},
		"mode":                          {settings("ACP_TOKEN_MODE=" + canary), "ACP_TOKEN_MODE"},
		"mode in capitals":              {settings("ACP_TOKEN_MODE=JWT"), "ACP_TOKEN_MODE"},
		"introspection alone":           {settings("ACP_TOKEN_MODE=introspection"), "ACP_CLIENT_ID"},
		"auto alone":                    {settings("ACP_TOKEN_MODE=auto"), "ACP_CLIENT_ID"},
		"introspection, no secret":      {settings("ACP_TOKEN_MODE=introspection", id), "ACP_CLIENT_SECRET"},
		"auto, blank secret":            {settings("ACP_TOKEN_MODE=auto", id, "ACP_CLIENT_SECRET=  "), "ACP_CLIENT_SECRET"},
		"introspection, no id":          {settings("ACP_TOKEN_MODE=introspection", secret), "ACP_CLIENT_ID"},
		"CF-07 secret without id":       {settings(secret), "ACP_CLIENT_ID"},
		"CF-07 id without secret":       {settings(id), "ACP_CLIENT_SECRET"},
		"id that no client can have":    {settings("ACP_TOKEN_MODE=auto", "ACP_CLIENT_ID="+canary+"é", secret), "ACP_CLIENT_ID"},
		"secret with a line break":      {settings("ACP_TOKEN_MODE=auto", id, secret+"\n"), "ACP_CLIENT_SECRET"},
		"resource relative":             {settings("ACP_RESOURCE=" + canary), "ACP_RESOURCE"},
		"resource by http":              {settings("ACP_RESOURCE=http://" + canary + ".example"), "ACP_RESOURCE"},
		"resource with a fragment":      {settings("ACP_RESOURCE=https://api.example/#" + canary), "ACP_RESOURCE"},
		"resource with a query":         {settings("ACP_RESOURCE=https://api.example/?" + canary), "ACP_RESOURCE"},
		"resource that is no URL":       {settings("ACP_RESOURCE=https://api.example/<" + canary), "ACP_RESOURCE"},
		"resource with dots":            {settings("ACP_RESOURCE=https://api.example/x/../" + canary), "ACP_RESOURCE"},
		"CA file missing":               {settings("ACP_ROOT_CA=/" + canary), "ACP_ROOT_CA"},
		"CA file without certificate":   {settings("ACP_ROOT_CA=" + writeFile(t, canary)), "ACP_ROOT_CA"},
		"listen without port":           {settings("ACP_LISTEN=127.0.0.1"), "ACP_LISTEN"},
		"listen with a named port":      {settings("ACP_LISTEN=127.0.0.1:http"), "ACP_LISTEN"},
		"listen port too high":          {settings("ACP_LISTEN=127.0.0.1:65536"), "ACP_LISTEN"},
		"listen elsewhere":              {settings("ACP_LISTEN=192.0.2.1:0"), "ACP_LISTEN"},
	} {
		t.Run(name, func(t *testing.T) {
			apptest.Refuses(t, "api", run, row.environ, row.variable)
		})
	}
}

func TestGoodSettings(t *testing.T) {
	for name, row := range map[string]struct {
		environ []string
		want    config
	}{
		"blank is absent":      {[]string{"ACP_ISSUER=", "ACP_CLIENT_SECRET=  ", "ACP_NONSENSE=", "HOME=/"}, config{listen: "127.0.0.1:0"}},
		"defaults":             {settings("ACP_LISTEN="), config{listen: "127.0.0.1:8081", issuer: "https://acp.example/demo/bank", audience: "spiffe://acp.example/things", mode: "jwt"}},
		"credentials with jwt": {settings("ACP_CLIENT_ID=api", "ACP_CLIENT_SECRET=x"), config{listen: "127.0.0.1:0", issuer: "https://acp.example/demo/bank", audience: "spiffe://acp.example/things", mode: "jwt", clientID: "api"}},
		"the last one counts":  {settings("ACP_AUDIENCE=a", "ACP_AUDIENCE= b "), config{listen: "127.0.0.1:0", issuer: "https://acp.example/demo/bank", audience: "b", mode: "jwt"}},
	} {
		if c, err := parse(row.environ); err != nil || c != row.want {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}
