package main

import (
	"cmp"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/env"
	"github.com/acp-go/acp/examples/internal/rp"
)

// config is what the environment says: that of rp.Config, where the server knows the only redirect URI
// when ACP_REDIRECT_URL is absent, and
//
//	ACP_CLIENT_SECRET  the client's secret; absent: a public client
//	ACP_CLIENT_AUTH    client_secret_basic, client_secret_post, private_key_jwt; absent: by metadata
//	ACP_CLIENT_KEY     PEM file with the key for private_key_jwt
//	ACP_RESPONSE_MODE  query (the default), form_post
type config struct {
	rp.Config
	auth acpclient.ClientAuth
}

// parse reads "NAME=value" pairs. The error is about one variable, in one line.
func parse(environ []string) (config, error) {
	var c config
	err := c.Parse(environ, []string{"ACP_CLIENT_SECRET", "ACP_CLIENT_AUTH", "ACP_CLIENT_KEY"}, func(s env.Settings) (err error) {
		c.ResponseMode = cmp.Or(c.ResponseMode, "query")
		if c.ResponseMode != "query" && c.ResponseMode != "form_post" {
			return env.Mistake("ACP_RESPONSE_MODE", "must be query or form_post")
		}
		c.auth, err = clientAuth(s)
		return err
	})
	return c, err
}
