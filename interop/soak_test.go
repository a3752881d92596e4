package interop_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

var (
	soakLength   = flag.Duration("soak", 40*time.Second, "how long TestSoak runs")
	soakBrowsers = flag.Int("soak.browsers", 50, "how many browsers there are in TestSoak")
	soakPause    = flag.Duration("soak.pause", time.Second, "the pause of a browser between two batches of requests")
	soakToken    = flag.Duration("soak.token", 5*time.Second, "the lifetime of access tokens in TestSoak")
	soakDown     = flag.Duration("soak.down", time.Second, "how long Redis is down in TestSoak")
	soakDelay    = flag.Duration("soak.delay", 300*time.Millisecond, "by which the answer to a refresh may come later, at random")
)

// soakRun is a run of browsers on a stage.
type soakRun struct {
	*stage
	*tally
	browsers []*soakBrowser
	began    time.Time
	stop     context.CancelFunc
	all      sync.WaitGroup
}

func startSoak(t *testing.T, keys string, delay time.Duration) *soakRun {
	t.Helper()
	s := &soakRun{stage: newStage(t, *soakToken, delay, keys), tally: newTally()}
	for i := range *soakBrowsers {
		s.browsers = append(s.browsers, s.signIn(fmt.Sprintf("soak-%03d", i), s.tally))
	}
	s.began = time.Now()
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	for _, b := range s.browsers {
		s.all.Go(func() { b.browse(ctx, *soakPause) })
	}
	t.Cleanup(s.end)
	return s
}

func (s *soakRun) end() {
	s.stop()
	s.all.Wait()
}

// wait lets the browsers go on until a time since the beginning.
func (s *soakRun) wait(since time.Duration) {
	<-time.After(time.Until(s.began.Add(since)))
}

// at is wait, in parts of the length.
func (s *soakRun) at(part float64) { s.wait(time.Duration(part * float64(*soakLength))) }

// names are those of the processes whose sizes are watched.
func (s *soakRun) names() []string {
	names := []string{"redis"}
	for i := range s.replicas {
		names = append(names, fmt.Sprint("replica ", i))
	}
	return names
}

func (s *soakRun) sizes() []size {
	all := []size{s.redis.size()}
	for _, r := range s.replicas {
		all = append(all, r.size())
	}
	return all
}

// meanSizes are those of a part of the run.
func (s *soakRun) meanSizes(from, to float64) []size {
	const samples = 20
	var sums []size
	for i := range samples {
		s.at(from + (to-from)*float64(i)/samples)
		for p, now := range s.sizes() {
			if i == 0 {
				sums = append(sums, size{})
			}
			sums[p].rss += now.rss
			sums[p].files += now.files
		}
	}
	for p := range sums {
		sums[p].rss /= samples
		sums[p].files /= samples
	}
	return sums
}

// report ends the run, and fails the test with what was wrong in it.
func (s *soakRun) report() counts {
	s.t.Helper()
	s.end()
	s.settle()
	c := s.counts()
	s.t.Logf("%s: %d browsers, %v; %v; %d refreshes, %d re-used, %d refused; the proxy found %d connections refused, %d broken",
		s.t.Name(), len(s.browsers), time.Since(s.began).Round(time.Second), s.tally, c.Refreshes, c.Reused, c.Refused, s.balancer.asked.Load(), s.balancer.broken.Load())
	return c
}

// RL-15 RL-33 RL-34 SE-19: nothing that happens in the life of a machine signs anybody out, and
// nothing but signing out.
func TestSoak(t *testing.T) {
	oldKey, newKey := randomKey(), randomKey()
	s := startSoak(t, oldKey+","+newKey, *soakDelay)
	at := s.at
	at(.08)
	start := s.sizes()
	end := s.begin("redis")
	s.redis.shutdown()
	<-time.After(*soakDown)
	s.redis.start()
	end()
	<-time.After(recovery)

	at(.25)
	s.signOut(t, s.browsers[0], s.browsers[1])
	end = s.begin("server")
	s.server.suspend()
	suspended := time.Now()
	<-time.After(time.Second)
	s.signOut(t, s.browsers[2])
	<-time.After(time.Until(suspended.Add(max(12*time.Second, *soakLength/15))))
	s.server.resume()
	end()

	early := s.meanSizes(.42, .48)
	late := s.meanSizes(.62, .68)
	for i, r := range s.replicas {
		at(.7 + .08*float64(i))
		r.keys = newKey + "," + oldKey
		r.restart()
		s.signOut(t, s.browsers[3+i])
	}

	at(1)
	final := s.sizes()
	c := s.report()
	for i, name := range s.names() {
		t.Logf("%s: %v after the beginning, %v and %v later on, %v at the end", name, start[i], early[i], late[i], final[i])
		// In less than two minutes the garbage collector's own steps are larger.
		if most := early[i].rss + early[i].rss/20 + 1024; *soakLength >= 2*time.Minute && late[i].rss > most {
			t.Errorf("RL-34: %s grew from %v to %v", name, early[i], late[i])
		}
	}
	for _, v := range s.wrong[:min(20, len(s.wrong))] {
		t.Error(v)
	}
	if len(s.wrong) > 0 || c.Reused > 0 {
		t.Errorf("%d answers were wrong, %d sessions were lost, %d refresh tokens were used again", len(s.wrong), len(s.lost), c.Reused)
	}
	if n := s.balancer.broken.Load(); n > 0 {
		t.Errorf("%d requests were cut off by a replica that ended by SIGTERM", n)
	}
	s.stolenCookies(t)
}

// A process that ends without a word may have asked for new tokens whose answer nobody got. Where
// re-use counts as theft that session is over. Such a process holds the session's lease when it ends,
// and nobody else's session is lost.
func TestSoakKill(t *testing.T) {
	// The server answers as fast as it can: hardly ever is more than one under way.
	s := startSoak(t, randomKey(), 0)
	length := *soakLength / 4
	s.wait(length / 4)
	end := s.begin("killed")
	s.replicas[1].kill()
	// Those of the dead stay for some seconds. There may be some of the others.
	leased, err := s.redis.client.Keys(t.Context(), "lease:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	s.wait(length / 2)
	s.replicas[1].start()
	end()
	s.wait(length)
	c := s.report()
	for _, v := range s.wrong {
		if !v.logout {
			t.Error(v)
		}
	}
	if most := len(leased); len(s.lost) > most || c.Reused > most {
		t.Errorf("%d sessions were lost, %d refresh tokens were used again; want %d at most", len(s.lost), c.Reused, most)
	}
}

func (s *soakRun) signOut(t *testing.T, browsers ...*soakBrowser) {
	t.Helper()
	for _, b := range browsers {
		if err := b.signOut(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// stolenCookies are of no use, at any replica.
func (s *soakRun) stolenCookies(t *testing.T) {
	t.Helper()
	n := 0
	for _, b := range s.browsers {
		if b.stolen == "" {
			continue
		}
		n++
		for _, r := range s.replicas {
			status, body, err := fetch(t.Context(), http.MethodGet, "http://"+r.addr+"/api/me", http.Header{"Cookie": {b.stolen}, "Accept": {"application/json"}})
			if err != nil || status != http.StatusUnauthorized {
				t.Errorf("SE-19: the cookies of %s, who signed out: %d %s (%v)", b.subject, status, body, err)
			}
		}
	}
	if n == 0 {
		t.Error("nobody signed out")
	}
}
