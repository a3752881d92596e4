package acptest

import (
	"net/netip"
	"strings"
)

// isLoopback knows the hosts that browsers trust without TLS (Secure Contexts 3.1).
func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}
