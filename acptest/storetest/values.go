package storetest

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/middleware"
)

func inAnHour() time.Time { return time.Now().Add(time.Hour) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func testMissing(s *calls) {
	for range 3 {
		s.hasNot(s.token(), "nothing was ever committed under it")
	}
}

// Values are sealed: any byte may be anywhere in them.
func testValues(t *testing.T, store middleware.Store) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, row := range []struct {
		name  string
		value []byte
	}{
		{"no bytes", []byte{}},
		{"one NUL", []byte{0}},
		{"NUL inside", []byte("a\x00b")},
		{"NUL and space at the end", []byte("a\x00 ")},
		{"newlines", []byte("\r\n\n\r")},
		{"every byte", every},
		{"not UTF-8", []byte("\xff\xfe\xc0\x80")},
		{"a backslash and quotes", []byte(`\x41'"; --`)},
		{"64 KiB", random(64 << 10)},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newCalls(t, store)
			token := s.token()
			s.commit(token, bytes.Clone(row.value), inAnHour())
			s.has(token, row.value, "a commit")
			s.has(token, row.value, "a find")
		})
	}
}

func testReplace(s *calls) {
	token, other := s.token(), s.token()
	s.commit(other, []byte("other"), inAnHour())
	for _, value := range []string{"first", "a longer second", "3", ""} {
		s.commit(token, []byte(value), inAnHour())
		s.has(token, []byte(value), "a commit over another value")
	}
	s.has(other, []byte("other"), "commits under another token")
}

func testDelete(s *calls) {
	token, other := s.token(), s.token()
	s.delete(token) // of nothing: no error
	s.commit(token, []byte("value"), inAnHour())
	s.commit(other, []byte("other"), inAnHour())
	s.delete(token)
	s.hasNot(token, "its delete")
	s.has(other, []byte("other"), "the delete of another token")
	s.delete(token) // again: no error
	s.commit(token, []byte("new"), inAnHour())
	s.has(token, []byte("new"), "a commit after its delete")
}

// Tokens are compared byte for byte, to their last one.
func testTokens(t *testing.T, store middleware.Store) {
	base := newToken()
	stem := base[:30]
	for _, row := range []struct {
		name, a, b string
	}{
		{"case", stem + "abcdefghijklmnopqrstuvwxyzabcd", stem + "ABCDEFGHIJKLMNOPQRSTUVWXYZABCD"},
		{"case of one letter", stem + strings.Repeat("a", 30), stem + strings.Repeat("a", 29) + "A"},
		{"the last byte", base[:59] + "0", base[:59] + "1"},
		{"a hyphen and an underscore", stem + strings.Repeat("-", 30), stem + strings.Repeat("_", 30)},
		{"an underscore, which SQL patterns match with anything", stem + strings.Repeat("_", 30), stem + strings.Repeat("x", 30)},
		{"a hyphen at the end", stem, stem + "-"},
		{"one starts with the other", base, base[:59]},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newCalls(t, store)
			t.Cleanup(func() { s.delete(row.a); s.delete(row.b) })
			s.commit(row.a, []byte("a"), inAnHour())
			s.hasNot(row.b, "a commit under "+row.a)
			s.commit(row.b, []byte("b"), inAnHour())
			s.has(row.a, []byte("a"), "a commit under "+row.b)
			s.delete(row.b)
			s.has(row.a, []byte("a"), "the delete of "+row.b)
			s.delete(row.a)
			s.hasNot(row.a, "its delete")
		})
	}
}

// What was found belongs to the caller, who reads it while others use the store. (That
// the store copies is not asked for: middleware changes neither what it commits nor what it finds.)
func testFoundStays(t *testing.T, s *calls) {
	const size = 600
	token := s.token()
	value := func(c byte) []byte { return bytes.Repeat([]byte{c}, size) }
	s.commit(token, value('a'), inAnHour())
	first, _ := s.find(token)
	again, _ := s.find(token)
	s.commit(token, value('b'), inAnHour())
	second, _ := s.find(token)
	s.delete(token)
	for range 8 {
		other := s.token()
		s.commit(other, value('c'), inAnHour())
		s.find(other)
	}
	for _, kept := range []struct {
		name string
		b    []byte
		want byte
	}{{"first", first, 'a'}, {"second", again, 'a'}, {"third", second, 'b'}} {
		if !bytes.Equal(kept.b, value(kept.want)) {
			t.Errorf("the slice that the %s %s returned became %s while other values were committed, found and deleted; "+
				"want it to stay: the session of one user would turn into that of another", kept.name, s.names.find, short(kept.b))
		}
	}
}
