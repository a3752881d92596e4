package frameworks

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/acp-go/acp/middleware"
)

// Chi protects one route with each protector. For a group of routes there is Use.
func Chi(read, write Protector) http.Handler {
	router := chi.NewRouter()
	router.With(read).Get("/things/{id}", func(w http.ResponseWriter, r *http.Request) {
		user := middleware.AccessTokenFromContext(r.Context())
		fmt.Fprintf(w, "thing %s of %s", chi.URLParam(r, "id"), user.Subject)
	})
	router.Route("/admin", func(admin chi.Router) {
		admin.Use(write)
		admin.Post("/things", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "a new thing of %s", middleware.AccessTokenFromContext(r.Context()).Subject)
		})
	})
	return router
}
