package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
)

// postLogoutToken is what the server sends.
func postLogoutToken(h http.Handler, token string) *httptest.ResponseRecorder {
	return postForm(h, site+"/backchannel-logout", url.Values{"logout_token": {token}}.Encode())
}

func postForm(h http.Handler, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, strings.NewReader(body))
	r.RequestURI = r.URL.RequestURI()
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return serve(h, r)
}
