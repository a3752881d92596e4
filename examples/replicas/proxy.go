package main

import (
	"net/http"
	"sync/atomic"
)

// inTurn is the proxy: each request goes to the next replica. They are in this process, so
// a call takes the place of a connection.
func inTurn(all []*replica) http.Handler {
	var turn atomic.Uint64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all[turn.Add(1)%uint64(len(all))].handler.ServeHTTP(w, r)
	})
}
