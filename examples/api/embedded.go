package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/acp-go/acp/examples/api/things"
	"github.com/acp-go/acp/examples/localacp"
)

// embed starts an ACP-shaped server in this process, where the API at this address is a
// service, and sets c to use it.
func embed(c *config, here string, log *slog.Logger) (*localacp.Server, error) {
	acp, err := localacp.Start(localacp.Options{
		Audience: here,
		Clients:  []localacp.Client{{ID: "curl", RedirectURLs: []string{here + "/"}}}, // whose tokens are printed
		Logger:   log,
	})
	if err != nil {
		return nil, err
	}
	c.issuer, c.audience, c.resource = acp.Issuer, here, here
	return acp, nil
}

// curlLines are requests to paste: one that passes for each route, and some that are refused.
func curlLines(acp *localacp.Server, here string) (string, error) {
	read := localacp.Grant{ClientID: "curl", Username: "alice", Scopes: []string{"things.read"}}
	write, strong := read, read
	write.Scopes = things.Scopes
	strong.ACR = things.ACR
	var b strings.Builder
	for _, line := range []struct {
		title string
		grant *localacp.Grant // nil: no token
		args  string          // of curl, before the address
		path  string
	}{
		{"200, GET /things with the scope things.read", &read, "", "/things"},
		{"200, POST /things with the scope things.write", &write, "-X POST ", "/things"},
		{fmt.Sprintf("200, GET /transfer after a strong sign-in (in %.0f minutes it is too old: 401)", things.MaxAge.Minutes()), &strong, "", "/transfer"},
		{"200, where clients find out about this API", nil, "", "/.well-known/oauth-protected-resource"},
		{"401, no token", nil, "", "/things"},
		{"403, the scope things.write is missing", &read, "-X POST ", "/things"},
		{"401, the sign-in was not strong enough", &read, "", "/transfer"},
	} {
		header := ""
		if line.grant != nil {
			token, err := acp.AccessToken(*line.grant)
			if err != nil {
				return "", err
			}
			header = "-H 'Authorization: Bearer " + token + "' "
		}
		fmt.Fprintf(&b, "\n# %s\ncurl -i %s%s%s%s\n", line.title, line.args, header, here, line.path)
	}
	return b.String(), nil
}
