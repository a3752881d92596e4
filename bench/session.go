package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2/memstore"

	"github.com/acp-go/acp/acpclient"
)

// tokenSize is the length of each of a session's three tokens, or a little more.
const tokenSize = 900

// sessionPlan says how long it all takes.
type sessionPlan struct {
	rounds   int
	sessions int // of each keeper: a turn reads each once, or one of them as often
}

// run measures what it costs to read a session, and prints one table.
func (p sessionPlan) run(ctx context.Context, out io.Writer) error {
	start := time.Now()
	s, err := newServer("ES256")
	if err != nil {
		return err
	}
	defer s.close()
	s.tokenSize = tokenSize
	all, err := makeKeepers(ctx, s, p.sessions)
	if err != nil {
		return err
	}
	defer func() {
		for _, k := range all {
			k.shut()
		}
	}()
	var turns []contestant
	for _, k := range all {
		turns = append(turns, k.firstSight(), k.repeated())
	}
	results, err := compare(turns, p.rounds)
	if err != nil {
		return err
	}
	if time.Since(start) > 50*time.Second {
		return errors.New("sessions: a session that was not used for a minute is written again: ask for fewer rounds")
	}
	return printSessions(out, all, results)
}

// makeKeepers gives each of them sessions with the same tokens. The one by hand is the last.
func makeKeepers(ctx context.Context, s *server, n int) (all []keeperAndCookies, err error) {
	var tokens *acpclient.Tokens
	learn := func(t *acpclient.Tokens) { tokens = t }
	sealed, err := newSDKKeeper(s, "this SDK, sealed cookies", nil, learn)
	if err != nil {
		return nil, err
	}
	store := memstore.NewWithCleanupInterval(0)
	stored, err := newSDKKeeper(s, "this SDK, Store: scs's memstore", store, learn)
	if err != nil {
		return nil, err
	}
	proxy, err := newOAuth2ProxyKeeper()
	if err != nil {
		return nil, err
	}
	for _, k := range []*keeper{sealed, stored, newGorillaKeeper(), newSCSKeeper(), proxy, newByHandKeeper()} {
		all = append(all, keeperAndCookies{keeper: k})
	}
	for range n {
		for i, k := range all {
			g := &grant{}
			if i > 1 {
				g = grantFor(s, tokens)
			}
			cookies, err := k.keep(ctx, g)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k.title, err)
			}
			all[i].cookies = append(all[i].cookies, cookies)
		}
	}
	using := all[0]
	using.useToken = true
	return append([]keeperAndCookies{all[0], using}, all[1:]...), nil
}

func grantFor(s *server, t *acpclient.Tokens) *grant {
	now := time.Now()
	return &grant{
		Issuer: s.issuer, Subject: theUser.Subject, AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, IDToken: t.IDToken,
		Expiry: t.Expiry, Created: now, Seen: now,
	}
}

func (k *keeperAndCookies) shut() {
	if k.close != nil {
		k.close()
	}
}

// name is the row's title.
func (k *keeperAndCookies) name() string {
	if k.useToken {
		return k.title + ", access token used"
	}
	return k.title
}

// firstSight reads sessions that its process has not read before.
func (k keeperAndCookies) firstSight() contestant {
	return contestant{k.name(), func() (func() error, int, error) {
		read, err := k.reader()
		return func() error {
			for i := range k.cookies {
				if err := read(i); err != nil {
					return err
				}
			}
			return nil
		}, len(k.cookies), err
	}}
}

// repeated reads sessions that its process has read before.
func (k keeperAndCookies) repeated() contestant {
	const times = 4
	return contestant{k.name(), func() (func() error, int, error) {
		read, err := k.reader()
		for i := 0; i < len(k.cookies) && err == nil; i++ {
			err = read(i)
		}
		return func() error {
			for i := range times * len(k.cookies) {
				if err := read(i % len(k.cookies)); err != nil {
					return err
				}
			}
			return nil
		}, times * len(k.cookies), err
	}}
}

// printSessions writes Markdown. The results are in pairs: first sight, repeated.
func printSessions(out io.Writer, all []keeperAndCookies, results []result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nReading a session with three tokens of %d bytes. \"First\" is the time of the first sight by hand.\n\n"+
		"| | cookies, bytes | first sight | of first | allocs, B | repeated | of first | of its own first sight | allocs, B |\n"+
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n", tokenSize)
	base := results[len(results)-2]
	cost := func(r result) string {
		return fmt.Sprintf("%.0f, %.0f", median(r.each(byAllocs)), median(r.each(byBytes)))
	}
	for i, k := range all {
		first, again := results[2*i], results[2*i+1]
		fmt.Fprintf(&b, "| %s | %d, %d | %s | %.2f | %s | %s | %.3f | %.2f | %s |\n", k.name(),
			strings.Count(k.cookies[0], ";")+1, len(k.cookies[0]),
			duration(median(first.each(byNanos))), first.ratio(base, byNanos), cost(first),
			duration(median(again.each(byNanos))), again.ratio(base, byNanos), again.ratio(first, byNanos), cost(again))
	}
	_, err := io.WriteString(out, b.String())
	return err
}
