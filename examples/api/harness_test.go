package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/examples/internal/apptest"
	"github.com/acp-go/acp/examples/internal/serve"
)

func TestMain(m *testing.M) { apptest.Main(m, main) }

// program is the program, running in this process.
type program struct {
	base   string
	stdout *apptest.Output
	stderr *apptest.Output
	stop   func() int // ends it as SIGTERM does, and is its exit status
}

func start(t *testing.T, environ ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	p := &program{stdout: &apptest.Output{}, stderr: &apptest.Output{}}
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, environ, io.MultiWriter(p.stdout, in), p.stderr)
		_ = in.Close() // a pipe in memory
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	_, address, found := strings.Cut(line, "The API is at")
	if err != nil || !found {
		t.Fatalf("it did not start: %q\n%s", line, p.stderr)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the pipe
	p.base = strings.TrimSuffix(strings.TrimSpace(address), "/")
	p.stop = sync.OnceValue(func() int { cancel(); return <-status })
	t.Cleanup(func() {
		if s := p.stop(); s != serve.OK {
			t.Errorf("exit status %d\n%s", s, p.stderr)
		}
	})
	return p
}

// startWith runs the program with the settings that make it take this server's tokens.
func startWith(t *testing.T, s *acptest.Server, changes ...string) *program {
	t.Helper()
	return start(t, append([]string{"ACP_ISSUER=" + s.Issuer, "ACP_AUDIENCE=" + s.Audience, "ACP_LISTEN=127.0.0.1:0"}, changes...)...)
}

type answer struct {
	*http.Response
	body string
}

// send makes a request; "" is no token.
func (p *program) send(t *testing.T, method, path, token string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return do(t, r)
}

func do(t *testing.T, r *http.Request) answer {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response, string(body)}
}

// error is the error code of the challenge, "" when there is none.
func (a answer) error() string {
	_, rest, _ := strings.Cut(a.Header.Get("WWW-Authenticate"), `error="`)
	code, _, _ := strings.Cut(rest, `"`)
	return code
}
