// Command bench shows what this SDK and others cost: the same server, the same work, one
// run. It prints tables of a login, for building an authorize URL and for a whole callback,
// each beside the code that one would write by hand with x/oauth2 and go-oidc; one table
// of bearer tokens, beside the least that must be done; and one of reading a session, beside
// the code that one would write by hand with securecookie:
//
//	go run ./bench
//	go run ./bench -only bearer -rounds 5
//	go run ./bench -only session
//
// The candidates take turns in short batches, so that whatever else the machine does
// meets them all, and each number is a median over the turns. A ratio is the median of
// the turns' own ratios. Allocations are those of the whole process: of a login, the server's
// and net/http's, which the row "net/http alone" shows, are in all of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

func main() {
	only := flag.String("only", "", "login, bearer or session; empty for all")
	rounds := flag.Int("rounds", 31, "turns of each candidate")
	urls := flag.Int("urls", 2000, "authorize URLs in one turn")
	sessions := flag.Int("sessions", 64, "sessions in one turn")
	callbacks := flag.Int("callbacks", 100, "callbacks in one turn")
	outage := flag.Duration("outage", 12*time.Second, "how long the authorization server is down")
	flag.Parse()
	if *rounds < 1 || *urls < 1 || *callbacks < 1 || *sessions < 1 || *outage < 0 || flag.NArg() > 0 ||
		!slices.Contains([]string{"", "login", "bearer", "session"}, *only) {
		flag.Usage()
		os.Exit(2)
	}
	fmt.Printf("%s, %s/%s, GOMAXPROCS %d, %d turns\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), *rounds)
	ctx := context.Background()
	var err error
	runs := func(what string) bool { return *only == "" || *only == what }
	if runs("login") {
		err = runLogin(ctx, *rounds, *urls, *callbacks)
	}
	if err == nil && runs("bearer") {
		err = bearerPlan{
			rounds: *rounds, batch: 4 * time.Millisecond,
			keys: keyPlan{herd: 500, flood: 1000, rotation: 1000, outage: *outage},
		}.run(ctx, os.Stdout)
	}
	if err == nil && runs("session") {
		err = sessionPlan{rounds: *rounds, sessions: *sessions}.run(ctx, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
