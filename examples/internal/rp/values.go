package rp

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/acp-go/acp/examples/internal/env"
	"github.com/acp-go/acp/examples/internal/serve"
)

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
