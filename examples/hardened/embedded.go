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

// embed starts a server of FAPI 2.0 and the API of examples/api, and says how to use them. The application
// is at address. The returned function stops both.
func embed(address net.Addr, authority *throwaway.Authority, own *tls.Certificate, log *slog.Logger) (c config, stop func() error, err error) {
	base, id := "https://"+address.String(), "hardened"
	key, err1 := throwaway.Key()
	dpopKey, err2 := throwaway.Key()
	listener, err3 := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err1, err2, err3); err != nil {
		return config{}, nil, err
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
		return config{}, nil, errors.Join(err, listener.Close())
	}
	secured := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*own}, MinVersion: tls.VersionTLS12})
	stopAPI, err := things.Start(secured, acpclient.VerifierConfig{
		Profile: acpclient.FAPI2Security,
		Issuer:  acp.Issuer, Audience: api, RootCAs: authority.Pool(), Logger: log,
	})
	if err != nil {
		return config{}, nil, errors.Join(err, secured.Close(), acp.Close())
	}
	cookieKey := make([]byte, 32)
	rand.Read(cookieKey)
	return config{
		issuer: acp.Issuer, clientID: id, key: key, dpopKey: dpopKey,
		redirectURL: base + "/callback", afterLogout: base + site.AfterLogout,
		scopes:     []string{"openid", "profile", "offline_access", "things.read"},
		cookieKeys: [][]byte{cookieKey}, apiURL: api + "/things", rootCAs: authority.Pool(),
	}, func() error { return errors.Join(stopAPI(), acp.Close()) }, nil
}
