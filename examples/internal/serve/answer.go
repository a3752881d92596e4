package serve

import (
	"encoding/json"
	"net/http"
	"path"
)

// Exactly gives each answer the headers of Private, and refuses the paths that a ServeMux
// would redirect to a cleaner one, query and all.
func Exactly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Private(w.Header())
		if !IsClean(r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// IsClean holds for a path without dot segments and empty ones.
func IsClean(p string) bool {
	clean := path.Clean(p)
	return p == clean || p == clean+"/" && clean != "/"
}

// Private keeps an answer out of caches and out of the Referer header.
func Private(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// JSON answers with v.
func JSON(w http.ResponseWriter, status int, v any) { Write(w, "application/json", status, v) }

// Write answers with v, as JSON of this kind.
func Write(w http.ResponseWriter, contentType string, status int, v any) {
	Private(w.Header())
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the caller is gone
}

// Health says that the program serves, also while the authorization server is down.
func Health(w http.ResponseWriter, _ *http.Request) {
	JSON(w, http.StatusOK, map[string]string{"status": "ok"})
}
