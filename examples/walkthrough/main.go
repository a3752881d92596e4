// Command walkthrough plays the whole authorization code flow on this machine,
// with a web application, an ACP-shaped server, an API and a scripted user agent,
// and prints its ten steps, each with the real request and the real response that
// carried it. Secrets are shortened. It exits 0 only when every step held.
//
//	go run ./examples/walkthrough
//
// With -hardened all of it keeps to the FAPI 2.0 Security Profile: over TLS, with pushed
// requests, assertions in the place of a secret, and tokens that are bound to a key.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/acp-go/acp/examples/localacp"
)

func main() {
	hardened := flag.Bool("hardened", false, "keep to the FAPI 2.0 Security Profile")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Stdout, isTerminal(os.Stdout), *hardened, nil)
	stop()
	os.Exit(status)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// run plays the flow and answers with the exit status. edit changes the server
// before it starts; nil changes nothing.
func run(ctx context.Context, out io.Writer, colours, hardened bool, edit func(*localacp.Options)) int {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p := &printer{out: out, colours: colours}
	s, err := newStage(hardened, edit)
	if err != nil {
		fmt.Fprintf(out, "walkthrough: %v\n", err)
		return 1
	}
	defer s.close()
	p.intro(s)
	w := &walk{stage: s, printer: p, ctx: ctx}
	for number, step := range w.steps() {
		p.step(number+1, step.title)
		if err := step.play(); err != nil {
			p.check(false, err.Error())
		}
		if p.failures > 0 {
			p.verdict(fmt.Sprintf("Step %d did not hold.", number+1))
			return 1
		}
	}
	p.verdict("All ten steps held.")
	return 0
}
