package acpclient_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
)

// BR-34: what is remembered of a token is its hash and its claims: the heap holds no copy of
// the token itself.
func TestHeapHoldsNoToken(t *testing.T) {
	z := newFuzzed()
	answer := activeAnswer
	z.answer.Store(&answer)
	v := z.verifier(t, func(c *acpclient.VerifierConfig) {
		c.Mode, c.ClientID, c.Auth = "auto", "api", acpclient.Secret(canary)
	})
	var needles [][]byte // backwards, so that they are not found themselves
	verify := func(token string) {
		for range 2 {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		}
		for part := range strings.SplitSeq(token, ".") {
			needle := []byte(part)
			slices.Reverse(needle)
			needles = append(needles, needle)
		}
	}
	verify("opaque-" + rand.Text())
	verify(z.key.Sign(nil, map[string]any{"iss": fuzzIssuer, "sub": rand.Text(), "aud": fuzzAPI, "exp": z.now.Unix() + 60}))
	needles = slices.Delete(needles, 1, 2) // the JWT's header, which many have
	if good, _, _, _ := acpclient.Remembered(v); good != 2 {
		t.Fatalf("%d tokens are remembered", good)
	}
	runtime.GC()
	runtime.GC() // what a sync.Pool lost in the first
	dump, err := os.Create(filepath.Join(t.TempDir(), "heap"))
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close()
	debug.WriteHeapDump(dump.Fd())
	heap, err := os.ReadFile(dump.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(heap, []byte(fuzzAPI)) {
		t.Fatal("the dump does not show what is there")
	}
	for n, needle := range needles {
		slices.Reverse(needle)
		if bytes.Contains(heap, needle) {
			t.Errorf("part %d of the tokens is in the heap", n)
		}
	}
	runtime.KeepAlive(v)
}
