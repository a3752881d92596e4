package localacp

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// signOn is a browser's session with this server (ACP calls it SSO session).
// It begins as the mark of a browser, and gets a user when one signs in.
type signOn struct {
	mark     string // of the browser, in no cookie: it stays when the id changes
	username string
	at       time.Time         // of the authentication
	granted  map[string]string // client to the scopes that the user agreed to
}

const signOnLifetime = 12 * time.Hour

// browser is the id in the browser's cookie, and its session.
func (s *Server) browser(r *http.Request) (string, signOn) {
	cookie, err := r.Cookie(s.cookie)
	if err != nil {
		return "", signOn{}
	}
	session, ok := s.signOns.find(cookie.Value)
	if !ok {
		return "", signOn{}
	}
	return cookie.Value, session
}

// remember gives the browser a new id, so that nobody else can know it.
func (s *Server) remember(w http.ResponseWriter, oldID string, session signOn) string {
	id := rand.Text()
	s.signOns.remove(oldID)
	s.signOns.put(id, session, time.Now().Add(signOnLifetime))
	http.SetCookie(w, &http.Cookie{
		Name: s.cookie, Value: id, Path: s.path, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.options.Certificate != nil,
	})
	return id
}

func (s *Server) forget(w http.ResponseWriter, id string) {
	s.signOns.remove(id)
	http.SetCookie(w, &http.Cookie{
		Name: s.cookie, Path: s.path, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.options.Certificate != nil, MaxAge: -1,
	})
}

func (s *Server) signInPolicy() goidc.AuthnPolicy {
	return goidc.NewPolicy("sign-in",
		func(r *http.Request, login *goidc.AuthnSession, _ *goidc.Client) bool {
			n := noteOf(r.Context())
			login.Store = map[string]any{"form_post": n.formPost, "redirect_omitted": n.omitted}
			return true
		},
		s.signIn)
}

// signIn is called at the authorize request and with each form of the user. It
// shows the page that is due, or ends the login.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request, login *goidc.AuthnSession, client *goidc.Client) (goidc.Status, error) {
	n := noteOf(r.Context())
	n.formPost = login.Store["form_post"] == true
	id, browser := s.browser(r)

	action := ""
	if r.PathValue("callback") == "" {
		if id == "" && login.Prompt != goidc.PromptTypeNone {
			browser.mark = rand.Text()
			id = s.remember(w, "", browser)
		}
	} else {
		// Only the browser that began this login may go on with it: another one
		// would sign somebody else in, or take somebody else's login over.
		begun, _ := login.Store["browser"].(string)
		if browser.mark == "" || subtle.ConstantTimeCompare([]byte(browser.mark), []byte(begun)) != 1 {
			s.errorPage(w, r, http.StatusForbidden, "This sign-in was begun in another browser, or in one that does not keep cookies.")
			return goidc.StatusPending, nil
		}
		if r.Method == http.MethodPost {
			action = r.PostFormValue("action")
		}
	}
	login.Store["browser"] = browser.mark

	page := loginPage{Client: client.Name, Action: s.path + "/oauth2/authorize/" + login.ID, Hint: login.LoginHint, Users: s.Users}
	if login.Subject == "" && s.mayReuse(login, browser) {
		login.Subject, login.Store["auth_time"] = browser.username, browser.at.Unix()
	}
	if login.Subject == "" {
		switch {
		case login.Prompt == goidc.PromptTypeNone:
			return s.refuse(n, "login_required", "no user is signed in", "login_required")
		case action == "cancel":
			return s.refuse(n, goidc.ErrorCode(s.options.DenyError), "the user rejected the authentication", "authentication_rejected")
		case action != "login":
			return s.showLogin(w, page, login)
		}
		page.Hint = r.PostFormValue("username")
		user, known := s.users[page.Hint]
		if subtle.ConstantTimeCompare([]byte(user.Password), []byte(r.PostFormValue("password"))) != 1 || !known {
			page.Wrong = true
			return s.showLogin(w, page, login)
		}
		browser = signOn{mark: browser.mark, username: user.Username, at: time.Now()}
		id = s.remember(w, id, browser)
		login.Subject, login.Store["auth_time"] = user.Username, browser.at.Unix()
		action = ""
	}

	asked := s.consentScopes(login.Scopes)
	if len(asked) > 0 {
		switch {
		case login.Prompt == goidc.PromptTypeNone && covers(browser.granted[client.ID], login.Scopes):
		case login.Prompt == goidc.PromptTypeNone:
			return s.refuse(n, "consent_required", "the user was not asked for these scopes", "consent_required")
		case action == "deny":
			return s.refuse(n, goidc.ErrorCode(s.options.DenyError), "the user rejected the authentication", "consent_rejected")
		case action != "allow":
			return s.showConsent(w, consentPage{
				Client: client.Name, Action: page.Action, Target: host(login.RedirectURI),
				User: s.users[login.Subject], Scopes: asked,
			}, login)
		default:
			granted := map[string]string{client.ID: login.Scopes}
			for other, scopes := range browser.granted {
				if other != client.ID {
					granted[other] = scopes
				}
			}
			browser.granted = granted
			s.signOns.put(id, browser, time.Now().Add(signOnLifetime))
		}
	}
	login.GrantedScopes = login.Scopes
	login.Username = login.Subject
	return goidc.StatusSuccess, nil
}

// mayReuse says whether the browser's user counts without a new login.
func (s *Server) mayReuse(login *goidc.AuthnSession, browser signOn) bool {
	if browser.username == "" || login.Prompt == goidc.PromptTypeLogin || login.Prompt == goidc.PromptTypeSelectAccount {
		return false
	}
	return login.MaxAuthnAgeSecs == nil ||
		time.Since(browser.at) <= time.Duration(*login.MaxAuthnAgeSecs)*time.Second
}

func (s *Server) refuse(n *note, code goidc.ErrorCode, description, cause string) (goidc.Status, error) {
	n.cause = cause
	return goidc.StatusFailure, goidc.NewError(code, description)
}

// consentScopes are the scopes for which the user is asked.
func (s *Server) consentScopes(requested string) []Scope {
	var asked []Scope
	for name := range strings.FieldsSeq(requested) {
		if scope, ok := s.scopes[name]; ok && !scope.Implicit {
			asked = append(asked, scope)
		}
	}
	return asked
}

func covers(granted, requested string) bool {
	have := strings.Fields(granted)
	for scope := range strings.FieldsSeq(requested) {
		if !slices.Contains(have, scope) {
			return false
		}
	}
	return true
}

func host(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil {
		return ""
	}
	return u.Host
}
