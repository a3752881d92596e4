package middleware_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// A record as a session cookie holds it, field by field: version, id, generation, three
// times, issuer and subject, the tokens' expiry and lifetime, type, three tokens, scopes.
func recordOf(version byte, numbers [6]uint64, rest ...[]byte) []byte {
	return recordFor(version, numbers, uvarints(0, 0), rest...)
}

func recordFor(version byte, numbers [6]uint64, user []byte, rest ...[]byte) []byte {
	b := append([]byte{version}, make([]byte, 16)...)
	b = append(b, uvarints(numbers[:4]...)...)
	b = append(b, user...)
	b = append(b, uvarints(numbers[4:]...)...)
	return append(b, bytes.Join(rest, nil)...)
}

func uvarints(numbers ...uint64) (b []byte) {
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

const (
	recordMillis = 1_700_000_000_000
	manyBytes    = 1 << 62
)

// hostileRecords are what somebody could seal who has an old key. Only the first is a record.
func hostileRecords() []struct {
	name  string
	plain []byte
	ok    bool
} {
	times := [6]uint64{0, recordMillis, recordMillis, recordMillis, recordMillis, 3600}
	with := func(i int, v uint64) [6]uint64 { n := times; n[i] = v; return n }
	empty := uvarints(0, 0, 0, 0, 0, 0, 0, 0) // no type, three empty tokens, no scopes
	good := recordOf(2, times, empty)
	return []struct {
		name  string
		plain []byte
		ok    bool
	}{
		{"as written", good, true},
		{"nothing", nil, false},
		{"the version alone", []byte{2}, false},
		{"version 0", recordOf(0, times, empty), false},
		{"version 1, as it was written", recordFor(1, times, nil, empty), false},
		{"version 1, as it is now", recordOf(1, times, empty), false},
		{"a newer version", recordOf(3, times, empty), false},
		{"an issuer and a subject", recordFor(2, times, []byte("\x01i\x05alice"), empty), true},
		{"an issuer longer than the rest", recordFor(2, times, uvarints(manyBytes, 0), empty), false},
		{"a subject longer than the rest", recordFor(2, times, uvarints(0, manyBytes), empty), false},
		{"no tokens", recordFor(2, times, uvarints(0, 0))[:37], false},
		{"JSON", []byte(`{"access_token":"x"}`), false},
		{"gob", []byte("\x0c\xff\x81\x02\x01\x02\xff\x82\x00\x01\x10"), false},
		{"one byte short", good[:len(good)-1], false},
		{"one byte more", append(slices.Clone(good), 0), false},
		{"the year 10000", recordOf(2, with(1, 253402300800000), empty), false},
		{"a time beyond int64", recordOf(2, with(2, 1<<63), empty), false},
		{"a lifetime beyond int64", recordOf(2, with(5, 1<<64-1), empty), true},
		{"a number of eleven bytes", append(append([]byte{2}, make([]byte, 16)...), bytes.Repeat([]byte{0xff}, 11)...), false},
		{"a type longer than the rest", recordOf(2, times, uvarints(manyBytes), []byte("Bearer")), false},
		{"a token longer than the rest", recordOf(2, times, uvarints(0, 0, manyBytes), []byte("x")), false},
		{"a token of many parts", recordOf(2, times, uvarints(0, manyBytes), []byte("x")), false},
		{"many scopes", recordOf(2, times, uvarints(0, 0, 0, 0, 0, 0, 0, manyBytes)), false},
		{"a scope longer than the rest", recordOf(2, times, uvarints(0, 0, 0, 0, 0, 0, 0, 1, manyBytes)), false},
		{"empty scopes", recordOf(2, times, uvarints(0, 0, 0, 0, 0, 0, 0, 100), make([]byte, 100)), true},
		{"empty parts", recordOf(2, times, uvarints(0, 100), make([]byte, 100), uvarints(0, 0, 0, 0, 0)), true},
	}
}

func TestHostileRecords(t *testing.T) { // SE-33
	for _, row := range hostileRecords() {
		t.Run(row.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, _, ok := middleware.DecodeRecord(row.plain); ok != row.ok {
				t.Errorf("SE-33: taken %v", ok)
			}
			if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<20 {
				t.Errorf("SE-33: %d bytes of memory", after.TotalAlloc-before.TotalAlloc)
			}
			checkRecord(t, row.plain)
		})
	}
}

// What survives a session: tokens of every form, byte for byte.
func TestRecordKeepsTokens(t *testing.T) {
	now := time.UnixMilli(recordMillis)
	for _, token := range []string{
		"", "opaque", "a.b.c", "e30.e30.", "e30.e30.AA", "e31.e30.AA", "e30=.e30.AA", ".", "..", "a b", "\x00\xff", "ory_rt_x.y", "ZZ",
	} {
		in := &acpclient.Tokens{
			Token:   &oauth2.Token{AccessToken: token, RefreshToken: token, TokenType: token, Expiry: now, ExpiresIn: 3600},
			IDToken: token, Scopes: []string{"openid", token},
		}
		out, size, ok := middleware.RecordRoundTrip(in, now)
		if !ok || size > 200 || fmt.Sprintf("%q", fields(out)) != fmt.Sprintf("%q", fields(in)) {
			t.Errorf("%q: %v, %d bytes, %q", token, ok, size, fields(out))
		}
	}
}

func fields(t *acpclient.Tokens) []any {
	if t == nil || t.Token == nil {
		return nil
	}
	return []any{t.AccessToken, t.RefreshToken, t.IDToken, t.TokenType, t.Expiry.UnixMilli(), t.ExpiresIn, t.Scopes}
}

// checkRecord holds for any bytes: they are refused, or give a record that is no larger
// than they were, but for base64, and that comes out of its own encoding unchanged.
func checkRecord(t *testing.T, plain []byte) {
	t.Helper()
	tokens, again, ok := middleware.DecodeRecord(plain)
	if !ok {
		if tokens != nil {
			t.Error("SE-33: a refused record has tokens")
		}
		return
	}
	size := len(tokens.AccessToken) + len(tokens.RefreshToken) + len(tokens.IDToken) + len(tokens.TokenType)
	for _, s := range tokens.Scopes {
		size += len(s)
	}
	if size > 3*len(plain) || len(tokens.Scopes) > len(plain) || tokens.ExpiresIn < 0 || tokens.Expiry.Year() > 9999 {
		t.Errorf("SE-33: %d bytes became %d in %d scopes, lifetime %d, expiry %s", len(plain), size, len(tokens.Scopes), tokens.ExpiresIn, tokens.Expiry)
	}
	same, twice, ok := middleware.DecodeRecord(again)
	if !ok || !bytes.Equal(again, twice) || fmt.Sprintf("%q", fields(same)) != fmt.Sprintf("%q", fields(tokens)) {
		t.Errorf("SE-33: the record changes when it is written again: %q, then %q", fields(tokens), fields(same))
	}
}

// FuzzRecord: whatever is sealed with the right key is a session or none, and no panic.
func FuzzRecord(f *testing.F) { // SE-33
	for _, row := range hostileRecords() {
		f.Add(row.plain)
	}
	for _, n := range []int{0, 100, 3000} {
		f.Add(middleware.EncodeRecord(tokensOf(n), time.UnixMilli(recordMillis)))
	}
	a := newFuzzApp(f)
	a.SetClock(func() time.Time { return time.UnixMilli(recordMillis) })
	page := a.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var claims map[string]any
		s := http.StatusAccepted
		if middleware.SessionFromContext(r.Context()).Claims(&claims) != nil {
			s = http.StatusNoContent
		}
		w.WriteHeader(s)
	}))
	f.Fuzz(func(t *testing.T, plain []byte) {
		checkRecord(t, plain)
		w := serve(page, request("GET", site+"/profile", "__Host-acp_session="+a.SealSession(plain)))
		if c := w.Code; c != http.StatusAccepted && c != http.StatusNoContent && c != http.StatusSeeOther {
			t.Errorf("SE-33: status %d", c)
		}
	})
}
