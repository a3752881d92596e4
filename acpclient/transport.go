package acpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// dialGuard keeps a server from sending us to addresses that only we can reach: a host
// named by the metadata may have a private address only when the issuer has one, and
// this is asked when the connection is made, so that a changed DNS answer does not help
// (RFC 8414 6.2). The issuer itself is where the configuration says, anywhere.
type dialGuard struct {
	issuerHost string
	hosts      atomic.Pointer[map[string]bool] // of the metadata's endpoints
	seen       [len(guarded)]atomic.Bool       // classes that the issuer's addresses had
}

var guarded = [...]class{classLoopback, classPrivate, classLinkLocal, classNone}

type dialHost struct{}

func (g *dialGuard) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	host, _ := ctx.Value(dialHost{}).(string)
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil
	}
	c := addrClass(ap.Addr())
	hosts := g.hosts.Load()
	named := hosts != nil && (*hosts)[host]
	for i := range guarded {
		if guarded[i] != c {
			continue
		}
		if host == g.issuerHost {
			g.seen[i].Store(true)
		} else if named && !g.seen[i].Load() {
			return fmt.Errorf("%s is at a %s address, which the issuer's is not", host, c)
		}
	}
	return nil
}

// newTransport is the default for everything that leaves; guard may be nil.
func newTransport(rootCAs *x509.CertPool, guard *dialGuard) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	dial := dialer.DialContext
	if guard != nil {
		dialer.ControlContext = guard.control
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			return dialer.DialContext(context.WithValue(ctx, dialHost{}, host), network, address)
		}
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: rootCAs},
		TLSHandshakeTimeout:    5 * time.Second,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}
