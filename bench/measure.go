package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

// sample is one turn of one candidate, for one operation.
type sample struct {
	nanos, allocs, bytes float64
}

// result holds a candidate's samples in the order of the turns.
type result struct {
	name    string
	samples []sample
}

// contestant is who takes turns. prepare is not measured, what it returns is: it does
// ops operations.
type contestant struct {
	name    string
	prepare func() (work func() error, ops int, err error)
}

// compare gives each of them its turn, round after round.
func compare(all []contestant, rounds int) ([]result, error) {
	results := make([]result, len(all))
	for round := range rounds + 1 {
		for turn := range all {
			i := (turn + round) % len(all) // nobody is always the one after the slowest
			work, ops, err := all[i].prepare()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
			s, err := measure(work, ops)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
			results[i].name = all[i].name
			if round > 0 { // the first one fills caches
				results[i].samples = append(results[i].samples, s)
			}
		}
	}
	return results, nil
}

func measure(work func() error, ops int) (sample, error) {
	var before, after runtime.MemStats
	runtime.GC() // the garbage of the preparation is not the candidate's
	runtime.ReadMemStats(&before)
	start := time.Now()
	err := work()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	n := float64(ops)
	return sample{
		nanos:  float64(took.Nanoseconds()) / n,
		allocs: float64(after.Mallocs-before.Mallocs) / n,
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / n,
	}, err
}

// What a ratio may be of.
func byNanos(s sample) float64  { return s.nanos }
func byAllocs(s sample) float64 { return s.allocs }
func byBytes(s sample) float64  { return s.bytes }

func (r result) each(value func(sample) float64) []float64 {
	all := make([]float64, 0, len(r.samples))
	for _, s := range r.samples {
		all = append(all, value(s))
	}
	return all
}

// ratio is the median of the ratios within each round: what slows a whole round down
// does not show.
func (r result) ratio(base result, value func(sample) float64) float64 {
	all := r.each(value)
	for i, b := range base.each(value) {
		all[i] /= b
	}
	return median(all)
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
