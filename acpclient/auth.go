package acpclient

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// ClientAuth is how a confidential client proves itself at the token endpoint and at every other
// endpoint that asks for it. Values come from Secret, SecretBasic, SecretPost, SecretJWT,
// PrivateKeyJWT and MutualTLS; nil is a public client. The one method that was chosen is sent
// once and never tried out, because failed attempts count towards ACP's lock-out.
type ClientAuth interface {
	// check reports a mistake that can be known without the network.
	check() error
	// authenticate adds the credentials to a request that is about to leave.
	authenticate(*credentials) error
}

// credentials is a request in the making, as its ClientAuth sees it.
type credentials struct {
	clientID string
	issuer   string      // audience of assertions
	methods  []string    // token_endpoint_auth_methods_supported; nil when the server is silent
	header   http.Header // of the request
	form     url.Values  // parameters to add to the request's own; nil for none
	secrets  []string    // among what was added
	now      time.Time
}

func (c *credentials) set(name, value string) {
	if c.form == nil {
		c.form = url.Values{}
	}
	c.form.Set(name, value)
}

type secretStyle int

const (
	styleByMetadata secretStyle = iota
	styleBasic
	stylePost
)

type clientSecret struct {
	sealed
	value string
	style secretStyle
}

// Secret authenticates with a client secret: client_secret_basic, or client_secret_post
// where the server's metadata offers only that. "" is refused by New.
func Secret(value string) ClientAuth { return clientSecret{value: value, style: styleByMetadata} }

// SecretBasic authenticates with client_secret_basic, whatever the metadata says.
func SecretBasic(value string) ClientAuth { return clientSecret{value: value, style: styleBasic} }

// SecretPost authenticates with client_secret_post, whatever the metadata says.
func SecretPost(value string) ClientAuth { return clientSecret{value: value, style: stylePost} }

func (s clientSecret) check() error {
	if s.value == "" {
		return mistake("Auth", "the client secret is empty (nil is a public client)")
	}
	return nil
}

func (s clientSecret) authenticate(c *credentials) error {
	c.secrets = append(c.secrets, s.value)
	post := s.style == stylePost || s.style == styleByMetadata &&
		!slices.Contains(c.methods, "client_secret_basic") && slices.Contains(c.methods, "client_secret_post")
	if post {
		c.set("client_id", c.clientID)
		c.set("client_secret", s.value)
		return nil
	}
	// RFC 6749 2.3.1: both halves are form-urlencoded before base64.
	r := http.Request{Header: c.header}
	r.SetBasicAuth(url.QueryEscape(c.clientID), url.QueryEscape(s.value))
	return nil
}

// settled is a ClientAuth that later changes of the caller's do not reach.
func settled(a ClientAuth) ClientAuth {
	switch p := a.(type) {
	case *PrivateKeyJWT:
		return settledValue(p)
	case *SecretJWT:
		return settledValue(p)
	case *MutualTLS:
		return settledValue(p)
	}
	return a
}

// settledValue makes a zero value of nil: its check says what is missing.
func settledValue[T any, P interface {
	*T
	ClientAuth
}](p P) ClientAuth {
	if p == nil {
		p = new(T)
	}
	return any(*p).(ClientAuth)
}

// sharedSecret is the client secret that the server knows, too; "" where there is none.
func sharedSecret(a ClientAuth) string {
	switch a := a.(type) {
	case clientSecret:
		return a.value
	case SecretJWT:
		return a.Secret
	}
	return ""
}
