package middleware_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, errors.New("no random bytes") }

// noRandomEnv names what the child process does without random bytes.
const noRandomEnv = "ACP_TEST_WITHOUT_RANDOM"

// Without random bytes nothing is made: a seal is an error, and a login, a session and
// a reference end the program, as crypto/rand does since Go 1.24. That takes a process of its own.
func TestWithoutRandomBytes(t *testing.T) { // CF-08
	if what := os.Getenv(noRandomEnv); what != "" {
		withoutRandomBytes(t, what)
		return
	}
	for what, want := range map[string]string{
		"seal": "no cookie was made", "login": "crypto/rand: failed", "session": "crypto/rand: failed", "page": "crypto/rand: failed",
	} {
		t.Run(what, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWithoutRandomBytes$", "-test.count=1")
			cmd.Env = append(os.Environ(), noRandomEnv+"="+what)
			out, err := cmd.CombinedOutput()
			if !bytes.Contains(out, []byte("before: ")) || !bytes.Contains(out, []byte(want)) || bytes.Contains(out, []byte("MADE")) {
				t.Errorf("CF-08: %v\n%s", err, out)
			}
			if (err == nil) != (what == "seal") {
				t.Errorf("CF-08: the program ended with %v", err)
			}
		})
	}
}

// withoutRandomBytes runs in the child process: it ends it, or says what was made.
func withoutRandomBytes(t *testing.T, what string) {
	a := newApp(t, nil)
	a.login() // the metadata and the keys are there
	signedIn := request("GET", site+"/", a.cookieHeader())
	start := func() int { w := a.serve(request("GET", site+"/login", "")); return len(w.Header()["Set-Cookie"]) }
	fmt.Fprintf(os.Stderr, "before: %d cookie, %d sealed\n", start(), len(a.auth.WithGeneration(signedIn, 1)))
	rand.Reader = noRandom{}
	switch what {
	case "seal":
		if cookies := a.auth.WithGeneration(signedIn, 1); len(cookies) != 0 {
			t.Errorf("MADE %v", cookies)
		}
		fmt.Fprintln(os.Stderr, "no cookie was made")
	case "login":
		fmt.Fprintln(os.Stderr, "MADE", start())
	case "session":
		cookies, err := a.auth.SessionCookies(tokensOf(10), time.Now(), time.Now())
		fmt.Fprintln(os.Stderr, "MADE", len(cookies), err)
	case "page":
		fmt.Fprintln(os.Stderr, "MADE", strings.Contains(a.serve(request("GET", site+"/callback", "")).Body.String(), "Reference"))
	}
}
