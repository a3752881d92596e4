package localacp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// The gateway stands in front of the library and gives it ACP's face: paths
// below the issuer, ACP's errors, JWTs in the place of opaque tokens.

// note is what the parts that the library calls leave for the gateway.
type note struct {
	trace    string
	cause    string // ACP's error_cause
	formPost bool   // the client wants its answer posted
	omitted  bool   // the client sent no redirect_uri
	hint     *hint  // from a valid id_token_hint

	certificate *x509.Certificate // the client's, of the connection
}

// hint is what an id_token_hint says.
type hint struct{ subject, client string }

type noteKey struct{}

func noteOf(ctx context.Context) *note {
	if n, ok := ctx.Value(noteKey{}).(*note); ok {
		return n
	}
	return &note{}
}

// noteError hears of each error. The innermost text says most.
func (s *Server) noteError(ctx context.Context, err error) {
	n := noteOf(ctx)
	if n.cause == "" {
		inner := err
		for next := errors.Unwrap(inner); next != nil; next = errors.Unwrap(inner) {
			inner = next
		}
		n.cause = inner.Error()
		var refusal goidc.Error
		if errors.As(inner, &refusal) {
			n.cause = refusal.Description
		}
	}
	s.options.Logger.Info("localacp: request refused", "error", err.Error(), "trace_id", n.trace)
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	sameOrigin := http.NewCrossOriginProtection()
	mux.Handle(s.path+"/oauth2/authorize", s.authorizeEndpoint())
	mux.Handle(s.path+"/oauth2/authorize/{session}", sameOrigin.Handler(s.authorizeEndpoint()))
	mux.Handle(s.path+"/oidc/logout", s.logoutEndpoint())
	mux.Handle(s.path+"/oidc/logout/{session}", sameOrigin.Handler(s.logoutEndpoint()))
	mux.Handle("POST "+s.path+"/oauth2/token", s.formEndpoint(s.tokenAnswer))
	mux.Handle("POST "+s.path+"/oauth2/introspect", s.formEndpoint(s.introspectionAnswer))
	mux.Handle("POST "+s.path+"/oauth2/revoke", s.formEndpoint(nil))
	if s.options.FAPI2 {
		mux.Handle("POST "+s.path+"/par", s.formEndpoint(nil))
	}
	mux.Handle("GET "+s.path+"/userinfo", s.userInfoEndpoint())
	mux.Handle("GET "+s.path+"/.well-known/jwks.json", s.libraryAt("/.well-known/jwks.json"))
	mux.Handle("GET "+s.path+"/.well-known/openid-configuration",
		s.libraryAt("/.well-known/openid-configuration"+s.path))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := &note{trace: traceID()}
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			n.certificate = r.TLS.PeerCertificates[0]
		}
		w.Header().Set("X-Trace-ID", n.trace)
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), noteKey{}, n)))
	})
}

func traceID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (s *Server) libraryAt(path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.library.ServeHTTP(w, inner(r, path))
	})
}

// inner is the request as the library wants it: without the issuer's path, and
// in RequestURI too, since the library puts the two together again.
func inner(r *http.Request, path string) *http.Request {
	r2 := r.Clone(r.Context())
	r2.URL.Path, r2.URL.RawPath = path, ""
	r2.RequestURI = path
	if r2.URL.RawQuery != "" {
		r2.RequestURI += "?" + r2.URL.RawQuery
	}
	return r2
}

func (s *Server) inner(r *http.Request) *http.Request {
	return inner(r, strings.TrimPrefix(r.URL.Path, s.path))
}

// answer is a response that is not sent yet.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func newAnswer() *answer                           { return &answer{status: http.StatusOK, header: http.Header{}} }
func (a *answer) Header() http.Header              { return a.header }
func (a *answer) Write(b []byte) (int, error)      { return a.body.Write(b) }
func (a *answer) WriteHeader(status int)           { a.status = status }
func (a *answer) send(w http.ResponseWriter) error { return a.replay(w, false) }

func (a *answer) replay(w http.ResponseWriter, again bool) error {
	for name, values := range a.header {
		w.Header()[name] = slices.Clone(values)
	}
	if again {
		w.Header().Set("X-Idempotent-Replayed", "true")
	}
	w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	w.WriteHeader(a.status)
	_, err := w.Write(a.body.Bytes())
	return err
}

// object is the body as a JSON object; nil when it is none.
func (a *answer) object() map[string]any {
	var members map[string]any
	if json.Unmarshal(a.body.Bytes(), &members) != nil {
		return nil
	}
	return members
}

func (a *answer) setObject(members map[string]any) {
	body, err := json.Marshal(members)
	if err != nil {
		return // cannot be: it was JSON before
	}
	a.body.Reset()
	a.body.Write(body)
}

// formEndpoint serves an endpoint where clients authenticate and post a form.
// edit changes the members of an answer with status 200; nil leaves them.
func (s *Server) formEndpoint(edit func(members map[string]any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = s.inner(r)
		if id, secret, ok := r.BasicAuth(); ok {
			// RFC 6749 2.3.1: both are form-encoded first, which the library does not undo.
			id, errID := url.QueryUnescape(id)
			secret, errSecret := url.QueryUnescape(secret)
			if errID == nil && errSecret == nil {
				r.SetBasicAuth(id, secret)
			}
		}
		if r.ParseForm() == nil {
			if token, ok := s.inside.find(r.PostForm.Get("token")); ok {
				r.PostForm.Set("token", token)
			}
			s.restoreRedirect(r)
		}

		s.redeem.Lock()
		defer s.redeem.Unlock()
		key := idempotencyKey(r)
		if old, ok := s.answers.find(key); ok && key != "" {
			_ = old.replay(w, true) // the client is gone
			return
		}
		a := newAnswer()
		s.library.ServeHTTP(a, r)
		members := a.object()
		switch {
		case a.status == http.StatusOK && members != nil && edit != nil:
			edit(members)
			a.setObject(members)
		case a.status >= 400 && members != nil:
			acpError(a, members, noteOf(r.Context()))
			if a.status == http.StatusUnauthorized {
				a.header.Set("WWW-Authenticate", "Basic")
			}
		}
		if key != "" && a.status < 500 {
			s.answers.put(key, a, time.Now().Add(time.Minute))
		}
		_ = a.send(w) // the client is gone
	})
}

// acpError gives an error body the members that ACP's have.
func acpError(a *answer, members map[string]any, n *note) {
	if members["error"] == "expired_token" {
		// The library's word for a code whose grant was revoked; RFC 6749 5.2 has one for it.
		members["error"] = "invalid_grant"
	}
	members["status_code"] = a.status
	members["cause"] = n.cause
	members["error_hint"] = "trace_id " + n.trace
	a.setObject(members)
}

// idempotencyKey tells equal requests; "" when the client sent no usable key.
func idempotencyKey(r *http.Request) string {
	key := r.Header.Get("X-Idempotency-Key")
	if len(key) < 32 || len(key) > 255 {
		return ""
	}
	h := sha256.New()
	for _, part := range []string{r.URL.Path, key, r.Header.Get("Authorization"), r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")} {
		_, _ = io.WriteString(h, strconv.Itoa(len(part))+":"+part) // a hash never fails
	}
	return string(h.Sum(nil))
}

// restoreRedirect adds the redirect_uri that the library wants to see again
// where the client left it out at both endpoints.
func (s *Server) restoreRedirect(r *http.Request) {
	if r.PostForm.Get("grant_type") != "authorization_code" || r.PostForm.Has("redirect_uri") {
		return
	}
	grant, err := s.store.GrantByAuthCode(r.Context(), r.PostForm.Get("code"))
	if err == nil && grant.Store["redirect_omitted"] == true {
		r.PostForm.Set("redirect_uri", grant.AuthParams.RedirectURI)
		r.Form.Set("redirect_uri", grant.AuthParams.RedirectURI)
	}
}

func (s *Server) tokenAnswer(members map[string]any) {
	if token, ok := members["access_token"].(string); ok {
		if compact, ok := s.outside.find(token); ok {
			members["access_token"] = compact
		}
	}
	if members["token_type"] != "DPoP" {
		members["token_type"] = "bearer"
	}
}

func (s *Server) introspectionAnswer(members map[string]any) {
	if members["active"] != true {
		return
	}
	if _, access := members["tenant_id"]; access {
		members["token_type"] = "access_token"
	} else {
		members["token_type"] = "refresh_token"
	}
}

func (s *Server) userInfoEndpoint() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = s.inner(r)
		// A JWT that is not ours must not reach the library, which would judge it by itself.
		bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		token, _ := s.inside.find(bearer)
		r.Header.Set("Authorization", "Bearer "+token)
		a := newAnswer()
		s.library.ServeHTTP(a, r)
		if members := a.object(); a.status >= 400 && members != nil {
			acpError(a, members, noteOf(r.Context()))
			if a.status == http.StatusUnauthorized {
				a.header.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			}
		}
		_ = a.send(w) // the client is gone
	})
}
