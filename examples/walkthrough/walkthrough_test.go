package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/acp-go/acp/examples/localacp"
)

func TestEveryStepHolds(t *testing.T) {
	var out strings.Builder
	var secret string
	if status := run(t.Context(), &out, false, false, func(o *localacp.Options) { secret = o.Clients[0].Secret }); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out.String())
	}
	text := out.String()
	for step := 1; step <= 10; step++ {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^%2d  [A-Z]`, step)).MatchString(text) {
			t.Errorf("step %d is missing", step)
		}
	}
	for _, want := range []string{"response_type = code", "grant_type = authorization_code", "error = rejected", "error = invalid_grant", "<- 401 Unauthorized",
		`error="invalid_token"`, `error="insufficient_scope"`, "<- 403 Forbidden"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(text, "\x1b[") || strings.Contains(text, "FAILED") {
		t.Error("colours, or a failure")
	}
	if strings.Contains(text, secret) || strings.Contains(text, "wonderland") || regexp.MustCompile(`eyJ[\w-]{8}`).MatchString(text) {
		t.Error("a secret is shown whole")
	}
}

// TestHardened is the same under FAPI 2.0.
func TestHardened(t *testing.T) {
	var out strings.Builder
	if status := run(t.Context(), &out, false, true, nil); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out.String())
	}
	text := out.String()
	for step := 1; step <= 10; step++ {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^%2d  [A-Z]`, step)).MatchString(text) {
			t.Errorf("step %d is missing", step)
		}
	}
	for _, want := range []string{"POST /demo/bank/par", "request_uri = urn:", "client_assertion = ", "DPoP: ", `"jkt":`, "token_type = DPoP", "error = invalid_grant", "error = rejected",
		`error="insufficient_scope"`, "All ten steps held."} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(text, "FAILED") || strings.Contains(text, "wonderland") || regexp.MustCompile(`eyJ[\w-]{8}`).MatchString(text) {
		t.Error("a failure, or a secret that is shown whole")
	}
}

// TestFailures are servers that behave otherwise than the steps say.
func TestFailures(t *testing.T) {
	for name, row := range map[string]struct {
		edit     func(*localacp.Options)
		step     int
		hardened bool
	}{
		"nobody can sign in":       {func(o *localacp.Options) { o.Users = []localacp.User{{Username: "carol", Password: "x"}} }, 3, false},
		"a scope is unknown":       {func(o *localacp.Options) { o.Scopes = []localacp.Scope{} }, 3, false},
		"another word for refusal": {func(o *localacp.Options) { o.DenyError = "access_denied" }, 4, false},
		"wrong client secret":      {func(o *localacp.Options) { o.Clients[0].Secret = "another" }, 5, false},
		"another key":              {func(o *localacp.Options) { o.Clients[0].PublicKey = o.Certificate.Leaf.PublicKey }, 2, true},
		"another audience":         {func(o *localacp.Options) { o.Audience = "https://api.example" }, 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if status := run(t.Context(), &out, true, row.hardened, row.edit); status != 1 {
				t.Fatalf("exit status %d\n%s", status, out.String())
			}
			if want := fmt.Sprintf("Step %d did not hold.", row.step); !strings.Contains(out.String(), want) {
				t.Errorf("not %q:\n%s", want, out.String())
			}
		})
	}
}
