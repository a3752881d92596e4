package rp

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
)

const (
	apiBodyLimit = 64 << 10
	apiTime      = 5 * time.Second
)

// BearerClient is for the API, which is asked as whoever has the token.
func (c *Config) BearerClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12}
	return &http.Client{
		Transport: transport,
		// The token is for this API and not for whom it points to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// API is call, or says that there is no API.
func (c *Config) API(call http.HandlerFunc) http.HandlerFunc {
	if c.APIURL != "" {
		return call
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		serve.Write(w, problemJSON, http.StatusNotFound, problem{
			Type: "about:blank", Title: "There is no API to call", Status: http.StatusNotFound, Detail: "Set ACP_API_URL.",
		})
	}
}

// ShowAPI shows what the API answers to this access token, which client sends itself when it is "".
func (c *Config) ShowAPI(w http.ResponseWriter, r *http.Request, client *http.Client, token string, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(r.Context(), apiTime)
	defer cancel()
	status, body, err := ask(ctx, c.APIURL, client, token)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusGatewayTimeout, err, log)
	case err != nil:
		fail(w, http.StatusBadGateway, err, log)
	default:
		serve.JSON(w, http.StatusOK, struct {
			Status int    `json:"status"`
			Body   string `json:"body"`
		}{status, body})
	}
}

func ask(ctx context.Context, address string, client *http.Client, token string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
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
func fail(w http.ResponseWriter, status int, err error, log *slog.Logger) {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL
	}
	reference := rand.Text()[:12]
	log.Warn("the API was not reached, or answered too much", "reference", reference, "status", status, "error", fmt.Sprintf("%.200q", err.Error()))
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
