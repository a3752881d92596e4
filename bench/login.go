package main

import (
	"context"
	"fmt"
)

// runLogin measures logins and prints their tables.
func runLogin(ctx context.Context, rounds, urls, callbacks int) error {
	for i, alg := range []string{"ES256", "RS256"} {
		if err := runAlg(ctx, alg, i == 0, rounds, urls, callbacks); err != nil {
			return fmt.Errorf("%s: %w", alg, err)
		}
	}
	return nil
}

func runAlg(ctx context.Context, alg string, withURLs bool, rounds, urls, callbacks int) error {
	s, err := newServer(alg)
	if err != nil {
		return err
	}
	defer s.close()
	all, err := candidates(ctx, s)
	if err != nil {
		return err
	}
	for _, c := range all {
		defer c.close()
	}
	if withURLs {
		results, err := compareLogins(all, rounds, urls, func(c candidate) (func() error, error) {
			return func() error { return c.authorize(ctx, urls) }, nil
		})
		if err != nil {
			return err
		}
		// "net/http alone" is no library: it has no way of its own to build a URL.
		printTable("Building an authorize URL", "ns", results[:len(results)-1])
	}
	results, err := compareLogins(all, rounds, callbacks, func(c candidate) (func() error, error) {
		finish, err := c.prepare(ctx, callbacks)
		return func() error { return finish(ctx) }, err
	})
	if err != nil {
		return err
	}
	printTable("A callback: code exchange, ID token ("+alg+"), subject and e-mail read", "µs", results)
	return nil
}

func compareLogins(all []candidate, rounds, ops int, prepare func(candidate) (func() error, error)) ([]result, error) {
	var turns []contestant
	for _, c := range all {
		turns = append(turns, contestant{c.name(), func() (func() error, int, error) {
			work, err := prepare(c)
			return work, ops, err
		}})
	}
	return compare(turns, rounds)
}

// printTable writes Markdown. The ratios are to the second result, which is the one
// written by hand.
func printTable(title, unit string, results []result) {
	fmt.Printf("\n%s\n\n| | %s/op | of by hand | allocs/op | of by hand | B/op |\n| --- | ---: | ---: | ---: | ---: | ---: |\n", title, unit)
	scale := map[string]float64{"ns": 1, "µs": 1000}[unit]
	for _, r := range results {
		fmt.Printf("| %s | %.0f | %.2f | %.0f | %.2f | %.0f |\n", r.name,
			median(r.each(byNanos))/scale, r.ratio(results[1], byNanos),
			median(r.each(byAllocs)), r.ratio(results[1], byAllocs), median(r.each(byBytes)))
	}
}
