package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// row is one line of the table of bearer tokens.
type row struct {
	group int
	title string
	base  string
	best  string   // the SDK beside the fastest of the others
	cells []string // one a judge
}

// costRow says how much time each judge takes, as a multiple of the base, and how many
// allocations it makes. The base is the last result, or go-oidc's. Beside the others it puts
// the SDK's first result, and with go-oidc's as the base, which refuses without an answer,
// that of the Verifier.
func costRow(title string, results []result, ofGoOIDC bool) row {
	base, whole := results[len(results)-1], results[0]
	if ofGoOIDC {
		base, whole = named(results, goOIDCTitle), named(results, verifierTitle)
	} else {
		results = results[:len(results)-1]
	}
	out := row{title: title, base: fmt.Sprintf("%s, %s", base.name, duration(median(base.each(byNanos))))}
	best := results[ours]
	for _, r := range results {
		out.cells = append(out.cells, fmt.Sprintf("%s (%.0f)", factor(r.ratio(base, byNanos)), median(r.each(byAllocs))))
	}
	for _, r := range results[ours:] {
		if median(r.each(byNanos)) < median(best.each(byNanos)) {
			best = r
		}
	}
	out.best = factor(whole.ratio(best, byNanos))
	return out
}

func named(results []result, name string) result {
	i := slices.IndexFunc(results, func(r result) bool { return r.name == name })
	return results[i] // it is one of the judges
}

func duration(nanos float64) string {
	switch {
	case nanos < 1000:
		return fmt.Sprintf("%.0f ns", nanos)
	case nanos < 100_000:
		return fmt.Sprintf("%.1f µs", nanos/1000)
	}
	return fmt.Sprintf("%.0f µs", nanos/1000)
}

func factor(f float64) string {
	if f < 10 {
		return fmt.Sprintf("%.2f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

// printRows writes Markdown.
func printRows(out io.Writer, titles []string, rows []row) error {
	var b strings.Builder
	line := func(cells ...string) {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line(append(append([]string{"", "base"}, titles...), "of the fastest other")...)
	rule := []string{"---", "---"}
	for range len(titles) + 1 {
		rule = append(rule, "---:")
	}
	line(rule...)
	for _, r := range rows {
		line(append(append([]string{r.title, r.base}, r.cells...), r.best)...)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
