package localacp

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// logoutEndpoint serves RP-initiated logout. It reads the hint itself, since the
// library refuses an expired one (OpenID Connect RP-Initiated Logout 1.0, 2).
func (s *Server) logoutEndpoint() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			w.Header().Set("Allow", "GET, POST")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if r.PathValue("session") != "" {
			s.library.ServeHTTP(w, s.inner(r))
			return
		}
		if r.ParseForm() != nil {
			s.errorPage(w, r, http.StatusBadRequest, "The request cannot be read.")
			return
		}
		params := r.Form
		if raw := params.Get("id_token_hint"); raw != "" {
			said, ok := s.readHint(raw)
			if !ok || params.Get("client_id") != "" && params.Get("client_id") != said.client {
				s.errorPage(w, r, http.StatusBadRequest, "The ID token in the request is not one of this server for that application.")
				return
			}
			noteOf(r.Context()).hint = &said
			params.Set("client_id", said.client)
			params.Del("id_token_hint")
		}
		get := r.Clone(r.Context())
		get.Method, get.Body, get.ContentLength = http.MethodGet, http.NoBody, 0
		get.Form, get.PostForm = nil, nil
		get.URL.RawQuery = params.Encode()
		s.library.ServeHTTP(w, s.inner(get))
	})
}

func (s *Server) readHint(raw string) (hint, bool) {
	token, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.key.Algorithm)})
	if err != nil {
		return hint{}, false
	}
	payload, err := token.Verify(s.key.Public())
	if err != nil {
		return hint{}, false
	}
	var claims struct {
		Iss, Sub string
		Aud      any
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Iss != s.Issuer {
		return hint{}, false
	}
	client, ok := claims.Aud.(string) // an access token's is an array
	return hint{subject: claims.Sub, client: client}, ok
}

func (s *Server) signOutPolicy() goidc.LogoutPolicy {
	return goidc.NewLogoutPolicy("sign-out",
		func(*http.Request, *goidc.LogoutSession) bool { return true },
		func(w http.ResponseWriter, r *http.Request, session *goidc.LogoutSession) (goidc.Status, error) {
			id, browser := s.browser(r)
			said := noteOf(r.Context()).hint
			confirmed := r.Method == http.MethodPost && r.PostFormValue("action") == "logout"
			// Without proof that the request comes from the user's own session, the
			// user is asked: any page could have linked here.
			if browser.username != "" && !confirmed && (said == nil || said.subject != browser.username) {
				if r.Method == http.MethodPost && r.PostFormValue("action") == "stay" {
					s.messagePage(w, http.StatusOK, "You are still signed in", "Nothing has changed. You can close this page.")
					return goidc.StatusPending, nil
				}
				s.showSignOut(w, s.path+"/oidc/logout/"+session.ID, s.users[browser.username], session)
				return goidc.StatusPending, nil
			}
			s.forget(w, id)
			return goidc.StatusSuccess, nil
		})
}

func (s *Server) signedOut(w http.ResponseWriter, _ *http.Request, _ *goidc.LogoutSession) error {
	s.messagePage(w, http.StatusOK, "You are signed out", "You can close this page, or go back to the application and sign in again.")
	return nil
}

// renderError shows what cannot be sent to the client.
func (s *Server) renderError(w http.ResponseWriter, r *http.Request, err error) error {
	status, text := http.StatusInternalServerError, "Something went wrong on our side."
	if refusal, ok := errorOf(err); ok {
		status = refusal.StatusCode()
		text = "The application sent a request that cannot be answered: " + refusal.Description + "."
		if cause := noteOf(r.Context()).cause; cause != refusal.Description {
			text = strings.TrimSuffix(text, ".") + " (" + cause + ")."
		}
	}
	s.errorPage(w, r, status, text)
	return nil
}
