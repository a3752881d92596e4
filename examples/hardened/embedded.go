package main

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/api/things"
	"github.com/acp-go/acp/examples/internal/site"
	"github.com/acp-go/acp/examples/internal/throwaway"
	"github.com/acp-go/acp/examples/localacp"
)

// embed starts a server of FAPI 2.0 and the API of examples/api in this process, and sets c to use them. The
// returned function stops both. authority is who signed the certificates of all three, in DER.
func embed(c *config, app net.Addr, log *slog.Logger) (stop func(), authority []byte, err error) {
	ca, err := throwaway.NewAuthority()
	if err != nil {
		return nil, nil, err
	}
	base, id := "https://"+app.String(), "hardened"
	own, err1 := ca.Loopback()
	key, err2 := throwaway.Key()
	dpopKey, err3 := throwaway.Key()
	listener, err4 := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, nil, err
	}
	api := "https://" + listener.Addr().String()
	acp, err := localacp.Start(localacp.Options{
		FAPI2: true, Certificate: own, Audience: api, Logger: log,
		Clients: []localacp.Client{{
			ID: id, Name: "Example app", PublicKey: key.Public(),
			RedirectURLs:           []string{base + "/callback"},
			PostLogoutRedirectURLs: []string{base + site.AfterLogout},
		}},
	})
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	secured := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*own}, MinVersion: tls.VersionTLS12})
	stopAPI, err := things.Start(secured, acpclient.VerifierConfig{
		Profile: acpclient.FAPI2Security,
		Issuer:  acp.Issuer, Audience: api, RootCAs: ca.Pool(), Logger: log,
	})
	if err != nil {
		return nil, nil, errors.Join(err, secured.Close(), acp.Close())
	}
	c.profile = acpclient.FAPI2Security
	c.auth, c.dpop = acpclient.PrivateKeyJWT{Key: key}, &acpclient.DPoP{Key: dpopKey}
	c.Issuer, c.ClientID, c.own = acp.Issuer, id, own
	c.RedirectURL, c.AfterLogout = base+"/callback", base+site.AfterLogout
	c.Scopes = []string{"openid", "profile", "offline_access", "things.read"}
	cookieKey := make([]byte, 32)
	rand.Read(cookieKey)
	c.CookieKeys = [][]byte{cookieKey}
	c.APIURL, c.RootCAs, c.Development = api+"/things", ca.Pool(), true
	return func() {
		if err := errors.Join(stopAPI(), acp.Close()); err != nil {
			log.Warn("the embedded servers did not end well", "error", err)
		}
	}, ca.Certificate(), nil
}
