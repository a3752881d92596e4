package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"
)

// poolSize is how many distinct tokens there are for the rows with one worker, and for
// those with many. A token that comes round again has been forgotten by the SDK, which
// remembers cacheSize of them.
const poolSize = 2048

// The groups of rows, in their order.
const (
	firstSight = iota
	repeated
	refused
)

// cacheSize is how many tokens the SDK remembers here: each new one takes the place of
// another. It is as many as make it work as with its default of 10 000.
var cacheSize = poolSize / 2

// bearerPlan says how long it all takes.
type bearerPlan struct {
	rounds int
	batch  time.Duration // of one turn
	keys   keyPlan
}

// run measures what bearer tokens cost, and prints one table.
func (p bearerPlan) run(ctx context.Context, out io.Writer) error {
	m := bearerMeasure{bearerPlan: p, sizes: map[string]int{}}
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		if err := m.measureAlg(ctx, alg); err != nil {
			return fmt.Errorf("%s: %w", alg, err)
		}
	}
	counts, err := p.keys.count(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nBearer tokens of %d (ES256) to %d (RS256) bytes: time as a multiple of the base's (allocations).\n"+
		"The last column is the SDK's first, but for refusals its Verifier's, as a multiple of the fastest other's.\n\n",
		m.sizes["ES256"], m.sizes["RS256"])
	slices.SortStableFunc(m.rows, func(a, b row) int { return cmp.Compare(a.group, b.group) })
	return printRows(out, m.titles, append(m.rows, counts...))
}

// bearerMeasure makes the rows of costs.
type bearerMeasure struct {
	bearerPlan
	titles []string // of the judges
	rows   []row
	sizes  map[string]int // of a token, by alg
}

// measureAlg measures one algorithm, and the refusals with ES256.
func (m *bearerMeasure) measureAlg(ctx context.Context, alg string) error {
	s, err := newServer(alg)
	if err != nil {
		return err
	}
	defer s.close()
	all, err := makeJudges(ctx, s)
	if err != nil {
		return err
	}
	defer closeAll(all)
	pool, err := s.accessTokens(2*poolSize, nil)
	if err != nil {
		return err
	}
	late, err := s.accessTokens(64, expired)
	if err != nil {
		return err
	}
	m.sizes[alg] = len(pool[0])
	m.titles = nil
	for _, j := range all {
		m.titles = append(m.titles, j.title)
	}

	var todo []load
	for i, workers := range []int{1, runtime.GOMAXPROCS(0)} {
		todo = append(todo,
			load{group: firstSight, title: "first sight, " + alg, base: newRawJudge(s), tokens: pool[i*poolSize:][:poolSize], workers: workers},
			load{group: repeated, title: "repeated, " + alg, base: newMemoryJudge(), tokens: pool[:1], workers: workers})
	}
	if alg == "ES256" {
		for _, a := range attacks {
			todo = append(todo, load{group: refused, title: "refused: " + a.title, tokens: a.spoilAll(pool[:64]), workers: 1, bad: true})
		}
		todo = append(todo, load{group: refused, title: "refused: expired", tokens: late, workers: 1, bad: true})
	}
	for _, l := range todo {
		if l.workers > 1 {
			l.title += ", parallel"
		}
		results, err := compare(l.contestants(ctx, all, m.batch), m.rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", l.title, err)
		}
		r := costRow(l.title, results, l.base == nil)
		r.group = l.group
		m.rows = append(m.rows, r)
	}
	return nil
}

// load is what all judges are measured with.
type load struct {
	group   int
	title   string
	base    *judge // what they are compared with; nil means go-oidc, which is one of them
	tokens  []string
	bad     bool // the tokens are to be refused
	workers int
}

// contestants are the judges, and the base behind them.
func (l load) contestants(ctx context.Context, all []*judge, batch time.Duration) (turns []contestant) {
	for _, j := range all {
		turns = append(turns, l.contestant(ctx, j, batch))
	}
	if l.base != nil {
		turns = append(turns, l.contestant(ctx, l.base, batch))
	}
	return turns
}

// contestant is one judge. Each turn goes on where the one before stopped in the list of
// tokens; the first one finds out how many fill a batch.
func (l load) contestant(ctx context.Context, j *judge, batch time.Duration) contestant {
	var each []func(ops int) error // one a worker, each with a part of the tokens
	ops := 0
	return contestant{j.title, func() (func() error, int, error) {
		if each == nil {
			for w := range l.workers {
				part := l.tokens[w*len(l.tokens)/l.workers : (w+1)*len(l.tokens)/l.workers]
				if len(l.tokens) < l.workers {
					part = l.tokens
				}
				one, err := j.start(ctx, part)
				if err != nil {
					return nil, 0, err
				}
				each = append(each, inTurn(one, len(part), l.bad))
			}
			var err error
			if ops, err = batchFor(batch, func(n int) error { return atOnce(each, n) }); err != nil {
				return nil, 0, err
			}
		}
		return func() error { return atOnce(each, ops) }, ops * len(each), nil
	}}
}

// inTurn verifies one token after the other, round and round.
func inTurn(one func(int) (string, error), tokens int, bad bool) func(ops int) error {
	next := 0
	return func(ops int) error {
		for range ops {
			subject, err := one(next)
			switch {
			case bad && err == nil:
				return errAccepted
			case !bad && err != nil:
				return err
			case !bad && subject != theUser.Subject:
				return errWrongUser
			}
			if next++; next == tokens {
				next = 0
			}
		}
		return nil
	}
}

// atOnce does ops operations with each.
func atOnce(each []func(ops int) error, ops int) error {
	if len(each) == 1 {
		return each[0](ops)
	}
	errs := make([]error, len(each))
	var all sync.WaitGroup
	for i, f := range each {
		all.Go(func() { errs[i] = f(ops) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// batchFor returns how many operations take that time.
func batchFor(want time.Duration, work func(ops int) error) (int, error) {
	for ops := 1; ; ops *= 2 {
		start := time.Now()
		if err := work(ops); err != nil {
			return 0, err
		}
		if took := time.Since(start); took >= want/2 {
			return max(1, int(float64(ops)*float64(want)/float64(took))), nil
		}
	}
}
