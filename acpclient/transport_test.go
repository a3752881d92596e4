package acpclient_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// JW-03: the question is asked of the address that a name has when it is dialled, because
// DNS may answer differently by then.
func TestDialGuard(t *testing.T) {
	private := []string{
		"127.0.0.1:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "10.0.0.1:443", "172.16.0.1:443", "192.168.1.1:443",
		"100.64.0.1:443", "[fd00::1]:443", "169.254.169.254:80", "[fe80::1%eth0]:443", "0.0.0.0:443", "[::]:443",
	}
	for _, address := range private {
		t.Run("JW-03 "+address, func(t *testing.T) {
			// The issuer is at a public address, or was not dialled yet.
			g := acpclient.NewGuard("as.example", "token.example")
			if err := g.Dial("as.example", "192.0.2.1:443"); err != nil {
				t.Errorf("the issuer: %v", err)
			}
			err := g.Dial("token.example", address)
			if err == nil || !strings.Contains(err.Error(), "token.example") {
				t.Errorf("a named host: %v", err)
			}
			// The issuer is where the configuration says, and what is beside it is reached.
			if err := g.Dial("as.example", address); err != nil {
				t.Errorf("the issuer: %v", err)
			}
			if err := g.Dial("token.example", address); err != nil {
				t.Errorf("a named host beside the issuer: %v", err)
			}
		})
	}
	g := acpclient.NewGuard("as.example", "token.example")
	for _, address := range []string{"192.0.2.1:443", "[2001:db8::1]:443", "8.8.8.8:443"} {
		if err := g.Dial("token.example", address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	// What one private network is allowed, another is not.
	if err := g.Dial("as.example", "10.0.0.1:443"); err != nil {
		t.Error(err)
	}
	if g.Dial("token.example", "127.0.0.1:443") == nil || g.Dial("token.example", "169.254.169.254:80") == nil {
		t.Error("JW-03: loopback or link-local is reached because the issuer is in 10/8")
	}
	// A proxy of the environment is nobody that the metadata names.
	if err := g.Dial("proxy.corp", "127.0.0.1:3128"); err != nil {
		t.Errorf("a proxy: %v", err)
	}
}

// JW-03 over a real connection: an endpoint's name leads to loopback, where the issuer is not.
func TestDialGuardHoldsConnections(t *testing.T) {
	for name, use := range map[string]func(l *lab) error{
		"the token endpoint": func(l *lab) error { _, err := l.login(nil); return err },
		"the keys":           func(l *lab) error { return l.client.Ready(t.Context()) },
	} {
		t.Run("JW-03 "+name, func(t *testing.T) {
			l := newLab(t, acptest.Options{}, nil)
			if _, err := l.client.Metadata(t.Context()); err != nil {
				t.Fatal(err)
			}
			acpclient.MoveIssuer(l.client, "as.example")
			err := use(l)
			if !errors.Is(err, acpclient.ErrUnavailable) {
				t.Errorf("the error is %v", err)
			}
			if n := l.count(acptest.TokenEndpoint) + l.count(acptest.JWKSEndpoint); n != 0 {
				t.Errorf("%d requests arrived", n)
			}
			acpclient.MoveIssuer(l.client, "127.0.0.1")
			if _, err := l.login(nil); name == "the token endpoint" && err != nil {
				t.Errorf("the issuer itself is not reached any more: %v", err)
			}
		})
	}
}
