package interop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for another process. It is long because the machine may be
// small and busy; nothing waits longer than what it waits for takes.
const patience = time.Minute

// endLimit is ten seconds, within which the examples end, and as much for a busy machine.
const endLimit = 20 * time.Second

// process is a program that the test started, in a process group of its own.
type process struct {
	cmd    *exec.Cmd
	stderr *lockedBuffer
	exited chan struct{}
	err    error // of Wait, once exited is closed
}

// startProcess starts the program, and sees to it that nothing of it outlives the test.
func startProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, stderr: new(lockedBuffer), exited: make(chan struct{})}
	cmd.Stderr = p.stderr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	cmd.WaitDelay = patience // for what it wrote last
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("stderr of %s:\n%s", cmd.Args, p.stderr)
		}
	})
	return p
}

// terminate sends SIGTERM and waits for a clean end within the limit.
func (p *process) terminate(limit time.Duration) error {
	return p.stop(syscall.SIGTERM, limit)
}

// stop sends the signal and waits for a clean end within the limit.
func (p *process) stop(signal syscall.Signal, limit time.Duration) error {
	if err := syscall.Kill(-p.cmd.Process.Pid, signal); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return p.err
	case <-time.After(limit):
		return errors.New("still running " + limit.String() + " after " + signal.String())
	}
}

// kill ends what is left of the process group, and waits for it.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // ESRCH: it ended before
	<-p.exited
}

// lockedBuffer collects what a process writes while the test may read it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// freePort is a loopback port on which nobody listens before the test does, nor until its end. It
// is none of those that Linux gives to whoever asks for any, unless told otherwise, which would be
// somebody else's as soon as it is free. Its UDP socket is the lock that keeps other tests away.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(20_000 + rand.N(10_000))
		lock, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			t.Cleanup(func() { lock.Close() })
			return port
		}
		lock.Close()
	}
	t.Fatal("no port is free")
	return ""
}

// eventually asks again and again until done says yes, and fails when patience is over.
// done's string says what it saw, for the failure.
func eventually(t *testing.T, what string, done func() (bool, string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, saw := done()
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s did not happen within %v; last seen: %s", what, patience, saw)
		case <-tick.C:
		}
	}
}

// fetch is a plain request with a bound, without following redirects.
func fetch(ctx context.Context, method, url string, header http.Header) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, "", err
	}
	if header != nil {
		r.Header = header
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, string(b), err
}

// environWithout is this process's environment without the settings of the examples, so
// that a developer's own do not leak in.
func environWithout(prefix string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if len(kv) < len(prefix) || kv[:len(prefix)] != prefix {
			env = append(env, kv)
		}
	}
	return env
}
