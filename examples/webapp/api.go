package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/acp-go/acp/examples/internal/serve"
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
	log    *slog.Logger
	client *http.Client
}

func newAPICaller(c config, auth *middleware.Authenticator, log *slog.Logger) *apiCaller {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: c.rootCAs, MinVersion: tls.VersionTLS12}
	return &apiCaller{url: c.apiURL, auth: auth, log: log, client: &http.Client{
		Transport: transport,
		// The token is for this API and not for whom it points to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// call asks the API with the user's access token, which is refreshed first when
// it has expired, and shows what the API answered.
func (a *apiCaller) call(w http.ResponseWriter, r *http.Request) {
	if a.url == "" {
		serve.Write(w, problemJSON, http.StatusNotFound, problem{
			Type: "about:blank", Title: "There is no API to call", Status: http.StatusNotFound, Detail: "Set ACP_API_URL.",
		})
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
		a.fail(w, http.StatusGatewayTimeout, err)
	case err != nil:
		a.fail(w, http.StatusBadGateway, err)
	default:
		serve.JSON(w, http.StatusOK, struct {
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

// fail answers as the middleware does: a reference, under which the log has the reason.
func (a *apiCaller) fail(w http.ResponseWriter, status int, err error) {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL
	}
	reference := rand.Text()[:12]
	a.log.Warn("the API was not reached, or answered too much", "reference", reference, "status", status, "error", fmt.Sprintf("%.200q", err.Error()))
	serve.Write(w, problemJSON, status, problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Reference: reference})
}

const problemJSON = "application/problem+json"

// problem is an error for a script (RFC 9457).
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Reference string `json:"reference,omitempty"`
}
