package main

import (
	"context"
	"encoding/gob"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
)

// newSCSKeeper is scs with its memstore. Its idle timeout is off: it would store each
// session again with each request.
func newSCSKeeper() *keeper {
	gob.Register(time.Time{})
	manager, store := scs.New(), memstore.New()
	manager.Store, manager.Lifetime = store, absoluteTimeout
	get := func(r *http.Request) *grant {
		text := func(name string) string { return manager.GetString(r.Context(), name) }
		return &grant{
			Issuer: text("iss"), Subject: text("sub"), AccessToken: text("access"), RefreshToken: text("refresh"), IDToken: text("id"),
			Expiry: manager.GetTime(r.Context(), "expiry"),
		}
	}
	return &keeper{
		title: "scs, memstore",
		keep: func(ctx context.Context, g *grant) (string, error) {
			ctx, err := manager.Load(ctx, "")
			if err != nil {
				return "", err
			}
			for name, value := range map[string]any{
				"iss": g.Issuer, "sub": g.Subject, "access": g.AccessToken, "refresh": g.RefreshToken, "id": g.IDToken,
				"expiry": g.Expiry, "created": g.Created,
			} {
				manager.Put(ctx, name, value)
			}
			token, _, err := manager.Commit(ctx)
			return manager.Cookie.Name + "=" + token, err
		},
		serve: func(next http.Handler) (http.Handler, error) {
			return manager.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if manager.GetString(r.Context(), "sub") == "" {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				w.Header().Set("Cache-Control", "no-store")
				next.ServeHTTP(w, r)
			})), nil
		},
		subject: func(r *http.Request) string { return manager.GetString(r.Context(), "sub") },
		tokens:  func(r *http.Request) (*grant, error) { return get(r), nil },
		close:   store.StopCleanup,
	}
}
