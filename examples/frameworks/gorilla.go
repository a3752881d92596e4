package frameworks

import (
	"fmt"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/acp-go/acp/middleware"
)

// Gorilla protects one route by wrapping its handler, and a subrouter with Use.
func Gorilla(read, write Protector) http.Handler {
	router := mux.NewRouter()
	router.Handle("/things/{id}", read(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := middleware.AccessTokenFromContext(r.Context())
		fmt.Fprintf(w, "thing %s of %s", mux.Vars(r)["id"], user.Subject)
	}))).Methods(http.MethodGet)

	admin := router.PathPrefix("/admin").Subrouter()
	admin.Use(write) // mux.MiddlewareFunc has the same shape
	admin.HandleFunc("/things", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "a new thing of %s", middleware.AccessTokenFromContext(r.Context()).Subject)
	}).Methods(http.MethodPost)
	return router
}
