package main

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/acp-go/acp/acpclient"
)

// config is what the environment says:
//
//	ACP_ISSUER         the authorization server; absent: our own, in this process
//	ACP_CLIENT_ID      the client's id there
//	ACP_CLIENT_SECRET  its secret; absent: a public client
//	ACP_CLIENT_AUTH    client_secret_basic, client_secret_post, private_key_jwt; absent: by metadata
//	ACP_CLIENT_KEY     PEM file with the key for private_key_jwt
//	ACP_REDIRECT_URL   the registered redirect URI; absent: the server knows the only one
//	ACP_SCOPES         separated by spaces; absent: openid profile
//	ACP_RESPONSE_MODE  query (the default), form_post
//	ACP_COOKIE_KEY     base64 of 32 random bytes; several with commas, newest first
//	ACP_LISTEN         host:port; absent: 127.0.0.1:8080, or a free port without ACP_ISSUER
//	ACP_API_URL        an API to call with the user's access token
//	ACP_ROOT_CA        PEM file with certificates to trust, besides the system's
//
// Blank is absent. Without ACP_ISSUER only ACP_LISTEN may be set.
type config struct {
	listen       string
	issuer       string // "": embedded
	clientID     string
	auth         acpclient.ClientAuth
	redirectURL  string
	scopes       []string
	responseMode string
	cookieKeys   [][]byte
	apiURL       string
	rootCAs      *x509.CertPool

	// Only the embedded server sets these.
	afterLogout string
	development bool
}

const redisVariable = "ACP_REDIS_URL"

var variables = []string{
	"ACP_ISSUER", "ACP_CLIENT_ID", "ACP_CLIENT_SECRET", "ACP_CLIENT_AUTH", "ACP_CLIENT_KEY", "ACP_REDIRECT_URL",
	"ACP_SCOPES", "ACP_RESPONSE_MODE", "ACP_COOKIE_KEY", "ACP_LISTEN", "ACP_API_URL", "ACP_ROOT_CA", redisVariable,
}

// mistake is a wrong setting. It names the variable and never repeats a value,
// which could be a secret in the wrong place.
func mistake(variable, format string, args ...any) error {
	return errors.New(variable + ": " + fmt.Sprintf(format, args...))
}

// parse reads "NAME=value" pairs. The error is about one variable, in one line.
func parse(environ []string) (config, error) {
	env := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case !strings.HasPrefix(name, "ACP_"):
		case strings.TrimSpace(value) == "":
			delete(env, name)
		default:
			env[name] = value
		}
	}
	text := func(name string) string { return strings.TrimSpace(env[name]) }

	if text("ACP_ISSUER") == "" {
		for _, name := range slices.Sorted(maps.Keys(env)) {
			if name != "ACP_LISTEN" {
				return config{}, mistake("ACP_ISSUER", "is not set, but %s is; without an issuer only ACP_LISTEN may be set", name)
			}
		}
		c := config{listen: cmp.Or(text("ACP_LISTEN"), "127.0.0.1:0")}
		if host, _, err := net.SplitHostPort(c.listen); err != nil || !loopback(host) {
			return config{}, mistake("ACP_LISTEN", "must be a loopback host:port as long as ACP_ISSUER is not set")
		}
		return c, checkListen(c.listen)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !slices.Contains(variables, name) {
			return config{}, mistake(oneLine(name), "is not a setting of this program")
		}
	}
	if text(redisVariable) != "" {
		return config{}, mistake(redisVariable, "sessions cannot be kept in Redis yet; unset it to keep them in sealed cookies")
	}

	c := config{
		issuer:       text("ACP_ISSUER"),
		clientID:     text("ACP_CLIENT_ID"),
		redirectURL:  text("ACP_REDIRECT_URL"),
		scopes:       strings.Fields(cmp.Or(text("ACP_SCOPES"), "openid profile")),
		responseMode: cmp.Or(text("ACP_RESPONSE_MODE"), "query"),
		listen:       cmp.Or(text("ACP_LISTEN"), "127.0.0.1:8080"),
		apiURL:       text("ACP_API_URL"),
	}
	// The first mistake is enough for one line.
	for _, check := range []func() error{
		func() error { return checkURL("ACP_ISSUER", c.issuer, true) },
		func() error {
			if c.clientID == "" {
				return mistake("ACP_CLIENT_ID", "is required with ACP_ISSUER")
			}
			return nil
		},
		func() (err error) {
			c.auth, err = clientAuth(text("ACP_CLIENT_AUTH"), env["ACP_CLIENT_SECRET"], text("ACP_CLIENT_KEY"))
			return err
		},
		func() error {
			if c.redirectURL == "" {
				return nil
			}
			return checkRedirect(c.redirectURL)
		},
		func() error {
			if c.responseMode != "query" && c.responseMode != "form_post" {
				return mistake("ACP_RESPONSE_MODE", "must be query or form_post")
			}
			return nil
		},
		func() (err error) { c.cookieKeys, err = cookieKeys(text("ACP_COOKIE_KEY")); return err },
		func() error { return checkListen(c.listen) },
		func() error {
			if c.apiURL == "" {
				return nil
			}
			return checkURL("ACP_API_URL", c.apiURL, false)
		},
		func() (err error) { c.rootCAs, err = rootCAs(text("ACP_ROOT_CA")); return err },
	} {
		if err := check(); err != nil {
			return config{}, err
		}
	}
	return c, nil
}

func clientAuth(method, secret, keyFile string) (acpclient.ClientAuth, error) {
	isSecret := strings.TrimSpace(secret) != ""
	if strings.ContainsFunc(secret, unicode.IsControl) {
		return nil, mistake("ACP_CLIENT_SECRET", "has a control character, such as a line break at its end")
	}
	switch method {
	case "", "client_secret_basic", "client_secret_post":
		if keyFile != "" {
			return nil, mistake("ACP_CLIENT_KEY", "is for ACP_CLIENT_AUTH=private_key_jwt only")
		}
		if method != "" && !isSecret {
			return nil, mistake("ACP_CLIENT_SECRET", "is required by ACP_CLIENT_AUTH")
		}
	case "private_key_jwt":
		if isSecret {
			return nil, mistake("ACP_CLIENT_SECRET", "contradicts ACP_CLIENT_AUTH=private_key_jwt")
		}
		if keyFile == "" {
			return nil, mistake("ACP_CLIENT_KEY", "is required by ACP_CLIENT_AUTH=private_key_jwt")
		}
		key, err := readKey(keyFile)
		if err != nil {
			return nil, mistake("ACP_CLIENT_KEY", "%v", err)
		}
		return acpclient.PrivateKeyJWT{Key: key}, nil
	default:
		return nil, mistake("ACP_CLIENT_AUTH", "must be client_secret_basic, client_secret_post or private_key_jwt")
	}
	switch {
	case !isSecret:
		return nil, nil
	case method == "client_secret_basic":
		return acpclient.SecretBasic(secret), nil
	case method == "client_secret_post":
		return acpclient.SecretPost(secret), nil
	default:
		return acpclient.Secret(secret), nil
	}
}

// readFile is os.ReadFile whose error does not repeat the path: the variable may
// hold the key itself by mistake.
func readFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	var failure *os.PathError
	if errors.As(err, &failure) {
		return nil, fmt.Errorf("the file cannot be read: %w", failure.Err)
	}
	return data, err
}

// readKey reads an RSA, EC or Ed25519 private key in PKCS #8, PKCS #1 or SEC 1.
func readKey(path string) (crypto.Signer, error) {
	data, err := readFile(path)
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

func rootCAs(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readFile(path)
	if err != nil {
		return nil, mistake("ACP_ROOT_CA", "%v", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, mistake("ACP_ROOT_CA", "the file has no certificate in PEM")
	}
	return pool, nil
}

func cookieKeys(list string) ([][]byte, error) {
	if list == "" {
		return nil, mistake("ACP_COOKIE_KEY", "is required with ACP_ISSUER; make one with: openssl rand -base64 32")
	}
	var keys [][]byte
	for part := range strings.SplitSeq(list, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(part))
		switch {
		case err != nil:
			return nil, mistake("ACP_COOKIE_KEY", "a key is not base64")
		case len(key) != 32:
			return nil, mistake("ACP_COOKIE_KEY", "a key has %d bytes instead of 32", len(key))
		case bytes.Equal(key, make([]byte, 32)):
			return nil, mistake("ACP_COOKIE_KEY", "a key is all zero")
		}
		keys = append(keys, key)
	}
	return keys, nil
}
