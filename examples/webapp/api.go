package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/acp-go/acp/middleware"
)

const (
	apiBodyLimit = 64 << 10
	apiTime      = 5 * time.Second
)

// apiCaller calls the API on behalf of the signed-in user.
type apiCaller struct {
	url    string
	auth   *middleware.Authenticator
	client *http.Client
}

func newAPICaller(c config, auth *middleware.Authenticator) *apiCaller {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: c.rootCAs, MinVersion: tls.VersionTLS12}
	return &apiCaller{url: c.apiURL, auth: auth, client: &http.Client{
		Transport: transport,
		// The token is for this API and not for whom it points to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// call asks the API with the user's access token, which is refreshed first when
// it has expired, and shows what the API answered.
func (a *apiCaller) call(w http.ResponseWriter, r *http.Request) {
	if a.url == "" {
		problem(w, http.StatusNotFound, "There is no API to call", "Set ACP_API_URL.")
		return
	}
	token, err := middleware.SessionFromContext(r.Context()).AccessToken(r.Context())
	if err != nil {
		a.auth.WriteError(w, r, err) // says whether to sign in again or to come back later
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), apiTime)
	defer cancel()
	status, body, err := a.ask(ctx, token)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, "The API does not answer", "It took longer than 5 seconds.")
	case err != nil:
		problem(w, http.StatusBadGateway, "The API cannot be reached", "It did not answer, or not as an API should.")
	default:
		writeJSON(w, http.StatusOK, struct {
			Status int    `json:"status"`
			Body   string `json:"body"`
		}{status, body})
	}
}

func (a *apiCaller) ask(ctx context.Context, token string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Accept", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, apiBodyLimit+1))
	if err == nil && len(body) > apiBodyLimit {
		err = errors.New("the answer is longer than 64 KiB")
	}
	return response.StatusCode, string(body), err
}

// problem is an error for a script (RFC 9457).
func problem(w http.ResponseWriter, status int, title, detail string) {
	write(w, "application/problem+json", status, struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", title, status, detail})
}
