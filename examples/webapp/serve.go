package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// exit statuses
const (
	ok         = 0
	failed     = 1
	misspelled = 2 // a setting is wrong
)

// The program ends within 10 s, whatever is still going on.
const (
	drainTime = 6 * time.Second
	closeTime = 2 * time.Second
)

// run is main with everything that main gets from the system. It blocks until
// ctx is done, and then until the program has come to rest.
func run(ctx context.Context, environ []string, stdout, stderr io.Writer) int {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	c, err := parse(environ)
	if err != nil {
		fmt.Fprintf(stderr, "webapp: %v\n", err)
		return misspelled
	}
	listener, err := net.Listen("tcp", c.listen)
	if err != nil {
		reason, status := listenProblem(err)
		fmt.Fprintf(stderr, "webapp: ACP_LISTEN: %s\n", reason)
		return status
	}
	defer listener.Close()
	if c.issuer == "" {
		stop, err := embed(&c, listener.Addr(), log)
		if err != nil {
			fmt.Fprintf(stderr, "webapp: %v\n", err)
			return failed
		}
		defer stop()
	}
	client, auth, err := login(c, log)
	if err != nil {
		fmt.Fprintf(stderr, "webapp: %v\n", inOurWords(err))
		return misspelled
	}

	if c.development {
		fmt.Fprintf(stdout, "The web application is at    http://%s/\nIts authorization server is  %s\nSign in as alice (password wonderland) or bob (password builder).\n",
			listener.Addr(), c.issuer)
	} else {
		fmt.Fprintf(stdout, "The web application is at    http://%s/\nIts authorization server is  %s\n", listener.Addr(), c.issuer)
	}
	err = serve(ctx, listener, routes(c, auth, log), log)

	closing, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	// Sessions that are being refreshed come first: they need the client.
	if err := errors.Join(auth.Close(closing), client.Close(closing)); err != nil {
		log.Warn("calls to the authorization server were cut off at the end", "error", err)
	}
	if err != nil {
		log.Error("the end was not clean", "error", err)
		return failed
	}
	return ok
}

// listenProblem says why without the address, and what that means for the exit status.
func listenProblem(err error) (reason string, status int) {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there", failed
	case errors.Is(err, syscall.EACCES):
		return "this user may not listen there", failed
	}
	return "is not an address of this machine", misspelled
}

// serve answers until ctx is done, then lets the requests in flight end.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	var waiting fresh
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
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
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
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

// fresh knows the connections on which nothing was asked yet. Browsers open them
// in advance, and Shutdown would wait 5 s for each.
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
