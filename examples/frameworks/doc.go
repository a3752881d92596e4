// Package frameworks shows middleware.RequireBearer in front of routers that are not
// net/http's, and what takes its place in a gRPC server. Each file stands for itself: copy
// the one that you need.
//
// chi and gorilla/mux take a protector as it is. echo has an adapter, echo.WrapMiddleware.
// gin has none that stops the chain when a request is refused: GinBearer is one. In every handler
// middleware.AccessTokenFromContext gives the token, from the request's context.
package frameworks

import "net/http"

// Protector is what middleware.RequireBearer returns.
type Protector = func(http.Handler) http.Handler
