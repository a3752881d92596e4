// Command bench shows what a login costs with this SDK and with others: the same server,
// the same work, one run. It prints two kinds of tables, for building an authorize URL
// and for a whole callback, each beside the code that one would write by hand with
// x/oauth2 and go-oidc:
//
//	go run ./bench
//
// The candidates take turns in short batches, so that whatever else the machine does
// meets them all, and each number is a median over the turns. A ratio is the median of
// the turns' own ratios. Allocations are those of the whole process: the server's, and
// net/http's, which the row "net/http alone" shows, are in all of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
)

func main() {
	rounds := flag.Int("rounds", 31, "turns of each candidate")
	urls := flag.Int("urls", 2000, "authorize URLs in one turn")
	callbacks := flag.Int("callbacks", 100, "callbacks in one turn")
	flag.Parse()
	if *rounds < 1 || *urls < 1 || *callbacks < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), *rounds, *urls, *callbacks); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds, urls, callbacks int) error {
	fmt.Printf("%s, %s/%s, GOMAXPROCS %d, %d turns of %d URLs or %d callbacks\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), rounds, urls, callbacks)
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
		results, err := compare(all, rounds, urls, func(c candidate) (func() error, error) {
			return func() error { return c.authorize(ctx, urls) }, nil
		})
		if err != nil {
			return err
		}
		// "net/http alone" is no library: it has no way of its own to build a URL.
		printTable("Building an authorize URL", "ns", results[:len(results)-1])
	}
	results, err := compare(all, rounds, callbacks, func(c candidate) (func() error, error) {
		finish, err := c.prepare(ctx, callbacks)
		return func() error { return finish(ctx) }, err
	})
	if err != nil {
		return err
	}
	printTable("A callback: code exchange, ID token ("+alg+"), subject and e-mail read", "µs", results)
	return nil
}
