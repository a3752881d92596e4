package main

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
)

var bearerAlgs = []string{"ES256", "EdDSA", "RS256"}

// eachJudge starts a server and runs f for every judge.
func eachJudge(tb testing.TB, alg string, f func(s *server, j *judge)) {
	s, err := newServer(alg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.close)
	all, err := makeJudges(tb.Context(), s) // each has taken a good token now
	if err != nil {
		tb.Fatal(err)
	}
	for _, j := range all {
		tb.Cleanup(j.shut)
		f(s, j)
	}
}

// The judges are comparable only when each of them takes a good token, and refuses what
// the comparison says it checks.
func TestJudgesRefuse(t *testing.T) {
	for _, alg := range bearerAlgs {
		eachJudge(t, alg, func(s *server, j *judge) {
			other, err := newSigningKey(alg, "current")
			if err != nil {
				t.Fatal(err)
			}
			good, err := s.accessToken(nil)
			if err != nil {
				t.Fatal(err)
			}
			rows := map[string]string{
				"bad signature": withOtherSignature(good), "unknown key id": withRandomKeyID(good),
			}
			for name, edit := range map[string]func(claims map[string]any){
				"another audience": func(c map[string]any) { c["aud"] = []string{"another", "and another"} },
				"no audience":      func(c map[string]any) { delete(c, "aud") },
				"another issuer":   func(c map[string]any) { c["iss"] = "https://another.example" },
				"no issuer":        func(c map[string]any) { delete(c, "iss") },
				"expired":          expired,
				"another scope":    func(c map[string]any) { c["scp"] = []string{"things.write", "things.readonly"} },
			} {
				if rows[name], err = s.accessToken(edit); err != nil {
					t.Fatal(err)
				}
			}
			if rows["another key"], err = s.accessTokenBy(other, nil); err != nil {
				t.Fatal(err)
			}
			for _, a := range attacks {
				rows[a.title] = a.spoil(good)
			}
			for _, name := range slices.Sorted(maps.Keys(rows)) {
				t.Run(alg+" "+j.title+" "+name, func(t *testing.T) {
					if err := j.refuse(t.Context(), rows[name]); err != nil {
						t.Error(err)
					}
				})
			}
			if err := j.accept(t.Context(), good); err != nil {
				t.Errorf("a good token, after the bad ones: %v", err)
			}
		})
	}
}

// What all are compared with must do what it is there for.
func TestBases(t *testing.T) {
	for _, alg := range bearerAlgs {
		s, err := newServer(alg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		tokens, err := s.accessTokens(2, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range tokens {
			if n := len(token); n < 800 || n > 1200 {
				t.Errorf("%s: a token of %d bytes", alg, n)
			}
			if err := newRawJudge(s).accept(t.Context(), token); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
			if err := newRawJudge(s).refuse(t.Context(), withOtherSignature(token)); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
			if err := newMemoryJudge().accept(t.Context(), token); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
	}
}

// What the SDK promises about its key set is a number, and so can be tested.
func TestKeyCounts(t *testing.T) {
	rows, err := keyPlan{herd: 50, flood: 20, rotation: 50, outage: 2 * outagePause}.count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1", "1", "1", "1 (0)", "3 of 3"}
	if len(rows) != len(want) {
		t.Fatalf("%d rows", len(rows))
	}
	for i, r := range rows {
		for j := range ours {
			if r.cells[j] != want[i] {
				t.Errorf("%s: %s, want %s", r.title, r.cells[j], want[i])
			}
		}
	}
}

func TestCostRow(t *testing.T) {
	of := func(name string, nanos float64) result {
		return result{name: name, samples: []sample{{nanos: nanos, allocs: 7}}}
	}
	for _, row := range []struct {
		name    string
		results []result
		goOIDC  bool
		cells   string
		best    string
	}{
		{"the last is the base", []result{of("slow", 400), of("less slow", 220), of("base", 100)}, false, "1.10 (7), 4.00 (7), 2.20 (7)", "0.50"},
		{"go-oidc is the base", []result{of(goOIDCTitle, 200), of("slower", 2200)}, true, "0.55 (7), 1.00 (7), 11 (7)", "0.45"},
	} {
		sdk := slices.Repeat([]result{of(verifierTitle, 90)}, ours)
		sdk[0] = of("whole", 110)
		got := costRow("title", append(sdk, row.results...), row.goOIDC)
		cells := strings.Join(slices.Delete(got.cells, 1, ours), ", ")
		if cells != row.cells || got.best != row.best {
			t.Errorf("%s: %s, of the best %s", row.name, cells, got.best)
		}
	}
}

// The whole table, with the fewest turns.
func TestBearerTable(t *testing.T) {
	p := bearerPlan{rounds: 1, batch: 1, keys: keyPlan{herd: 1, flood: 1, rotation: 1}}
	var out bytes.Buffer
	if err := p.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	columns := strings.Count(lines[3], "|")
	for _, line := range lines[3:] {
		if strings.Count(line, "|") != columns {
			t.Errorf("another number of columns: %s", line)
		}
	}
	if rows := len(lines) - 5; rows != 4*len(bearerAlgs)+len(attacks)+1+len(p.keys.cases()) {
		t.Errorf("%d rows:\n%s", rows, out.String())
	}
}

func BenchmarkFirstSight(b *testing.B) { benchmarkJudges(b, poolSize) }
func BenchmarkRepeated(b *testing.B)   { benchmarkJudges(b, 1) }

func benchmarkJudges(b *testing.B, n int) {
	for _, alg := range bearerAlgs {
		eachJudge(b, alg, func(s *server, j *judge) {
			tokens, err := s.accessTokens(n, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(alg+"/"+j.title, func(b *testing.B) { benchmarkTokens(b, j, tokens, false) })
		})
	}
}

func BenchmarkRefuse(b *testing.B) {
	eachJudge(b, "ES256", func(s *server, j *judge) {
		good, err := s.accessTokens(64, nil)
		if err != nil {
			b.Fatal(err)
		}
		for _, a := range attacks {
			bad := a.spoilAll(good)
			b.Run(a.title+"/"+j.title, func(b *testing.B) { benchmarkTokens(b, j, bad, true) })
		}
	})
}

func benchmarkTokens(b *testing.B, j *judge, tokens []string, bad bool) {
	one, err := j.start(context.Background(), tokens)
	if err != nil {
		b.Fatal(err)
	}
	work := inTurn(one, len(tokens), bad)
	b.ReportAllocs()
	b.ResetTimer()
	if err := work(b.N); err != nil {
		b.Fatal(err)
	}
}
