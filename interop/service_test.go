package interop_test

import (
	"context"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// service is a program that a test lets fail and come back, with what it keeps on disk.
// While it is down process is the one that ended.
type service struct {
	*process
	t       *testing.T
	command func() *exec.Cmd
	ready   func(ctx context.Context) error
	end     syscall.Signal // for a clean end
}

// startService starts what command makes, now and on every start, and returns when ready
// has no error. end asks it for a clean end, which it gets at the end of the test.
func startService(t *testing.T, end syscall.Signal, command func() *exec.Cmd, ready func(ctx context.Context) error) *service {
	t.Helper()
	s := &service{t: t, command: command, ready: ready, end: end}
	s.start()
	return s
}

// start starts it again, after kill or shutdown.
func (s *service) start() {
	s.t.Helper()
	cmd := s.command()
	out := new(lockedBuffer)
	cmd.Stdout = out
	p := startProcess(s.t, cmd)
	s.process = p
	s.t.Cleanup(func() { // before the one of startProcess, which kills
		p.resume()
		_ = p.stop(s.end, patience) // it may have ended
		if s.t.Failed() {
			s.t.Logf("stdout of %s:\n%s", cmd.Args, out)
		}
	})
	eventually(s.t, cmd.Path+" being ready", func() (bool, string) {
		select {
		case <-p.exited:
			s.t.Fatalf("%s ended at its start: %v\n%s%s", cmd.Path, p.err, out, p.stderr)
		default:
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
		defer cancel()
		if err := s.ready(ctx); err != nil {
			return false, err.Error()
		}
		return true, ""
	})
}

// shutdown is a clean end.
func (s *service) shutdown() {
	s.t.Helper()
	if err := s.stop(s.end, patience); err != nil {
		s.t.Fatalf("%s did not end cleanly: %v", s.cmd.Path, err)
	}
}

// restart is a clean end and a new start.
func (s *service) restart() {
	s.t.Helper()
	s.shutdown()
	s.start()
}

// suspend stops every process of the group where it is: connections stay open, and new
// ones are taken by the kernel, but nobody answers.
func (p *process) suspend() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGSTOP) }

// resume lets them go on, as if no time had passed.
func (p *process) resume() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGCONT) }
