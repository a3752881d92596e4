package interop_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const replicas = 3

// stage is where a soak plays: replicas of examples/webapp behind a round-robin proxy, on
// one Redis, with oidc-provider and an API that checks its access tokens.
type stage struct {
	t        *testing.T
	issuer   string
	server   *process // oidc-provider
	redis    *redisServer
	balancer *balancer
	replicas []*replica
	origin   string // of the proxy: where browsers go
}

func newStage(t *testing.T, lifetime, delay time.Duration, keys string) *stage {
	t.Helper()
	s := &stage{t: t, balancer: new(balancer), redis: startRedis(t)}
	front := httptest.NewServer(s.balancer.handler())
	t.Cleanup(front.Close)
	s.origin = front.URL
	registered := newClient(t, "client_secret_basic", s.origin)
	const audience = "https://soak.api.example"
	s.issuer, s.server = oidcProvider{
		port: "0", lifetime: lifetime, delay: delay,
		apis: map[string]string{audience: "jwt"}, defaultAPI: audience,
	}.start(t, registered)
	api := startTokenAPI(t, s.issuer, audience)
	binary, err := webappBinary()
	if err != nil {
		t.Fatal(err)
	}
	for range replicas {
		s.replicas = append(s.replicas, startReplica(t, binary, keys, s.redis.url(s.redis.addr), s.issuer, api, registered))
	}
	for _, r := range s.replicas {
		s.balancer.addrs = append(s.balancer.addrs, r.addr)
	}
	t.Cleanup(s.balancer.transport().CloseIdleConnections)
	return s
}

// counts is what oidc-provider counted.
type counts struct{ Refreshes, Refused, Reused int }

func (s *stage) counts() (c counts) {
	s.t.Helper()
	u, err := url.Parse(s.issuer)
	if err != nil {
		s.t.Fatal(err)
	}
	_, body, err := fetch(s.t.Context(), http.MethodGet, "http://"+u.Host+"/counts", nil)
	if err == nil {
		err = json.Unmarshal([]byte(body), &c)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// replica is one process of the application, with the same settings at each start, but for
// its keys.
type replica struct {
	*service
	addr string
	keys string // of the next start
}

func startReplica(t *testing.T, binary, keys, redisURL, issuer, api string, c client) *replica {
	t.Helper()
	r := &replica{addr: net.JoinHostPort("127.0.0.1", freePort(t)), keys: keys}
	command := func() *exec.Cmd {
		cmd := exec.Command(binary)
		cmd.Env = append(environWithout("ACP_"),
			"ACP_ISSUER="+issuer,
			"ACP_CLIENT_ID="+c.ID, "ACP_CLIENT_SECRET="+c.Secret, "ACP_CLIENT_AUTH="+c.Auth,
			"ACP_REDIRECT_URL="+c.RedirectURL,
			"ACP_SCOPES=openid offline_access things.read",
			"ACP_LISTEN="+r.addr,
			"ACP_COOKIE_KEY="+r.keys,
			"ACP_REDIS_URL="+redisURL,
			"ACP_API_URL="+api,
		)
		return cmd
	}
	r.service = startService(t, syscall.SIGTERM, command, func(ctx context.Context) error {
		status, _, err := fetch(ctx, http.MethodGet, "http://"+r.addr+"/healthz", nil)
		if err == nil && status != http.StatusOK {
			err = errors.New(http.StatusText(status))
		}
		return err
	})
	return r
}

func randomKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// balancer sends each request to the next replica. As such proxies do it passes over those
// that take no connection, and asks another one when a GET has got no answer.
type balancer struct {
	addrs   []string
	turn    atomic.Uint64
	asked   atomic.Int64 // a replica, in vain: it took no connection
	broken  atomic.Int64 // a replica took a request, and ended without an answer
	carrier http.Transport
}

func (b *balancer) transport() *http.Transport { return &b.carrier }

func (b *balancer) handler() http.Handler {
	b.carrier.MaxIdleConnsPerHost = 64
	b.carrier.IdleConnTimeout = 10 * time.Second
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.Host = "http", r.In.Host
		},
		Transport: b,
	}
}

func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var failed error
	for range b.addrs {
		r.URL.Host = b.addrs[b.turn.Add(1)%uint64(len(b.addrs))]
		res, err := b.carrier.RoundTrip(r)
		if err == nil {
			res.Header.Set("X-Replica", r.URL.Host)
			return res, nil
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %w", r.URL.Host, err))
		if r.Context().Err() != nil {
			break // the browser left
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			b.asked.Add(1)
			continue
		}
		b.broken.Add(1)
		if r.Method != http.MethodGet {
			break
		}
	}
	return nil, failed
}

// startTokenAPI is an API that knows nothing about the SDK. It takes access tokens that the
// server signed for it, and answers with whom they are for.
func startTokenAPI(t *testing.T, issuer, audience string) string {
	t.Helper()
	_, body, err := fetch(t.Context(), http.MethodGet, issuer+"/.well-known/jwks.json", nil)
	var keys jose.JSONWebKeySet
	if err == nil {
		err = json.Unmarshal([]byte(body), &keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := jwt.ParseSigned(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), []jose.SignatureAlgorithm{jose.ES256})
		var claims jwt.Claims
		if err == nil {
			err = token.Claims(keys, &claims)
		}
		if err == nil {
			// A token may end on its way here, on a machine that is very busy.
			err = claims.ValidateWithLeeway(jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{audience}, Time: time.Now()}, 5*time.Second)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, claims.Subject)
	}))
	t.Cleanup(api.Close)
	return api.URL
}

// size is what the kernel says of a process.
type size struct {
	rss   int // KiB
	files int // open descriptors
}

func (p *process) size() size {
	var s size
	proc := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	status, _ := os.ReadFile(proc + "/status") // it may have ended
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			s.rss, _ = strconv.Atoi(strings.Fields(value)[0])
		}
	}
	files, _ := os.ReadDir(proc + "/fd")
	s.files = len(files)
	return s
}

func (s size) String() string { return fmt.Sprintf("%.1f MiB, %d files", float64(s.rss)/1024, s.files) }

// percentile is 0 of nothing. It sorts.
func percentile(took []time.Duration, p float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[int(p*float64(len(took)-1))]
}
