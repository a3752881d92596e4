package env

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// ReadFile is os.ReadFile whose error does not repeat the path: the variable may hold the
// key itself by mistake.
func ReadFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if failure, ok := errors.AsType[*os.PathError](err); ok {
		return nil, fmt.Errorf("the file cannot be read: %w", failure.Err)
	}
	return data, err
}

// RootCAs are the system's certificates and those of the PEM file that ACP_ROOT_CA names;
// nil when it is absent.
func (s Settings) RootCAs() (*x509.CertPool, error) {
	const variable = "ACP_ROOT_CA"
	path := s.Text(variable)
	if path == "" {
		return nil, nil
	}
	data, err := ReadFile(path)
	if err != nil {
		return nil, Mistake(variable, "%v", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, Mistake(variable, "the file has no certificate in PEM")
	}
	return pool, nil
}
