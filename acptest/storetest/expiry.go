package storetest

import (
	"testing"
	"time"

	"github.com/acp-go/acp/middleware"
)

func testExpiry(t *testing.T, s *calls) {
	token, again := s.token(), s.token()
	expiry := time.Now().Add(3 * time.Second)
	s.commit(token, []byte("value"), expiry)
	s.commit(again, []byte("value"), expiry)

	s.until(expiry.Add(late), func() bool {
		before := time.Now()
		_, found := s.find(token)
		if !found && time.Now().Add(skew).Before(expiry) {
			t.Errorf("%s(%q) %v before it expires: found is false: users are signed out early",
				s.names.find, token, expiry.Sub(before).Round(time.Millisecond))
		}
		return !found
	}, func() {
		t.Errorf("%s still finds a value %v after it expired (or it never expires): whoever has the cookie stays signed in",
			s.names.find, late)
	})

	s.goneBy(again, expiry.Add(late), "a value that was not looked at before it expired")
	s.commit(again, []byte("new"), inAnHour())
	s.has(again, []byte("new"), "a commit over an expired value")
}

// A store that counts in seconds or milliseconds, or whose TTL of zero or less means
// "for ever", makes an immortal entry of these.
func testPastExpiry(t *testing.T, store middleware.Store) {
	var parts []part
	for _, row := range []struct {
		name string
		left time.Duration
	}{
		{"300 ms left", 300 * time.Millisecond},
		{"1 ms left", time.Millisecond},
		{"1 ns left", 1},
		{"0 s left", 0},
		{"-1 ns left", -1},
		{"-1 s left", -time.Second},
		{"an hour too late", -time.Hour},
		{"a century too late", -100 * 365 * 24 * time.Hour},
	} {
		for _, over := range []string{"nothing", "a value"} {
			parts = append(parts, part{row.name + " over " + over, func(t *testing.T) {
				s := newCalls(t, store)
				token := s.token()
				if over == "a value" {
					s.commit(token, []byte("before"), inAnHour())
				}
				expiry := time.Now().Add(row.left)
				s.commit(token, []byte("value"), expiry)
				what := s.names.commit + " of a value, " + row.name + ", over " + over
				if row.left < -late {
					s.hasNot(token, what)
					return
				}
				s.goneBy(token, time.Now().Add(max(row.left, 0)+late), what)
			}})
		}
	}
	together(t, parts)
}

func testFarExpiry(t *testing.T, store middleware.Store) {
	const day = 24 * time.Hour
	for _, row := range []struct {
		name string
		left time.Duration
	}{
		{"31 days", 31 * day}, // more is a date, not a duration, to memcached
		{"60 days", 60 * day}, // more than 32 bits of milliseconds
		{"400 days", 400 * day},
		{"10 years", 3653 * day},
		{"30 years", 30 * 366 * day}, // past 2038
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newCalls(t, store)
			token := s.token()
			s.commit(token, []byte("value"), time.Now().Add(row.left))
			s.has(token, []byte("value"), "a commit for "+row.name)
		})
	}
}

// A session that slides moves its expiry, in both directions.
func testReplacedExpiry(s *calls) {
	shorter, longer, replaced := s.token(), s.token(), s.token()
	soon := time.Now().Add(time.Second)
	s.commit(shorter, []byte("value"), inAnHour())
	s.commit(shorter, []byte("value"), soon)
	s.commit(longer, []byte("value"), soon)
	s.commit(longer, []byte("value"), inAnHour())
	s.commit(replaced, []byte("value"), soon)
	s.delete(replaced)
	s.commit(replaced, []byte("value"), inAnHour())

	s.goneBy(shorter, soon.Add(late), "a value whose expiry came nearer with a second commit")
	s.until(soon.Add(late), func() bool { return time.Now().After(soon.Add(skew)) }, func() {})
	s.has(longer, []byte("value"), "its first expiry, which a second commit moved away")
	s.has(replaced, []byte("value"), "the expiry of a value that was deleted before")
}
