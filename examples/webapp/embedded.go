package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/api/things"
	"github.com/acp-go/acp/examples/internal/site"
	"github.com/acp-go/acp/examples/localacp"
)

// embed starts an ACP-shaped server and the API of examples/api in this process, and sets c
// to use them. The returned function stops both.
func embed(c *config, app net.Addr, log *slog.Logger) (stop func(), err error) {
	base := "http://" + app.String()
	const id = "webapp"
	secret := rand.Text()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the API's listener: %w", err)
	}
	api := "http://" + listener.Addr().String()
	acp, err := localacp.Start(localacp.Options{
		Audience: api,
		Clients: []localacp.Client{{
			ID: id, Name: "Example app", Secret: secret,
			RedirectURLs:           []string{base + "/callback"},
			PostLogoutRedirectURLs: []string{base + site.AfterLogout},
		}},
		Logger: log,
	})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	stopAPI, err := things.Start(listener, acpclient.VerifierConfig{Issuer: acp.Issuer, Audience: api, Logger: log})
	if err != nil {
		return nil, errors.Join(err, listener.Close(), acp.Close())
	}
	key := make([]byte, 32)
	rand.Read(key)
	c.Issuer, c.ClientID, c.auth = acp.Issuer, id, acpclient.Secret(secret)
	c.RedirectURL, c.AfterLogout = base+"/callback", base+site.AfterLogout
	c.Scopes = []string{"openid", "profile", "offline_access", "things.read"}
	c.CookieKeys = [][]byte{key}
	c.APIURL = api + "/things"
	c.Development = true
	return func() {
		if err := errors.Join(stopAPI(), acp.Close()); err != nil {
			log.Warn("the embedded servers did not end well", "error", err)
		}
	}, nil
}
