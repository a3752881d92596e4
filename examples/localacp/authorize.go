package localacp

import (
	"net/http"
	"net/url"
)

// authorizeEndpoint serves the authorize endpoint and the forms below it.
func (s *Server) authorizeEndpoint() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			w.Header().Set("Allow", "GET, POST")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		n := noteOf(r.Context())
		if r.PathValue("session") == "" {
			r = s.authorizeRequest(r, n)
		}
		a := newAnswer()
		s.library.ServeHTTP(a, s.inner(r))
		location := a.header.Get("Location")
		if location == "" {
			_ = a.send(w) // the client is gone
			return
		}
		target, err := url.Parse(location)
		if err != nil {
			s.errorPage(w, r, http.StatusInternalServerError, "The answer for the application could not be made.")
			return
		}
		query := target.Query()
		if query.Has("error") {
			query.Set("error_cause", n.cause)
			query.Set("trace_id", n.trace)
		}
		for _, cookie := range a.header.Values("Set-Cookie") {
			w.Header().Add("Set-Cookie", cookie)
		}
		if n.formPost {
			s.formPostPage(w, target, query)
			return
		}
		target.RawQuery = query.Encode()
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Location", target.String())
		w.WriteHeader(http.StatusSeeOther)
	})
}

// authorizeRequest turns a request into the GET that the library understands.
func (s *Server) authorizeRequest(r *http.Request, n *note) *http.Request {
	if r.ParseForm() != nil {
		return r
	}
	params := r.Form
	client, known := s.clients[params.Get("client_id")]
	if !params.Has("redirect_uri") && !params.Has("request_uri") && !params.Has("request") && known && len(client.RedirectURLs) == 1 {
		params.Set("redirect_uri", client.RedirectURLs[0])
		n.omitted = true
	}
	// The library's own page for form_post needs an inline script that our
	// policy forbids, so that it is asked for a redirect instead.
	if params.Get("response_mode") == "form_post" {
		params.Del("response_mode")
		n.formPost = true
	}
	get := r.Clone(r.Context())
	get.Method, get.Body, get.ContentLength = http.MethodGet, http.NoBody, 0
	get.Form, get.PostForm = nil, nil
	get.URL.RawQuery = params.Encode()
	return get
}
