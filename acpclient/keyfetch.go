package acpclient

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

const maxJWKSSize = 1 << 20

// keyFetch is one fetch of the key set, shared by all who wait for it.
type keyFetch struct {
	want         wanted // the key that was missing: a fetch without it starts the cool-down
	forSignature bool   // somebody's signature forced it
	cancel       context.CancelFunc
	slow         chan struct{} // closed once it takes longer than the set's patience
	done         chan struct{} // closed when keys and err are set
	left         chan struct{} // closed when the transport gave it back
	keys         *keys
	err          error
}

// nowhere is the error of a fetch that asked for no keys: where they are is not known, and
// will not be asked for before the rest of that question's own back-off is over.
type nowhere struct {
	error
	rest time.Duration
}

// start begins a fetch, unless the state is not st any more: then it returns nil, and
// the caller looks again.
func (s *keySet) start(st *keyState, want wanted, forSignature bool) *keyFetch {
	// Nobody's request carries the fetch: one that is cancelled must not fail the others.
	ctx, cancel := context.WithTimeout(context.Background(), keyFetchTimeout)
	f := &keyFetch{
		forSignature: forSignature, cancel: cancel,
		slow: make(chan struct{}), done: make(chan struct{}), left: make(chan struct{}),
	}
	if st.keys == nil || !st.keys.knows(want) {
		f.want = want
	}
	began := s.o.now()
	next := *st
	next.flight = f
	if forSignature {
		next.signatureCoolDown = began.Add(keyCoolDown)
	}
	if !s.state.CompareAndSwap(st, &next) {
		cancel()
		return nil
	}
	patience := time.AfterFunc(st.keys.patience(), func() { close(f.slow) })
	// A transport that does not heed its context must not hold up the keys for ever.
	stop := context.AfterFunc(ctx, func() { s.finish(f, nil, nil, ctx.Err()) })
	go func() {
		defer close(f.left)
		defer cancel()
		set, problems, err := s.load(ctx, began)
		patience.Stop()
		if stop() {
			s.finish(f, set, problems, err)
		}
	}()
	return f
}

// load fetches and reads the document.
func (s *keySet) load(ctx context.Context, began time.Time) (set *keys, problems []string, err error) {
	body, age, ok, err := s.fetch(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(body) > maxJWKSSize {
		return nil, nil, errors.New("key set: too large")
	}
	all, problems, err := parseJWKS(body)
	if err != nil {
		return nil, problems, err
	}
	// ACP publishes its encryption key in the same set: that is no problem to warn about.
	problems = slices.DeleteFunc(problems, func(p string) bool { return strings.HasSuffix(p, encryptionKey) })
	if !ok {
		age = defaultKeyAge
	}
	age = min(max(age, minKeyAge), maxKeyAge)
	set = &keys{
		all: all, byID: make(map[string][]*key, len(all)),
		refreshAt: began.Add(age / 5 * 4), expires: began.Add(age), limit: began.Add(max(age, s.o.maxStale)),
		took: s.o.now().Sub(began),
	}
	for _, k := range all {
		if k.hasKid {
			set.byID[k.kid] = append(set.byID[k.kid], k)
		}
	}
	return set, problems, nil
}

// finish ends the fetch, unless it was ended before.
func (s *keySet) finish(f *keyFetch, set *keys, problems []string, err error) {
	n, _ := err.(*nowhere)
	if n != nil {
		err = n.error
	}
	for {
		st := s.state.Load()
		if st.flight != f {
			return
		}
		now := s.o.now()
		next := *st
		next.flight = nil
		if err == nil {
			next.keys, next.failures, next.cause, next.hung, next.retryAt = set, 0, nil, false, time.Time{}
			next.problems = strings.Join(problems, "; ")
			if f.want != (wanted{}) && !set.knows(f.want) {
				next.idCoolDown = now.Add(keyCoolDown)
			}
		} else {
			// What serves goes on serving, whatever the server sent.
			next.failures, next.cause = st.failures+1, err
			next.retryAt = now.Add(backOff(st.failures, s.o.jitter()))
			if n != nil { // two back-offs, one after the other, would hold up the recovery
				next.failures = max(st.failures, 1)
				if n.rest > 0 {
					next.retryAt = now.Add(n.rest)
				}
			}
			next.hung = f.isSlow()
		}
		if !s.state.CompareAndSwap(st, &next) {
			continue
		}
		f.land(set, err)
		s.report(st, &next)
		return
	}
}

// report logs what changed, so that an outage is one line and not one a request.
func (s *keySet) report(before, after *keyState) {
	switch {
	case before.failures == 0 && after.failures > 0 && after.keys != nil:
		s.o.log.Warn("acp: the key set cannot be fetched, the known keys go on serving", "error", transportDetail(after.cause), "until", after.keys.limit)
	case before.failures == 0 && after.failures > 0:
		s.o.log.Warn("acp: the key set cannot be fetched", "error", transportDetail(after.cause))
	case after.failures == 0 && before.failures > 0:
		s.o.log.Info("acp: the key set was fetched again", "failures", before.failures)
	}
	if after.problems != "" && after.problems != before.problems {
		s.o.log.Warn("acp: keys of the key set have problems", "problems", after.problems)
	}
}

// land gives the result to all who wait. Only who took the fetch out of the state calls it.
func (f *keyFetch) land(set *keys, err error) {
	f.keys, f.err = set, err
	close(f.done)
}

// abandon cuts the fetch off and waits for the transport to notice, but not for ever.
func (f *keyFetch) abandon() {
	f.cancel()
	patience := time.NewTimer(keyPatience)
	defer patience.Stop()
	select {
	case <-f.left:
	case <-patience.C:
	}
}

// wait returns the result. The error is the fetch's, or ctx's when that ends first.
func (f *keyFetch) wait(ctx context.Context) (*keys, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		if !f.isDone() {
			return nil, ctx.Err()
		}
	}
	return f.keys, f.err
}

// waitShort waits until the fetch is done or slow. The error is ctx's.
func (f *keyFetch) waitShort(ctx context.Context) error {
	select {
	case <-f.done:
	case <-f.slow:
	case <-ctx.Done():
		if !f.isDone() {
			return ctx.Err()
		}
	}
	return nil
}

// result returns what the fetch brought, nil when it failed or is not done.
func (f *keyFetch) result() *keys {
	if f.isDone() {
		return f.keys
	}
	return nil
}

func (f *keyFetch) isDone() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func (f *keyFetch) isSlow() bool {
	select {
	case <-f.slow:
		return true
	default:
		return false
	}
}

// judge checks a signature by these keys; signer is the key that made it.
func (k *keys) judge(t *jws) (v verdict, signer *key) {
	want := wanted{t.alg, t.kid, t.hasKid}
	v, tries := unknown, 0
	list := k.all
	if want.hasKid {
		if list = k.byID[want.kid]; len(list) > 0 {
			v = misfit
		}
	}
	for _, candidate := range list {
		if !algFits(candidate, want.alg) {
			continue
		}
		if tries++; tries > maxKeyTries {
			break
		}
		if verifySignature(candidate, want.alg, t.signingInput, t.signature) {
			return good, candidate
		}
		v = bad
	}
	return v, nil
}

// holds tells whether the set has this very key, under the same id and for the same algorithm.
func (k *keys) holds(signer *key) bool {
	list := k.all
	if signer.hasKid {
		list = k.byID[signer.kid]
	}
	return slices.ContainsFunc(list, signer.same)
}

// knows tells whether the keys hold the id or, for a token without one, a key that fits.
func (k *keys) knows(want wanted) bool {
	if want.hasKid {
		return len(k.byID[want.kid]) > 0
	}
	for _, candidate := range k.all {
		if algFits(candidate, want.alg) {
			return true
		}
	}
	return false
}
