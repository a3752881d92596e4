package main

import (
	"cmp"
	"crypto/x509"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/env"
)

// config is what the environment says:
//
//	ACP_ISSUER         the authorization server; absent: our own, in this process
//	ACP_AUDIENCE       this API's identifier in the tokens' aud; required with ACP_ISSUER
//	ACP_TOKEN_MODE     jwt (the default), introspection, or auto: JWTs by their signature,
//	                   anything else by introspection
//	ACP_CLIENT_ID      this API's registration at the server, for introspection
//	ACP_CLIENT_SECRET  and its secret (client_secret_basic)
//	ACP_RESOURCE       this API's identifier for clients (RFC 9728); absent: no metadata
//	ACP_LISTEN         host:port; absent: 127.0.0.1:8081, or a free port without ACP_ISSUER
//	ACP_ROOT_CA        PEM file with certificates to trust, besides the system's
//
// Blank is absent. Without ACP_ISSUER only ACP_LISTEN may be set.
type config struct {
	listen   string
	issuer   string // "": embedded
	audience string
	mode     string
	clientID string
	auth     acpclient.ClientAuth
	resource string
	rootCAs  *x509.CertPool
}

// parse reads "NAME=value" pairs. The error is about one variable, in one line.
func parse(environ []string) (config, error) {
	s, err := env.Read(environ, "ACP_AUDIENCE", "ACP_TOKEN_MODE", "ACP_CLIENT_ID", "ACP_CLIENT_SECRET", "ACP_RESOURCE", "ACP_ROOT_CA")
	if err != nil {
		return config{}, err
	}
	var c config
	c.listen, err = s.Listen("127.0.0.1:8081")
	if err != nil || s.Embedded() {
		return c, err
	}
	c.audience, c.resource = s.Text("ACP_AUDIENCE"), s.Text("ACP_RESOURCE")
	c.mode = cmp.Or(s.Text("ACP_TOKEN_MODE"), "jwt")
	return c, env.First(
		func() (err error) { c.issuer, err = s.Issuer(); return err },
		func() error {
			if c.audience == "" {
				return env.Mistake("ACP_AUDIENCE", "is required with ACP_ISSUER; without it tokens for every other API would pass")
			}
			return nil
		},
		func() error {
			if c.mode != "jwt" && c.mode != "introspection" && c.mode != "auto" {
				return env.Mistake("ACP_TOKEN_MODE", "must be jwt, introspection or auto")
			}
			return nil
		},
		func() error { return c.credentials(s) },
		func() error {
			if c.resource == "" {
				return nil
			}
			return env.CheckURL("ACP_RESOURCE", c.resource)
		},
		func() (err error) { c.rootCAs, err = s.RootCAs(); return err },
	)
}

// credentials come in pairs. With jwt they are good for nothing, and do no harm.
func (c *config) credentials(s env.Settings) error {
	c.clientID = s.Text("ACP_CLIENT_ID")
	secret, err := s.Secret("ACP_CLIENT_SECRET")
	switch asks := c.mode != "jwt"; {
	case err != nil:
		return err
	case c.clientID == "" && secret != "":
		return env.Mistake("ACP_CLIENT_ID", "is required with ACP_CLIENT_SECRET")
	case c.clientID != "" && secret == "":
		return env.Mistake("ACP_CLIENT_SECRET", "is required with ACP_CLIENT_ID")
	case c.clientID == "" && asks:
		return env.Mistake("ACP_CLIENT_ID", "is required by ACP_TOKEN_MODE, and ACP_CLIENT_SECRET, too")
	case asks:
		c.auth = acpclient.SecretBasic(secret)
	}
	return nil
}

// variables are by the fields of the packages' configurations that they set, and whose
// check is theirs.
var variables = map[string]string{
	"Issuer": "ACP_ISSUER", "Audience": "ACP_AUDIENCE", "Mode": "ACP_TOKEN_MODE",
	"ClientID": "ACP_CLIENT_ID", "ClientID, Auth": "ACP_CLIENT_ID", "Auth": "ACP_CLIENT_SECRET",
	"BearerOptions.Resource": "ACP_RESOURCE", "ResourceMetadata.Resource": "ACP_RESOURCE",
	"ResourceMetadata.AuthorizationServers": "ACP_ISSUER",
}
