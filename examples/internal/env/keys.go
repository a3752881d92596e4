package env

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/acp-go/acp/acpclient"
)

// Key is the private key in the PEM file that a variable names; nil when it is absent.
func (s Settings) Key(variable string) (crypto.Signer, error) {
	path := s.Text(variable)
	if path == "" {
		return nil, nil
	}
	key, err := readKey(path)
	if err != nil {
		return nil, Mistake(variable, "%v", err)
	}
	return key, nil
}

// Certificate is the certificate in the PEM file that a variable names, with its chain, and the key that another
// names; nil when both are absent.
func (s Settings) Certificate(variable, keyVariable string) (*tls.Certificate, error) {
	key, err := s.Key(keyVariable)
	if err != nil {
		return nil, err
	}
	path := s.Text(variable)
	switch {
	case path == "" && key == nil:
		return nil, nil
	case path == "":
		return nil, Mistake(variable, "is required with %s", keyVariable)
	case key == nil:
		return nil, Mistake(keyVariable, "is required with %s", variable)
	}
	data, err := ReadFile(path)
	if err != nil {
		return nil, Mistake(variable, "%v", err)
	}
	c := &tls.Certificate{PrivateKey: key}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c.Certificate = append(c.Certificate, block.Bytes)
		}
	}
	if c.Certificate == nil {
		return nil, Mistake(variable, "the file has no certificate in PEM")
	}
	for i, der := range c.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, Mistake(variable, "a certificate of the file cannot be read")
		}
		if i == 0 {
			c.Leaf = parsed
		}
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil || !bytes.Equal(public, c.Leaf.RawSubjectPublicKeyInfo) {
		return nil, Mistake(variable, "the file's first certificate is not that of the key in %s", keyVariable)
	}
	return c, nil
}

// readKey reads an RSA, EC or Ed25519 private key in PKCS #8, PKCS #1 or SEC 1.
func readKey(path string) (crypto.Signer, error) {
	data, err := ReadFile(path)
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
