package localacp

import (
	"container/list"
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// capacity bounds each table. The oldest row goes when a table is full.
const capacity = 20_000

// table is a bounded map whose rows end by themselves.
type table[T any] struct {
	mu    sync.Mutex
	rows  map[string]*list.Element
	order list.List // of *row[T], oldest first
}

type row[T any] struct {
	key   string
	value T
	until time.Time
}

func (t *table[T]) put(key string, value T, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(key, value, until)
}

// add is put for a key that must be new.
func (t *table[T]) add(key string, value T, until time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.live(key); r != nil {
		return false
	}
	t.set(key, value, until)
	return true
}

func (t *table[T]) set(key string, value T, until time.Time) {
	if t.rows == nil {
		t.rows = map[string]*list.Element{}
	}
	t.drop(key)
	t.rows[key] = t.order.PushBack(&row[T]{key, value, until})
	for oldest := t.order.Front(); oldest != nil; oldest = t.order.Front() {
		r := oldest.Value.(*row[T])
		if len(t.rows) <= capacity && time.Now().Before(r.until) {
			break
		}
		t.drop(r.key)
	}
}

// live is the row of a key, nil when there is none or its time is over.
func (t *table[T]) live(key string) *row[T] {
	e, ok := t.rows[key]
	if !ok {
		return nil
	}
	if r := e.Value.(*row[T]); time.Now().Before(r.until) {
		return r
	}
	return nil
}

func (t *table[T]) drop(key string) {
	if e, ok := t.rows[key]; ok {
		t.order.Remove(e)
		delete(t.rows, key)
	}
}

func (t *table[T]) find(key string) (T, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.live(key); r != nil {
		return r.value, true
	}
	var none T
	return none, false
}

func (t *table[T]) remove(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(key)
}

// store holds what the library saves. Rows go in and come out as copies: the
// library writes to what it was given while other requests read.
type store struct {
	sessions  table[goidc.AuthnSession]
	pushed    table[string] // request_uri to session
	grants    table[goidc.Grant]
	byCode    table[string] // authorization code to grant
	byRefresh table[string] // refresh token to grant
	tokens    table[goidc.Token]
	logouts   table[goidc.LogoutSession]
	jtis      table[struct{}]
	lifetime  time.Duration // of a grant
}

func unix(seconds int) time.Time { return time.Unix(int64(seconds), 0) }

func (s *store) SaveSession(_ context.Context, session *goidc.AuthnSession) error {
	row := *session
	row.Store = maps.Clone(session.Store)
	if _, known := s.sessions.find(row.ID); !known && row.PushedAuthReqID != "" {
		s.pushed.put(row.PushedAuthReqID, row.ID, unix(row.ExpiresAt))
	}
	s.sessions.put(row.ID, row, unix(row.ExpiresAt))
	return nil
}

// Session finds only sessions that still wait for their user: a form that was
// sent already must not give a second code.
func (s *store) Session(_ context.Context, id string) (*goidc.AuthnSession, error) {
	row, ok := s.sessions.find(id)
	if !ok || row.Status != goidc.StatusPending {
		return nil, goidc.ErrNotFound
	}
	row.Store = maps.Clone(row.Store)
	return &row, nil
}

func (s *store) SaveGrant(_ context.Context, grant *goidc.Grant) error {
	row := *grant
	until := time.Now().Add(s.lifetime)
	if old, ok := s.grants.find(row.ID); ok && old.RefreshToken != row.RefreshToken {
		s.byRefresh.remove(old.RefreshToken)
	}
	s.grants.put(row.ID, row, until)
	if row.AuthCode != "" {
		s.byCode.put(row.AuthCode, row.ID, until)
	}
	if row.RefreshToken != "" {
		s.byRefresh.put(row.RefreshToken, row.ID, until)
	}
	return nil
}

func (s *store) Grant(_ context.Context, id string) (*goidc.Grant, error) {
	row, ok := s.grants.find(id)
	if !ok {
		return nil, goidc.ErrNotFound
	}
	return &row, nil
}

func (s *store) GrantByAuthCode(ctx context.Context, code string) (*goidc.Grant, error) {
	id, ok := s.byCode.find(code)
	if !ok {
		return nil, goidc.ErrNotFound
	}
	return s.Grant(ctx, id)
}

func (s *store) GrantByRefreshToken(ctx context.Context, token string) (*goidc.Grant, error) {
	id, ok := s.byRefresh.find(token)
	if !ok {
		return nil, goidc.ErrNotFound
	}
	return s.Grant(ctx, id)
}

func (s *store) SaveToken(_ context.Context, token *goidc.Token) error {
	s.tokens.put(token.ID, *token, unix(token.ExpiresAt))
	return nil
}

func (s *store) Token(_ context.Context, id string) (*goidc.Token, error) {
	row, ok := s.tokens.find(id)
	if !ok {
		return nil, goidc.ErrNotFound
	}
	return &row, nil
}

func (s *store) SaveLogoutSession(_ context.Context, session *goidc.LogoutSession) error {
	s.logouts.put(session.ID, *session, unix(session.ExpiresAt))
	return nil
}

func (s *store) LogoutSession(_ context.Context, id string) (*goidc.LogoutSession, error) {
	row, ok := s.logouts.find(id)
	if !ok || row.Status != goidc.StatusPending {
		return nil, goidc.ErrNotFound
	}
	return &row, nil
}

// consumeJTI lets each client assertion pass once.
func (s *store) consumeJTI(_ context.Context, jti string) error {
	if !s.jtis.add(jti, struct{}{}, time.Now().Add(10*time.Minute)) {
		return errors.New("the assertion was used before")
	}
	return nil
}
