package acptest

import (
	"strings"
	"sync"
	"time"
)

// grant is one user's yes to one client, and what hangs on it.
type grant struct {
	id, clientID  string
	user          User
	scopes        []string
	nonce         string
	authTime      time.Time
	requestedAt   time.Time
	acr           string
	amr           []string
	sid           string
	resources     []string
	details       []any // RFC 9396
	refreshTokens bool
	revoked       bool   // under Server.mu
	wantedKey     string // dpop_jkt of the authorize request
	boundTo       string // thumbprint of the DPoP key of the latest tokens; under Server.mu
}

type code struct {
	grant       *grant
	expiry      time.Time
	used        bool
	challenge   string
	redirectURI string // as it was sent, "" when it was left out
}

type refreshToken struct {
	grant  *grant
	expiry time.Time
	used   bool
}

type accessToken struct {
	grant   *grant // nil for tokens that the test made
	claims  map[string]any
	expiry  time.Time
	revoked bool
}

// replay is the memory of one idempotency key.
type replay struct {
	once     sync.Once
	at       time.Time
	response Response
}

// state is what the server remembers. All of it is under Server.mu.
type state struct {
	dpopNonce string
	codes     map[string]*code
	refreshes map[string]*refreshToken
	accesses  map[string]*accessToken
	idTokens  map[string]string // with the client that got them
	replays   map[string]*replay
	seen      map[string]bool   // codes and jti values that came in
	requests  map[string]string // state, nonce and challenge, with the request that brought them
	pending   map[string]*pendingSignIn
	pushed    map[string]*pushedRequest // by request_uri
	sessions  map[string]session        // of browsers, by cookie
}

func newState() state {
	return state{
		codes:     map[string]*code{},
		refreshes: map[string]*refreshToken{},
		accesses:  map[string]*accessToken{},
		idTokens:  map[string]string{},
		replays:   map[string]*replay{},
		seen:      map[string]bool{},
		requests:  map[string]string{},
		pending:   map[string]*pendingSignIn{},
		pushed:    map[string]*pushedRequest{},
		sessions:  map[string]session{},
	}
}

// splitScope splits at single spaces as RFC 6749 3.3 does, and drops empty parts.
func splitScope(scope string) []string {
	var parts []string
	for part := range strings.SplitSeq(scope, " ") {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}
