package middleware_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/acp-go/acp/middleware"
)

const someTx = txPrefix + "0123456789abcdefghijkl"

// asNetHTTP is what http.Request.Cookies shows of ours.
func asNetHTTP(r *http.Request) (chunks [][]string, txs [][2]string) {
	chunks = make([][]string, 10)
	for _, c := range r.Cookies() {
		if id, ok := strings.CutPrefix(c.Name, txPrefix); ok && len(id) == 22 {
			txs = append(txs, [2]string{id, c.Value})
			continue
		}
		for i := range chunks {
			name := sessionPrefix
			if i > 0 {
				name = fmt.Sprintf("%s.%d", sessionPrefix, i)
			}
			if c.Name == name && len(chunks[i]) < middleware.MaxCopies {
				chunks[i] = append(chunks[i], c.Value)
			}
		}
	}
	return chunks, txs[:min(len(txs), 32)]
}

// A header is read as net/http reads it, by the rules for names, values and numbers.
func TestCookieHeader(t *testing.T) { // SE-12 SE-13
	a := newFuzzApp(t)
	const name = sessionPrefix
	for _, row := range []struct {
		name  string
		lines []string
	}{
		{"nothing", nil},
		{"an empty line", []string{""}},
		{"one", []string{name + "=1.abc"}},
		{"two lines", []string{name + "=1.abc; x=y", name + ".1=d; " + name + ".9=e"}},
		{"no value", []string{name}},
		{"an empty value", []string{name + "="}},
		{"several equals", []string{name + "==a=b=="}},
		{"spaces", []string{" \t " + name + " \t = a b \t ;\t" + name + ".1\n=x\r"}},
		{"no space", []string{"a=b;" + name + "=x;c=d"}},
		{"empty pairs", []string{";;; ;" + name + "=x;;"}},
		{"quotes", []string{name + `="x"; ` + name + `.1="; ` + name + `.2=""; ` + name + `.3="""; ` + name + `.4=a"b; ` + name + `.5="a`}},
		{"a quoted semicolon", []string{name + `="a;b"`}},
		{"controls", []string{name + "=a\x00; " + name + ".1=a\x1fb; " + name + ".2=a\tb; " + name + ".3=a\x7f"}},
		{"outside of ASCII", []string{name + "=é; " + name + ".1=aaaaaaa\x80; " + name + ".2=\xff\xff\xff\xff\xff\xff\xff\xff; " + name + ".3=\u2028"}},
		{"a backslash", []string{name + `=a\b; ` + name + `.1=\\\\\\\\`}},
		{"a comma", []string{name + "=a,b"}},
		{"five copies", []string{strings.Repeat(name+"=x; ", 5)}},
		{"five copies, the first of no value", []string{name + "=\x01; " + name + "=1; " + name + "=2; " + name + "=3; " + name + "=4; " + name + "=5"}},
		{"five of no value before a good one", []string{strings.Repeat(name+"=\"; ", 5) + name + "=good"}},
		{"a good one before one of no value", []string{name + "=good; " + name + "=\\"}},
		{"an empty copy", []string{name + "=; " + name + "=x"}},
		{"names that are near", []string{name + "x=1; " + name + ".=2; " + name + ".0=3; " + name + ".10=4; " + name + ".a=5; " + name + ".1.=6; " + strings.ToUpper(name) + "=7; acp_session=8"}},
		{"a name that is none", []string{name + " x=1; " + name + "\x00=2; " + name + ".1\xff=3; (" + name + "=4"}},
		{"a transaction", []string{someTx + "=x"}},
		{"transactions of no name", []string{txPrefix + "0123456789abcdefghij l=x; " + txPrefix + "0123456789abcdefghij\x01l=x; " + txPrefix + "0123456789abcdefghi(),=x"}},
		{"transactions of no value", []string{someTx + "=\x01; " + someTx + `="x"; ` + someTx}},
		{"transactions that are long or short", []string{someTx + "m=x; " + someTx[:len(someTx)-1] + "=y"}},
		{"forty transactions", []string{strings.Repeat(someTx+"=x; ", 40)}},
		{"forty of no value before one", []string{strings.Repeat(someTx+"=\x01; ", 40) + someTx + "=x"}},
		{"as many as there may be", []string{strings.Repeat("x=y;", middleware.MaxCookies-1) + name + "=x"}},
		{"one more", []string{strings.Repeat("x=y;", middleware.MaxCookies) + name + "=x"}},
		{"one more, ours first", []string{name + "=x; " + someTx + "=y" + strings.Repeat(";", middleware.MaxCookies-1)}},
		{"one more, in lines", append(slices.Repeat([]string{""}, middleware.MaxCookies), name+"=x")},
		{"a megabyte", []string{name + "=" + strings.Repeat("x", 1<<20)}},
	} {
		t.Run(row.name, func(t *testing.T) { sameCookies(t, a, row.lines) })
	}
}

func sameCookies(t *testing.T, a *middleware.Authenticator, lines []string) {
	t.Helper()
	r := request("GET", site+"/", "")
	r.Header["Cookie"] = lines
	chunks, txs := a.Presented(r)
	wantChunks, wantTxs := asNetHTTP(r)
	if fmt.Sprintf("%q", chunks) != fmt.Sprintf("%q", wantChunks) || fmt.Sprintf("%q", txs) != fmt.Sprintf("%q", wantTxs) {
		t.Errorf("SE-12 SE-13: %.100q: read %.200q %.100q, net/http %.200q %.100q", lines, chunks, txs, wantChunks, wantTxs)
	}
}

// FuzzCookieHeader: whatever comes is read as net/http reads it.
func FuzzCookieHeader(f *testing.F) { // SE-12
	f.Add(sessionPrefix+"=1.abc; x=y", sessionPrefix+`.1="d"`)
	f.Add(" "+sessionPrefix+" =\x7f;"+sessionPrefix+"=a", someTx+"=;"+someTx)
	f.Add(strings.Repeat(";", 3000), sessionPrefix)
	a := newFuzzApp(f)
	f.Fuzz(func(t *testing.T, first, second string) {
		sameCookies(t, a, []string{first, second})
		for _, name := range []string{sessionPrefix, sessionPrefix + ".9", someTx} {
			sameCookies(t, a, []string{name + "=" + first + ";" + name + "=" + second})
		}
	})
}

// Cookies of others cost nothing, and copies of ours no more than the first few.
func TestManyCookiesAreCheap(t *testing.T) { // SE-12
	a := newFuzzApp(t)
	page := a.RequireSession(nothing)
	for name, header := range map[string]string{
		"others":     strings.Repeat("_ga=GA1.2.3; ", 500),
		"copies":     strings.Repeat(sessionPrefix+"=x; ", 500),
		"near names": strings.Repeat(sessionPrefix+"x=x; ", 500),
	} {
		r := request("GET", site+"/", header)
		r.Header.Set("Accept", "application/json")
		few := request("GET", site+"/", header[:strings.IndexByte(header, ' ')*8])
		few.Header.Set("Accept", "application/json")
		many, some := allocsOf(page, r), allocsOf(page, few)
		if many > some+2 {
			t.Errorf("SE-12 %s: %v allocations, and %v with eight cookies", name, many, some)
		}
	}
}

func allocsOf(h http.Handler, r *http.Request) float64 {
	w := nowhere{http.Header{}}
	return allocations(func() { clear(w.header); h.ServeHTTP(w, r) })
}
