// Package rp is what the relying parties among the examples, which are web applications, have in common: their settings, and the
// call of an API.
package rp

import (
	"cmp"
	"crypto/x509"
	"strings"

	"github.com/acp-go/acp/examples/internal/env"
	"github.com/acp-go/acp/examples/redis"
	"github.com/acp-go/acp/middleware"
)

// Config is what the environment says to each of them:
//
//	ACP_ISSUER         the authorization server; absent: the program's own, in this process
//	ACP_CLIENT_ID      the client's id there
//	ACP_REDIRECT_URL   the registered redirect URI
//	ACP_SCOPES         separated by spaces; absent: openid profile
//	ACP_RESPONSE_MODE  how the answer comes back; each program says which there are
//	ACP_COOKIE_KEY     base64 of 32 random bytes; several with commas, newest first
//	ACP_LISTEN         host:port; absent: 127.0.0.1:8080, or a free port without ACP_ISSUER
//	ACP_API_URL        an API to call with the user's access token
//	ACP_ROOT_CA        PEM file with certificates to trust, besides the system's
//	ACP_REDIS_URL      where sessions are kept, and leased for refreshing; absent: sealed cookies
//
// Blank is absent. Without ACP_ISSUER only ACP_LISTEN may be set.
type Config struct {
	Listen       string
	Issuer       string // "": embedded
	ClientID     string
	RedirectURL  string
	Scopes       []string
	ResponseMode string
	CookieKeys   [][]byte
	APIURL       string
	RootCAs      *x509.CertPool

	// Of ACP_REDIS_URL. nil: sealed cookies.
	Store middleware.Store
	Lease middleware.Lease
	close func() error

	// Only the embedded server sets these.
	AfterLogout string
	Development bool
}

// Variables are by the fields of the packages' configurations that they set, and whose check is
// theirs.
var Variables = map[string]string{
	"Issuer": "ACP_ISSUER", "ClientID": "ACP_CLIENT_ID", "RedirectURL": "ACP_REDIRECT_URL",
	"Scopes": "ACP_SCOPES", "ResponseMode": "ACP_RESPONSE_MODE", "Config.CookieKeys": "ACP_COOKIE_KEY",
}

// Parse reads "NAME=value" pairs. own are the settings that only this program has, and with parses them; it is
// not called for the embedded server. The error is about one variable, in one line.
func (c *Config) Parse(environ []string, own []string, with func(env.Settings) error) error {
	s, err := env.Read(environ, append([]string{"ACP_CLIENT_ID", "ACP_REDIRECT_URL", "ACP_SCOPES", "ACP_RESPONSE_MODE",
		"ACP_COOKIE_KEY", "ACP_API_URL", "ACP_ROOT_CA", "ACP_REDIS_URL"}, own...)...)
	if err != nil {
		return err
	}
	c.Listen, err = s.Listen("127.0.0.1:8080")
	if err != nil || s.Embedded() {
		return err
	}
	c.ClientID = s.Text("ACP_CLIENT_ID")
	c.RedirectURL = s.Text("ACP_REDIRECT_URL")
	c.Scopes = strings.Fields(cmp.Or(s.Text("ACP_SCOPES"), "openid profile"))
	c.ResponseMode = s.Text("ACP_RESPONSE_MODE")
	c.APIURL = s.Text("ACP_API_URL")
	return env.First(
		func() (err error) { c.Issuer, err = s.Issuer(); return err },
		func() error {
			if c.ClientID == "" {
				return env.Mistake("ACP_CLIENT_ID", "is required with ACP_ISSUER")
			}
			return nil
		},
		func() error { return checkRedirect(c.RedirectURL) },
		func() error { return with(s) },
		func() (err error) { c.CookieKeys, err = cookieKeys(s.Text("ACP_COOKIE_KEY")); return err },
		func() error {
			if c.APIURL == "" {
				return nil
			}
			return env.CheckURL("ACP_API_URL", c.APIURL)
		},
		func() (err error) { c.RootCAs, err = s.RootCAs(); return err },
		func() error { return c.openRedis(s.Text("ACP_REDIS_URL")) },
	)
}

// openRedis does not connect: the program starts while Redis is down.
func (c *Config) openRedis(url string) (err error) {
	if url == "" {
		return nil
	}
	if c.Store, c.Lease, c.close, err = redis.Open(url); err != nil {
		return env.Mistake("ACP_REDIS_URL", "is %v", err)
	}
	return nil
}

// Close closes what Parse opened.
func (c *Config) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}
