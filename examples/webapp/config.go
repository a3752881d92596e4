package main

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/env"
	"github.com/acp-go/acp/examples/internal/serve"
	"github.com/acp-go/acp/examples/redis"
	"github.com/acp-go/acp/middleware"
)

// config is what the environment says:
//
//	ACP_ISSUER         the authorization server; absent: our own, in this process
//	ACP_CLIENT_ID      the client's id there
//	ACP_CLIENT_SECRET  its secret; absent: a public client
//	ACP_CLIENT_AUTH    client_secret_basic, client_secret_post, private_key_jwt; absent: by metadata
//	ACP_CLIENT_KEY     PEM file with the key for private_key_jwt
//	ACP_REDIRECT_URL   the registered redirect URI; absent: the server knows the only one
//	ACP_SCOPES         separated by spaces; absent: openid profile
//	ACP_RESPONSE_MODE  query (the default), form_post
//	ACP_COOKIE_KEY     base64 of 32 random bytes; several with commas, newest first
//	ACP_LISTEN         host:port; absent: 127.0.0.1:8080, or a free port without ACP_ISSUER
//	ACP_API_URL        an API to call with the user's access token
//	ACP_ROOT_CA        PEM file with certificates to trust, besides the system's
//	ACP_REDIS_URL      where sessions are kept, and leased for refreshing; absent: sealed cookies
//
// Blank is absent. Without ACP_ISSUER only ACP_LISTEN may be set.
type config struct {
	listen       string
	issuer       string // "": embedded
	clientID     string
	auth         acpclient.ClientAuth
	redirectURL  string
	scopes       []string
	responseMode string
	cookieKeys   [][]byte
	apiURL       string
	rootCAs      *x509.CertPool

	// Of ACP_REDIS_URL. nil: sealed cookies.
	store      middleware.Store
	lease      middleware.Lease
	closeRedis func() error

	// Only the embedded server sets these.
	afterLogout string
	development bool
}

// parse reads "NAME=value" pairs. The error is about one variable, in one line.
func parse(environ []string) (config, error) {
	s, err := env.Read(environ, "ACP_CLIENT_ID", "ACP_CLIENT_SECRET", "ACP_CLIENT_AUTH", "ACP_CLIENT_KEY", "ACP_REDIRECT_URL",
		"ACP_SCOPES", "ACP_RESPONSE_MODE", "ACP_COOKIE_KEY", "ACP_API_URL", "ACP_ROOT_CA", "ACP_REDIS_URL")
	if err != nil {
		return config{}, err
	}
	c := config{closeRedis: func() error { return nil }}
	c.listen, err = s.Listen("127.0.0.1:8080")
	if err != nil || s.Embedded() {
		return c, err
	}
	c.clientID = s.Text("ACP_CLIENT_ID")
	c.redirectURL = s.Text("ACP_REDIRECT_URL")
	c.scopes = strings.Fields(cmp.Or(s.Text("ACP_SCOPES"), "openid profile"))
	c.responseMode = cmp.Or(s.Text("ACP_RESPONSE_MODE"), "query")
	c.apiURL = s.Text("ACP_API_URL")
	return c, env.First(
		func() (err error) { c.issuer, err = s.Issuer(); return err },
		func() error {
			if c.clientID == "" {
				return env.Mistake("ACP_CLIENT_ID", "is required with ACP_ISSUER")
			}
			return nil
		},
		func() error {
			secret, err := s.Secret("ACP_CLIENT_SECRET")
			if err == nil {
				c.auth, err = clientAuth(s.Text("ACP_CLIENT_AUTH"), secret, s.Text("ACP_CLIENT_KEY"))
			}
			return err
		},
		func() error { return checkRedirect(c.redirectURL) },
		func() error {
			if c.responseMode != "query" && c.responseMode != "form_post" {
				return env.Mistake("ACP_RESPONSE_MODE", "must be query or form_post")
			}
			return nil
		},
		func() (err error) { c.cookieKeys, err = cookieKeys(s.Text("ACP_COOKIE_KEY")); return err },
		func() error {
			if c.apiURL == "" {
				return nil
			}
			return env.CheckURL("ACP_API_URL", c.apiURL)
		},
		func() (err error) { c.rootCAs, err = s.RootCAs(); return err },
		func() error { return c.openRedis(s.Text("ACP_REDIS_URL")) },
	)
}

// openRedis does not connect: the program starts while Redis is down.
func (c *config) openRedis(url string) error {
	if url == "" {
		return nil
	}
	store, lease, stop, err := redis.Open(url)
	if err != nil {
		return env.Mistake("ACP_REDIS_URL", "is %v", err)
	}
	c.store, c.lease, c.closeRedis = store, lease, stop
	return nil
}

// checkRedirect demands a path that a browser asks for as it is written, and that nothing
// else answers here.
func checkRedirect(value string) error {
	const variable = "ACP_REDIRECT_URL"
	if value == "" {
		return nil
	}
	if err := env.CheckURL(variable, value); err != nil {
		return err
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || !serve.IsClean(u.Path):
		return env.Mistake(variable, "must have a path, without // and dots")
	case slices.Contains([]string{"/", "/login", "/logout", "/backchannel-logout", "/profile", "/healthz"}, u.Path), strings.HasPrefix(u.Path, "/api/"):
		return env.Mistake(variable, "must not have the path of a page of this program")
	}
	return nil
}

// variables are by the fields of the packages' configurations that they set, and whose
// check is theirs.
var variables = map[string]string{
	"Issuer": "ACP_ISSUER", "ClientID": "ACP_CLIENT_ID", "RedirectURL": "ACP_REDIRECT_URL",
	"Scopes": "ACP_SCOPES", "Config.CookieKeys": "ACP_COOKIE_KEY",
}

func cookieKeys(list string) ([][]byte, error) {
	if list == "" {
		return nil, env.Mistake("ACP_COOKIE_KEY", "is required with ACP_ISSUER; make one with: openssl rand -base64 32")
	}
	var keys [][]byte
	for part := range strings.SplitSeq(list, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(part))
		switch {
		case err != nil:
			return nil, env.Mistake("ACP_COOKIE_KEY", "a key is not base64")
		case len(key) != 32:
			return nil, env.Mistake("ACP_COOKIE_KEY", "a key has %d bytes instead of 32", len(key))
		case bytes.Equal(key, make([]byte, 32)):
			return nil, env.Mistake("ACP_COOKIE_KEY", "a key is all zero")
		}
		keys = append(keys, key)
	}
	return keys, nil
}
