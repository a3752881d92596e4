// Package serve runs the example programs: their exit statuses, listeners and ends, and the
// headers of their answers.
package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Exit statuses.
const (
	OK         = 0
	Failed     = 1
	Misspelled = 2 // a setting is wrong
)

// A program ends within 10 s, whatever is still going on: DrainTime for requests in
// flight, and what they leave of EndTime for what stands behind them.
const (
	DrainTime = 6 * time.Second
	EndTime   = 8 * time.Second
)

// Closing is a context for what a program does at its end. It begins before, and ends
// EndTime after ctx.
func Closing(ctx context.Context) (context.Context, context.CancelFunc) {
	closing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(EndTime):
			cancel()
		case <-closing.Done():
		}
	})
	return closing, func() { stop(); cancel() }
}

// Main runs a program until SIGINT or SIGTERM, and exits with its status.
func Main(run func(ctx context.Context, environ []string, stdout, stderr io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// Listen listens on ACP_LISTEN. The error says why it cannot, without the address; the
// status tells a wrong setting from a failure.
func Listen(address string) (l net.Listener, status int, err error) {
	l, err = net.Listen("tcp", address)
	switch {
	case err == nil:
		return l, OK, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, Failed, errors.New("ACP_LISTEN: another program listens there")
	case errors.Is(err, syscall.EACCES):
		return nil, Failed, errors.New("ACP_LISTEN: this user may not listen there")
	}
	return nil, Misspelled, errors.New("ACP_LISTEN: is not an address of this machine")
}

// Until answers until ctx is done, then lets the requests in flight end, for DrainTime at
// most.
func Until(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	var waiting fresh
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    256 << 10, // beyond it net/http answers, without our headers
		ConnState:         waiting.note,

		DisableGeneralOptionsHandler: true, // "OPTIONS *" is answered like anything else
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), DrainTime)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(drain) }()
	<-ended // no new connections from here on
	waiting.close()
	if err := <-stopped; err != nil {
		log.Warn("requests were cut off at the end", "error", err)
		return server.Close()
	}
	return nil
}

// Background answers until stop is called, which cuts off what is in flight. It is for a
// program's second server.
func Background(listener net.Listener, handler http.Handler, log *slog.Logger) (stop func() error) {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return func() error {
		err := server.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}
}

// fresh knows the connections on which nothing was asked yet. Browsers open them in
// advance, and Shutdown would wait 5 s for each.
type fresh struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func (f *fresh) note(conn net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state == http.StateNew {
		if f.conns == nil {
			f.conns = map[net.Conn]struct{}{}
		}
		f.conns[conn] = struct{}{}
	} else {
		delete(f.conns, conn)
	}
}

func (f *fresh) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		_ = conn.Close() // it was never used
	}
}
