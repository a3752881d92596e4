// Package apptest is what the tests of the example programs have in common.
package apptest

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/acp-go/acp/examples/internal/serve"
)

// Canary stands in settings for what must never be printed.
const Canary = "c4nary"

// Output is a strings.Builder for several goroutines. Its zero value is empty.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Refuses demands that a program does not start with these settings, and says so in one line
// that begins with its name and that of the variable, and holds neither Canary nor a secret.
func Refuses(t *testing.T, name string, run func(ctx context.Context, environ []string, stdout, stderr io.Writer) int,
	environ []string, variable string, secrets ...string,
) {
	t.Helper()
	// A program that starts after all ends at once, and the test fails.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	if status := run(ctx, environ, &stdout, &stderr); status != serve.Misspelled {
		t.Errorf("exit status %d", status)
	}
	message := stderr.String()
	if !strings.HasPrefix(message, name+": "+variable+": ") || strings.Count(message, "\n") != 1 {
		t.Errorf("not one line that names %s:\n%s", variable, message)
	}
	for _, secret := range append(secrets, Canary) {
		if strings.Contains(message, secret) {
			t.Errorf("it says too much:\n%s", message)
		}
	}
	if stdout.String() != "" {
		t.Errorf("it says more:\n%s", stdout.String())
	}
}
