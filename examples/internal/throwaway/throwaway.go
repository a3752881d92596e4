// Package throwaway makes keys and certificates that live as long as a program.
package throwaway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Authority issues server certificates that nobody trusts but who has its Pool.
type Authority struct{ own *tls.Certificate }

// NewAuthority makes one, whose key is in its memory alone.
func NewAuthority() (*Authority, error) {
	own, err := certificate(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "throw-away authority"},
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true,
	}, nil)
	if err != nil {
		return nil, err
	}
	return &Authority{own}, nil
}

// Pool trusts what the authority issues.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.own.Leaf)
	return pool
}

// Certificate is the authority's own, in DER.
func (a *Authority) Certificate() []byte { return a.own.Leaf.Raw }

// Loopback is a certificate for servers on 127.0.0.1, ::1 and localhost.
func (a *Authority) Loopback() (*tls.Certificate, error) {
	return certificate(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.own)
}

// Client is a self-signed certificate for a client of this name (RFC 8705 2.2).
func Client(name string) (*tls.Certificate, error) {
	return certificate(&x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, nil)
}

// Key is a key for ES256.
func Key() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("a throw-away key: %w", err)
	}
	return key, nil
}

// certificate makes one with a new P-256 key. It is self-signed without an issuer.
func certificate(template *x509.Certificate, issuer *tls.Certificate) (*tls.Certificate, error) {
	key, err := Key()
	if err != nil {
		return nil, err
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("a throw-away certificate: %w", err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(30*24*time.Hour)
	parent, signer := template, any(key)
	if issuer != nil {
		parent, signer = issuer.Leaf, issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("a throw-away certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("a throw-away certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
