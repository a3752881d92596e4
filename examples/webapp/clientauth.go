package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/examples/internal/env"
)

// clientAuth is how the client proves itself; nil is a public client.
func clientAuth(method, secret, keyFile string) (acpclient.ClientAuth, error) {
	switch method {
	case "", "client_secret_basic", "client_secret_post":
		if keyFile != "" {
			return nil, env.Mistake("ACP_CLIENT_KEY", "is for ACP_CLIENT_AUTH=private_key_jwt only")
		}
		if method != "" && secret == "" {
			return nil, env.Mistake("ACP_CLIENT_SECRET", "is required by ACP_CLIENT_AUTH")
		}
	case "private_key_jwt":
		if secret != "" {
			return nil, env.Mistake("ACP_CLIENT_SECRET", "contradicts ACP_CLIENT_AUTH=private_key_jwt")
		}
		if keyFile == "" {
			return nil, env.Mistake("ACP_CLIENT_KEY", "is required by ACP_CLIENT_AUTH=private_key_jwt")
		}
		key, err := readKey(keyFile)
		if err != nil {
			return nil, env.Mistake("ACP_CLIENT_KEY", "%v", err)
		}
		return acpclient.PrivateKeyJWT{Key: key}, nil
	default:
		return nil, env.Mistake("ACP_CLIENT_AUTH", "must be client_secret_basic, client_secret_post or private_key_jwt")
	}
	switch {
	case secret == "":
		return nil, nil
	case method == "client_secret_basic":
		return acpclient.SecretBasic(secret), nil
	case method == "client_secret_post":
		return acpclient.SecretPost(secret), nil
	default:
		return acpclient.Secret(secret), nil
	}
}

// readKey reads an RSA, EC or Ed25519 private key in PKCS #8, PKCS #1 or SEC 1.
func readKey(path string) (crypto.Signer, error) {
	data, err := env.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key any
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default: // such as EC PARAMETERS
			continue
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, errors.New("the file's private key cannot be read")
		}
		if _, err := acpclient.New(acpclient.Config{
			Issuer: "https://localhost", ClientID: "-", Auth: acpclient.PrivateKeyJWT{Key: signer},
		}); err != nil {
			return nil, errors.New("the key must be RSA of 2048 bits or more, ECDSA, or Ed25519")
		}
		return signer, nil
	}
	return nil, errors.New("the file has no private key in PEM")
}
