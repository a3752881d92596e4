package acpclient_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
)

// No two tokens have one digest, and no two Verifiers have the same for one token.
func TestFingerprint(t *testing.T) {
	tokens := []string{"", "\x00", "\x00\x00", "a", "a\x00", "A", "b", "ab", "ba"}
	long := strings.Repeat("a", 2000)
	for _, n := range []int{15, 16, 17, 31, 32, 33, 127, 128, 129, 1023, 1999, 2000} {
		tokens = append(tokens, long[:n], long[:n]+"\x00", long[:n-1]+"b", "b"+long[:n-1], long[:n/2]+"b"+long[n/2:n-1])
	}
	for _, fips := range []bool{false, true} {
		digest, seen := acpclient.Fingerprint(fips), map[[16]byte]string{}
		for _, token := range tokens {
			d := digest(token)
			if other, there := seen[d]; there && other != token {
				t.Errorf("FIPS %v: %.20q of %d bytes has the digest of %.20q of %d", fips, token, len(token), other, len(other))
			}
			if seen[d] = token; d != digest(token) {
				t.Errorf("FIPS %v: %.20q has two digests", fips, token)
			}
		}
	}
	one, other := acpclient.Fingerprint(false), acpclient.Fingerprint(false)
	if one(long) == other(long) {
		t.Error("one key for two Verifiers")
	}
	if d := fmt.Sprint(one("a")); d == fmt.Sprint([16]byte{}) {
		t.Error("no digest")
	}
}
