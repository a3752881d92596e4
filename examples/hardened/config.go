package main

import (
	"cmp"
	"crypto/tls"
	"maps"
	"slices"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/env"
	"github.com/acp-go/acp/examples/internal/rp"
	"github.com/acp-go/acp/examples/internal/throwaway"
)

// config is what the environment says: that of rp.Config, where ACP_ISSUER and ACP_REDIRECT_URL are
// https, and
//
//	ACP_PROFILE        fapi2-security (the default), fapi2-message-signing
//	ACP_CLIENT_AUTH    private_key_jwt (the default), tls_client_auth, self_signed_tls_client_auth
//	ACP_CLIENT_KEY     PEM file with the client's key, which signs assertions and request objects
//	ACP_CLIENT_KEY_ID  its kid at the server; absent: none is sent, and the server finds the key by itself
//	ACP_CLIENT_CERT    PEM file with the client's certificate and its chain, for both TLS methods; tokens
//	                   are bound to it when ACP_DPOP_KEY is absent, with private_key_jwt, too
//	ACP_CLIENT_CERT_KEY  PEM file with the certificate's key; absent: it is ACP_CLIENT_KEY
//	ACP_DPOP_KEY       PEM file with the key that tokens are bound to; absent: with private_key_jwt one is
//	                   made at the start, and the tokens are good for nothing after the end
//	ACP_RESPONSE_MODE  query (the default), form_post, jwt (the default of fapi2-message-signing, which takes
//	                   none of the former), query.jwt, form_post.jwt
//	ACP_TLS_CERT       PEM file with the program's own certificate and its chain; absent: it serves http,
//	                   behind a proxy that ends TLS
//	ACP_TLS_KEY        PEM file with its key
type config struct {
	rp.Config
	profile       acpclient.Profile
	auth          acpclient.ClientAuth
	dpop          *acpclient.DPoP
	requestObject *acpclient.RequestObject

	certificate *acpclient.MutualTLS // beside auth, to which tokens without dpop are bound
	own         *tls.Certificate     // the program's; nil serves http
	passing     bool                 // the key of dpop ends with the process
}

// variables are as rp.Variables.
var variables = func() map[string]string {
	all := maps.Clone(rp.Variables)
	all["Profile"], all["Auth"], all["RequestObject"], all["DPoP"] = "ACP_PROFILE", "ACP_CLIENT_KEY", "ACP_CLIENT_KEY", "ACP_DPOP_KEY"
	all["Certificate"] = "ACP_CLIENT_CERT"
	return all
}()

// parse reads "NAME=value" pairs. The error is about one variable, in one line. What contradicts the profile, New
// reports later.
func parse(environ []string) (config, error) {
	var c config
	err := c.Parse(environ, []string{
		"ACP_PROFILE", "ACP_CLIENT_AUTH", "ACP_CLIENT_KEY", "ACP_CLIENT_KEY_ID", "ACP_CLIENT_CERT", "ACP_CLIENT_CERT_KEY", "ACP_DPOP_KEY", "ACP_TLS_CERT", "ACP_TLS_KEY",
	}, func(s env.Settings) error {
		return env.First(
			func() error { return c.choose(s) },
			func() error { return c.authenticate(s) },
			func() error { return c.bind(s) },
			func() (err error) { c.own, err = s.Certificate("ACP_TLS_CERT", "ACP_TLS_KEY"); return err },
		)
	})
	return c, err
}

func (c *config) choose(s env.Settings) error {
	c.profile = acpclient.Profile(cmp.Or(s.Text("ACP_PROFILE"), string(acpclient.FAPI2Security)))
	if c.profile != acpclient.FAPI2Security && c.profile != acpclient.FAPI2MessageSigning {
		return env.Mistake("ACP_PROFILE", "must be fapi2-security or fapi2-message-signing")
	}
	if !slices.Contains([]string{"", "query", "form_post", "jwt", "query.jwt", "form_post.jwt"}, c.ResponseMode) {
		return env.Mistake("ACP_RESPONSE_MODE", "must be query, form_post, jwt, query.jwt or form_post.jwt")
	}
	return nil
}

// authenticate takes the client's key for all that is asked of it.
func (c *config) authenticate(s env.Settings) error {
	key, err := s.Key("ACP_CLIENT_KEY")
	switch {
	case err != nil:
		return err
	case key == nil:
		return env.Mistake("ACP_CLIENT_KEY", "is required with ACP_ISSUER")
	}
	id, signs := s.Text("ACP_CLIENT_KEY_ID"), c.profile == acpclient.FAPI2MessageSigning
	if signs {
		c.requestObject = &acpclient.RequestObject{Key: key, KeyID: id}
	}
	certificate, err := clientCertificate(s)
	if err != nil {
		return err
	}
	switch cmp.Or(s.Text("ACP_CLIENT_AUTH"), "private_key_jwt") {
	case "private_key_jwt":
		c.auth, c.certificate = acpclient.PrivateKeyJWT{Key: key, KeyID: id}, certificate
	case "tls_client_auth", "self_signed_tls_client_auth":
		if id != "" && !signs {
			return env.Mistake("ACP_CLIENT_KEY_ID", "is for a key that signs; ACP_CLIENT_AUTH and ACP_PROFILE have it sign nothing")
		}
		if certificate == nil {
			return env.Mistake("ACP_CLIENT_CERT", "is required by ACP_CLIENT_AUTH")
		}
		c.auth = *certificate
	default:
		return env.Mistake("ACP_CLIENT_AUTH", "must be private_key_jwt, tls_client_auth or self_signed_tls_client_auth")
	}
	return nil
}

// clientCertificate is nil where there is none.
func clientCertificate(s env.Settings) (*acpclient.MutualTLS, error) {
	key := "ACP_CLIENT_KEY"
	if s.Text("ACP_CLIENT_CERT_KEY") != "" {
		key = "ACP_CLIENT_CERT_KEY"
	}
	if s.Text("ACP_CLIENT_CERT") == "" {
		if key == "ACP_CLIENT_CERT_KEY" {
			return nil, env.Mistake(key, "is set without ACP_CLIENT_CERT")
		}
		return nil, nil
	}
	certificate, err := s.Certificate("ACP_CLIENT_CERT", key)
	if err != nil {
		return nil, err
	}
	return &acpclient.MutualTLS{Certificate: *certificate}, nil
}

// bind says what the tokens are bound to, if not to the certificate.
func (c *config) bind(s env.Settings) error {
	_, byTLS := c.auth.(acpclient.MutualTLS)
	key, err := s.Key("ACP_DPOP_KEY")
	if err == nil && key == nil && !byTLS && c.certificate == nil {
		c.passing = true
		key, err = throwaway.Key()
	}
	if err == nil && key != nil {
		c.dpop = &acpclient.DPoP{Key: key}
	}
	return err
}
