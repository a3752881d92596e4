package frameworks_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/examples/frameworks"
	"github.com/acp-go/acp/middleware"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	m.Run()
}

func newVerifier(t *testing.T, s *acptest.Server) *acpclient.Verifier {
	t.Helper()
	verifier, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: s.Issuer, Audience: s.Audience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { verifier.Close(context.Background()) })
	return verifier
}

func require(t *testing.T, v *acpclient.Verifier, scope string) frameworks.Protector {
	t.Helper()
	protect, err := middleware.RequireBearer(v, &middleware.BearerOptions{Scopes: []string{scope}})
	if err != nil {
		t.Fatal(err)
	}
	return protect
}

var routers = map[string]func(read, write frameworks.Protector) http.Handler{
	"chi": frameworks.Chi, "gorilla": frameworks.Gorilla, "echo": frameworks.Echo, "gin": frameworks.Gin,
}

// The same requests have the same answers behind every router.
func TestRouters(t *testing.T) {
	s := acptest.NewServer(t, nil)
	down := acptest.NewServer(t, nil)
	down.SetUnreachable(true)
	v := newVerifier(t, s)
	foreign := newVerifier(t, down)
	with := func(scope string) string { return s.AccessToken(map[string]any{"scp": scope}) }
	for name, router := range routers {
		up := httptest.NewServer(router(require(t, v, "things.read"), require(t, v, "things.write")))
		t.Cleanup(up.Close)
		cut := httptest.NewServer(router(require(t, foreign, "things.read"), require(t, foreign, "things.write")))
		t.Cleanup(cut.Close)
		for title, row := range map[string]struct {
			server       *httptest.Server
			method, path string
			header       []string
			status       int
			challenge    string // a part of it; "": there is none
			body         string // all of it, of 200
		}{
			"read":                {up, "GET", "/things/7", []string{"Bearer " + with("things.read")}, 200, "", "thing 7 of alice"},
			"write":               {up, "POST", "/admin/things", []string{"bearer " + with("things.write")}, 200, "", "a new thing of alice"},
			"BR-01 no token":      {up, "GET", "/things/7", nil, 401, "Bearer", ""},
			"BR-06 two tokens":    {up, "GET", "/things/7", []string{"Bearer " + with("things.read"), "Bearer x"}, 400, `error="invalid_request"`, ""},
			"BR-11 expired":       {up, "GET", "/things/7", []string{"Bearer " + s.AccessToken(map[string]any{"exp": time.Now().Unix() - 60})}, 401, `error="invalid_token"`, ""},
			"BR-18 another scope": {up, "GET", "/things/7", []string{"Bearer " + with("things.write")}, 403, `scope="things.read"`, ""},
			"BR-18 in a group":    {up, "POST", "/admin/things", []string{"Bearer " + with("things.read")}, 403, `scope="things.write"`, ""},
			"BR-24 no keys":       {cut, "GET", "/things/7", []string{"Bearer " + down.AccessToken(map[string]any{"scp": "things.read"})}, 503, "", ""},
		} {
			t.Run(name+"/"+title, func(t *testing.T) {
				r, err := http.NewRequestWithContext(t.Context(), row.method, row.server.URL+row.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if row.header != nil {
					r.Header["Authorization"] = row.header
				}
				response, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				challenge := response.Header.Get("WWW-Authenticate")
				if response.StatusCode != row.status || !strings.Contains(challenge, row.challenge) || (challenge == "") != (row.challenge == "") {
					t.Errorf("status %d, challenge %s\n%s", response.StatusCode, challenge, body)
				}
				if row.status == 200 && string(body) != row.body {
					t.Errorf("body %q", body)
				}
				if row.status != 200 && (strings.Contains(string(body), "alice") || !strings.HasPrefix(string(body), `{"type":"about:blank"`) || strings.Count(string(body), "{") != 1) {
					t.Errorf("something came after the refusal: %q", body) // NH
				}
			})
		}
	}
}

// A refused request passes no further handler of a gin chain, and an admitted one each once.
func TestGinChain(t *testing.T) {
	s := acptest.NewServer(t, nil)
	passed := ""
	note := func(name string) gin.HandlerFunc {
		return func(c *gin.Context) { passed += name; c.Next(); passed += name }
	}
	engine := gin.New()
	engine.GET("/", note("a"), frameworks.GinBearer(require(t, newVerifier(t, s), "things.read")), note("b"), func(*gin.Context) { passed += "." })
	for want, token := range map[string]string{
		"aa":    "x",
		"ab.ba": s.AccessToken(map[string]any{"scp": "things.read"}),
	} {
		passed = ""
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, acptest.WithBearer(httptest.NewRequestWithContext(t.Context(), "GET", "/", nil), token))
		if passed != want {
			t.Errorf("the request passed %q, want %q (status %d)", passed, want, w.Code)
		}
	}
}
