package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// keyCase is one thing that happens to those who keep keys. Each has a server of its own.
type keyCase struct {
	title  string
	keyAge time.Duration // of the server's key set; 0 means an hour
	warm   bool          // the judge has seen a good token before
	atOnce bool          // all judges at the same time, because it takes long
	run    func(ctx context.Context, s *server, j *judge) (outcome string, err error)
}

// keyPlan says how much happens.
type keyPlan struct {
	herd     int // requests at once
	flood    int // bad tokens
	rotation int // good tokens after it
	outage   time.Duration
}

const (
	rotationBefore  = 50 // good tokens before it
	rotationWorkers = 8
	rotationPause   = 500 * time.Microsecond // between two requests

	outageKeyAge = 5 * time.Second
	outagePause  = 50 * time.Millisecond // between two requests
)

func (p keyPlan) cases() []keyCase {
	return []keyCase{
		{title: fmt.Sprintf("key fetches: %d good tokens at once, cold", p.herd), run: p.rush},
		{title: fmt.Sprintf("key fetches: %d unknown key ids", p.flood), warm: true, run: p.pester(withRandomKeyID)},
		{title: fmt.Sprintf("key fetches: %d bad signatures, known id", p.flood), warm: true, run: p.pester(withOtherSignature)},
		{title: fmt.Sprintf("key fetches: rotation under load (good tokens failed, of %d)", p.rotation), warm: true, run: p.rotate},
		{
			title:  fmt.Sprintf("served while the server is down for %v, keys good for %v", p.outage, outageKeyAge),
			keyAge: outageKeyAge, warm: true, atOnce: true, run: p.endure,
		},
	}
}

// count makes the rows of the key set.
func (p keyPlan) count(ctx context.Context) ([]row, error) {
	var rows []row
	for _, c := range p.cases() {
		out := row{title: c.title, cells: make([]string, len(judges))}
		errs := make([]error, len(judges))
		var all sync.WaitGroup
		for i, make := range judges {
			all.Go(func() { out.cells[i], errs[i] = c.try(ctx, make) })
			if !c.atOnce {
				all.Wait() // one after the other
			}
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			return nil, fmt.Errorf("%s: %w", c.title, err)
		}
		rows = append(rows, out)
	}
	return rows, nil
}

// try does it to one judge.
func (c keyCase) try(ctx context.Context, make newJudge) (string, error) {
	s, err := newServer("ES256")
	if err != nil {
		return "", err
	}
	defer s.close()
	if c.keyAge > 0 {
		s.serveKeys(c.keyAge, 0)
	}
	j, err := make(ctx, s, c.keyAge)
	if err != nil {
		return "", err
	}
	defer j.shut()
	if c.warm {
		good, err := s.accessToken(nil)
		if err != nil {
			return "", err
		}
		if err := j.accept(ctx, good); err != nil {
			return "", err
		}
		s.keyFetches.Store(0)
	}
	return c.run(ctx, s, j)
}

// rush is the first second after a start: many requests, and the keys take a moment.
func (p keyPlan) rush(ctx context.Context, s *server, j *judge) (string, error) {
	s.serveKeys(time.Hour, 20*time.Millisecond)
	tokens, err := s.accessTokens(p.herd, nil)
	if err != nil {
		return "", err
	}
	var failed atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for _, token := range tokens {
		all.Go(func() {
			<-start
			if j.accept(ctx, token) != nil {
				failed.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	if n := failed.Load(); n > 0 {
		return fmt.Sprintf("%d (%d failed)", s.keyFetches.Load(), n), nil
	}
	return fmt.Sprint(s.keyFetches.Load()), nil
}

// pester is somebody without a key of the server.
func (p keyPlan) pester(spoil func(good string) string) func(context.Context, *server, *judge) (string, error) {
	return func(ctx context.Context, s *server, j *judge) (string, error) {
		good, err := s.accessToken(nil)
		if err != nil {
			return "", err
		}
		for range p.flood {
			if err := j.refuse(ctx, spoil(good)); err != nil {
				return "", err
			}
		}
		return fmt.Sprint(s.keyFetches.Load()), nil
	}
}

// rotate is a new key that signs as soon as it is published, in the midst of requests.
func (p keyPlan) rotate(ctx context.Context, s *server, j *judge) (string, error) {
	next, err := newSigningKey(s.alg, "next")
	if err != nil {
		return "", err
	}
	tokens, err := s.accessTokens(rotationBefore, nil)
	if err != nil {
		return "", err
	}
	for range p.rotation {
		token, err := s.accessTokenBy(next, nil)
		if err != nil {
			return "", err
		}
		tokens = append(tokens, token)
	}
	published := make(chan struct{})
	tick := time.NewTicker(rotationPause)
	defer tick.Stop()
	var drawn, before, after atomic.Int64
	var notPublished error
	var all sync.WaitGroup
	for range rotationWorkers {
		all.Go(func() {
			for {
				i := int(drawn.Add(1)) - 1
				switch {
				case i >= len(tokens):
					return
				case i == rotationBefore:
					notPublished = s.publish(s.current, next)
					close(published)
				case i > rotationBefore:
					<-published
				}
				<-tick.C
				if j.accept(ctx, tokens[i]) == nil {
					continue
				}
				if i < rotationBefore {
					before.Add(1)
				} else {
					after.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := before.Load(); n > 0 {
		return "", fmt.Errorf("%s: %d good tokens failed before the rotation", j.title, n)
	}
	return fmt.Sprintf("%d (%d)", s.keyFetches.Load(), after.Load()), notPublished
}

// endure is a server that stops answering, while requests go on.
func (p keyPlan) endure(ctx context.Context, s *server, j *judge) (string, error) {
	tokens, err := s.accessTokens(1+int(p.outage/outagePause), nil)
	if err != nil {
		return "", err
	}
	s.down.Store(true)
	tick := time.NewTicker(outagePause)
	defer tick.Stop()
	served := 0
	for i, token := range tokens {
		if i > 0 {
			<-tick.C
		}
		if j.accept(ctx, token) == nil {
			served++
		}
	}
	return fmt.Sprintf("%d of %d", served, len(tokens)), nil
}
