package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	clientID     = "bench"
	clientSecret = "a secret of the benchmark, known to everybody"
	redirectURL  = "https://app.example/callback"
	tenantPath   = "/tenant/workspace"
)

var (
	scopes  = []string{"openid", "profile"}
	theUser = user{Subject: "248289761001", Email: "ada@example.com"}
)

// server is the authorization server of all candidates, on loopback. It costs as little as it
// can while a callback is measured: answers are written and signed when the user signs
// in, the token endpoint checks the request and hands them out.
type server struct {
	issuer  string
	alg     string
	current *signingKey

	tokenSize int // of the tokens of a login, at least; 0 leaves them
	http      *http.Server

	keyFetches atomic.Int64
	down       atomic.Bool // answers 503 to everything

	mu      sync.Mutex
	jwks    []byte
	keyAge  time.Duration            // what it says of its key set
	latency time.Duration            // of its key set
	answers map[string]pendingAnswer // by code
}

type pendingAnswer struct {
	challenge string
	body      []byte
}

func newServer(alg string) (*server, error) {
	s := &server{alg: alg, keyAge: time.Hour, answers: map[string]pendingAnswer{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.issuer = "http://" + listener.Addr().String() + tenantPath
	previous, err := newSigningKey(alg, "previous")
	if err == nil {
		s.current, err = newSigningKey(alg, "current")
	}
	if err == nil {
		err = s.publish(previous, s.current) // as a server does that rotates them
	}
	if err != nil {
		listener.Close()
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+tenantPath+"/.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("GET "+tenantPath+"/jwks", s.keySet)
	mux.HandleFunc("POST "+tenantPath+"/oauth2/token", s.token)
	s.http = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	})}
	go s.http.Serve(listener)
	return s, nil
}

func (s *server) close() { s.http.Close() }

func (s *server) discovery(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"issuer":                                         s.issuer,
		"authorization_endpoint":                         s.issuer + "/oauth2/authorize",
		"token_endpoint":                                 s.issuer + "/oauth2/token",
		"jwks_uri":                                       s.issuer + "/jwks",
		"response_types_supported":                       []string{"code"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{s.alg},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post"},
		"authorization_response_iss_parameter_supported": true,
	})
}

// signIn is the user at the authorize endpoint: it returns the callback's parameters. edit may
// change the ID token's claims; nil leaves them.
func (s *server) signIn(authURL string, edit func(claims map[string]any)) (url.Values, error) {
	u, err := url.Parse(authURL)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": clientID, "redirect_uri": redirectURL,
		"scope": "openid profile", "code_challenge_method": "S256",
	} {
		if q.Get(name) != want {
			return nil, fmt.Errorf("%s is %q in the authorize URL", name, q.Get(name))
		}
	}
	if len(q.Get("state")) < 20 || len(q.Get("nonce")) < 20 || len(q.Get("code_challenge")) != 43 {
		return nil, errors.New("state, nonce or code_challenge is missing or too short")
	}
	now := time.Now()
	accessToken, err := s.accessToken(s.fill)
	if err != nil {
		return nil, err
	}
	atHash := sha256.Sum256([]byte(accessToken))
	claims := map[string]any{
		"iss": s.issuer, "sub": theUser.Subject, "aud": clientID,
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "auth_time": now.Unix(),
		"nonce": q.Get("nonce"), "at_hash": base64.RawURLEncoding.EncodeToString(atHash[:16]),
		"sid": rand.Text(), "acr": "1", "amr": []string{"pwd"},
		"email": theUser.Email, "email_verified": true, "name": "Ada Lovelace",
		"given_name": "Ada", "family_name": "Lovelace",
	}
	s.fill(claims)
	if edit != nil {
		edit(claims)
	}
	idToken, err := s.current.sign(claims)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{
		"access_token": accessToken, "token_type": "bearer", "expires_in": 3600,
		"refresh_token": s.refreshToken(), "scope": q.Get("scope"), "id_token": idToken,
	})
	if err != nil {
		return nil, err
	}
	code := rand.Text()
	s.mu.Lock()
	s.answers[code] = pendingAnswer{q.Get("code_challenge"), body}
	s.mu.Unlock()
	return url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {s.issuer}}, nil
}

// fill makes a token as large as tokenSize asks for. What is added looks like identifiers.
func (s *server) fill(claims map[string]any) {
	const head = len(`{"alg":"ES256","kid":"current"}`) + 64 // and the signature, before base64
	for encoded, _ := json.Marshal(claims); (head+len(encoded))*4/3 < s.tokenSize; encoded, _ = json.Marshal(claims) {
		groups, _ := claims["groups"].([]string)
		claims["groups"] = append(groups, rand.Text())
	}
}

func (s *server) refreshToken() string {
	token := rand.Text()
	for len(token) < s.tokenSize {
		token += rand.Text()
	}
	return token
}

// token gives each code's answer once, to this client, for the right verifier.
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if id, secret, _ := r.BasicAuth(); id != clientID || !sameSecret(secret) {
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte(`{"error":"invalid_client"}`))
		return
	}
	code := r.PostFormValue("code")
	s.mu.Lock()
	answer, ok := s.answers[code]
	delete(s.answers, code)
	s.mu.Unlock()
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != redirectURL ||
		base64.RawURLEncoding.EncodeToString(challenge[:]) != answer.challenge {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Write(answer.body)
}

// sameSecret compares with the form-encoded secret, which RFC 6749 2.3.1 has a client send.
func sameSecret(sent string) bool {
	return subtle.ConstantTimeCompare([]byte(sent), []byte(url.QueryEscape(clientSecret))) == 1
}
