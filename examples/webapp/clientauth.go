package main

import (
	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/env"
)

// clientAuth is how the client proves itself; nil is a public client.
func clientAuth(s env.Settings) (acpclient.ClientAuth, error) {
	secret, err := s.Secret("ACP_CLIENT_SECRET")
	if err != nil {
		return nil, err
	}
	switch method := s.Text("ACP_CLIENT_AUTH"); method {
	case "", "client_secret_basic", "client_secret_post":
		if s.Text("ACP_CLIENT_KEY") != "" {
			return nil, env.Mistake("ACP_CLIENT_KEY", "is for ACP_CLIENT_AUTH=private_key_jwt only")
		}
		return secretAuth(method, secret)
	case "private_key_jwt":
		if secret != "" {
			return nil, env.Mistake("ACP_CLIENT_SECRET", "contradicts ACP_CLIENT_AUTH=private_key_jwt")
		}
		key, err := s.Key("ACP_CLIENT_KEY")
		switch {
		case err != nil:
			return nil, err
		case key == nil:
			return nil, env.Mistake("ACP_CLIENT_KEY", "is required by ACP_CLIENT_AUTH=private_key_jwt")
		}
		return acpclient.PrivateKeyJWT{Key: key}, nil
	}
	return nil, env.Mistake("ACP_CLIENT_AUTH", "must be client_secret_basic, client_secret_post or private_key_jwt")
}

func secretAuth(method, secret string) (acpclient.ClientAuth, error) {
	switch {
	case secret == "" && method != "":
		return nil, env.Mistake("ACP_CLIENT_SECRET", "is required by ACP_CLIENT_AUTH")
	case secret == "":
		return nil, nil
	case method == "client_secret_basic":
		return acpclient.SecretBasic(secret), nil
	case method == "client_secret_post":
		return acpclient.SecretPost(secret), nil
	}
	return acpclient.Secret(secret), nil
}
