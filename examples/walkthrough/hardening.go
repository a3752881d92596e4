package main

import (
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"net"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/throwaway"
	"github.com/acp-go/acp/examples/localacp"
)

// hardening is what the parties need to keep to the FAPI 2.0 Security Profile: certificates for
// all servers, and the web application's keys, one for assertions and one for proofs.
type hardening struct {
	authority *throwaway.Authority
	own       *tls.Certificate
	key, dpop *ecdsa.PrivateKey
}

func newHardening() (*hardening, error) {
	authority, err := throwaway.NewAuthority()
	if err != nil {
		return nil, err
	}
	h := &hardening{authority: authority}
	var err1, err2, err3 error
	h.own, err1 = authority.Loopback()
	h.key, err2 = throwaway.Key()
	h.dpop, err3 = throwaway.Key()
	return h, errors.Join(err1, err2, err3)
}

func (h *hardening) secure(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*h.own}, MinVersion: tls.VersionTLS12})
}

func (h *hardening) server(o *localacp.Options) {
	o.FAPI2, o.Certificate = true, h.own
	o.Clients[0].Secret, o.Clients[0].PublicKey = "", h.key.Public()
}

func (h *hardening) api(c *acpclient.VerifierConfig) {
	c.Profile, c.RootCAs = acpclient.FAPI2Security, h.authority.Pool()
}

func (h *hardening) client(c *acpclient.Config) {
	c.Profile = acpclient.FAPI2Security
	c.Auth, c.DPoP = acpclient.PrivateKeyJWT{Key: h.key}, &acpclient.DPoP{Key: h.dpop}
}
