package pkce_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/acp-go/acp/pkce"
)

func TestCheck(t *testing.T) {
	fill := func(n int) string { return strings.Repeat("a", n) }
	for _, row := range []struct {
		name, verifier string
		ok             bool
	}{
		{"AZ-08 42 characters", fill(42), false},
		{"AZ-08 43 characters", fill(43), true},
		{"AZ-08 128 characters", fill(128), true},
		{"AZ-08 129 characters", fill(129), false},
		{"AZ-08 empty", "", false},
		{"AZ-08 all unreserved", "ABCxyz0189-._~" + fill(40), true},
		{"AZ-08 plus", "+" + fill(50), false},
		{"AZ-08 slash", fill(50) + "/", false},
		{"AZ-08 padding", fill(50) + "=", false},
		{"AZ-08 space", fill(25) + " " + fill(25), false},
		{"AZ-08 non-ASCII", fill(50) + "é", false},
		{"AZ-08 NUL", fill(50) + "\x00", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := pkce.Check(row.verifier)
			if row.ok != (err == nil) || err != nil && !errors.Is(err, pkce.ErrVerifier) {
				t.Errorf("Check: %v, want ok %v", err, row.ok)
			}
			if got := pkce.Match(row.verifier, pkce.Challenge(row.verifier)); got != row.ok {
				t.Errorf("Match with its own challenge: %v, want %v", got, row.ok)
			}
		})
	}
}

func TestNewVerifier(t *testing.T) {
	seen := map[string]bool{} // AZ-09
	for range 10_000 {
		v := pkce.NewVerifier()
		if len(v) != 43 || pkce.Check(v) != nil || seen[v] {
			t.Fatalf("verifier %q: length %d, check %v, seen before %v", v, len(v), pkce.Check(v), seen[v])
		}
		seen[v] = true
	}
}

func TestMatchRefuses(t *testing.T) {
	v := pkce.NewVerifier()
	c := pkce.Challenge(v)
	for name, challenge := range map[string]string{
		"empty": "", "plain": v, "prefix": c[:42], "padded": c + "=", "other": pkce.Challenge(pkce.NewVerifier()),
		"other case": strings.ToLower(c) + strings.ToUpper(c)[43:],
	} {
		if challenge != c && pkce.Match(v, challenge) {
			t.Errorf("%s: matched", name)
		}
	}
}

// The verifier and the challenge of RFC 7636, appendix B.
func ExampleChallenge() {
	fmt.Println(pkce.Challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"))
	// Output: E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM
}
