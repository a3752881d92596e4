package apptest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const beTheProgram = "BE_THE_PROGRAM=1"

// Main is a TestMain that lets the test's binary be the program itself, for the tests that need a
// process.
func Main(m *testing.M, program func()) {
	name, value, _ := strings.Cut(beTheProgram, "=")
	if os.Getenv(name) == value {
		program()
		return
	}
	os.Exit(m.Run())
}

// Process is the program as a process of its own.
type Process struct {
	URL    string // where it serves
	Stdout *Output
	Stderr *Output
	cmd    *exec.Cmd
}

// command is the program with these settings, and none of our own.
func command(ctx context.Context, environ []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append([]string{beTheProgram, "PATH=" + os.Getenv("PATH")}, environ...)
	return cmd
}

// Start starts the program, and waits until it says where it is. It ends with the test.
func Start(t *testing.T, environ ...string) *Process {
	t.Helper()
	p := &Process{Stdout: &Output{}, Stderr: &Output{}, cmd: command(t.Context(), environ)}
	p.cmd.Stderr = p.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for address := regexp.MustCompile(`https?://[0-9.:]+`); p.URL == ""; {
		if !lines.Scan() {
			t.Fatalf("it does not say where it is: %v\n%s", lines.Err(), p.Stderr)
		}
		fmt.Fprintln(p.Stdout, lines.Text())
		p.URL = address.FindString(lines.Text())
	}
	go func() { // ends with the process
		for lines.Scan() {
			fmt.Fprintln(p.Stdout, lines.Text())
		}
	}()
	return p
}

// End sends the signal, and says how long the program took to end cleanly.
func (p *Process) End(t *testing.T, signal os.Signal) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("it did not end cleanly: %v\n%s", err, p.Stderr)
	}
	return time.Since(begin)
}

// EndsWhenIdle demands that the program, where it was asked by ask, ends within 3 s. A
// machine that stood still does not do so three times.
func EndsWhenIdle(t *testing.T, ask func(t *testing.T, base string)) {
	t.Helper()
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(signal.String(), func(t *testing.T) {
			var took time.Duration
			for range 3 {
				p := Start(t)
				// A connection that was opened in advance must not hold the end up.
				_, host, _ := strings.Cut(p.URL, "://")
				idle, err := net.Dial("tcp", host)
				if err != nil {
					t.Fatal(err)
				}
				ask(t, p.URL)
				took = p.End(t, signal)
				if idle.Close(); took <= 3*time.Second {
					return
				}
			}
			t.Errorf("it took %v to end", took)
		})
	}
}

// EndsWith runs the program, which must end by itself with this status.
func EndsWith(t *testing.T, status int, environ ...string) {
	t.Helper()
	cmd := command(t.Context(), environ)
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != status {
		t.Errorf("%v", err)
	}
}
