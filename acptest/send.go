package acptest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// send makes one request. navigation lets SameSite=Lax cookies be kept from across sites, and be sent when lax.
func (b *Browser) send(o *outgoing, header http.Header, same, lax, navigation bool) (*Step, error) {
	target := *o.url
	target.Fragment = ""
	if target.Path == "" {
		target.Path = "/"
	}
	step := &Step{Method: o.method, URL: &target, Header: header, Body: o.body, ResponseHeader: http.Header{}, Dropped: map[string]string{}}
	b.profile.mu.Lock()
	var pairs []string
	for _, c := range b.profile.jar.send(&target, same, lax && navigation, time.Now()) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	handler := b.profile.mounts[origin(&target)]
	b.profile.mu.Unlock()
	if len(pairs) > 0 {
		header.Set("Cookie", strings.Join(pairs, "; "))
	}
	res, body, err := b.roundTrip(step, handler)
	b.profile.mu.Lock()
	defer b.profile.mu.Unlock()
	b.profile.log = append(b.profile.log, step)
	if err != nil {
		return step, err
	}
	step.Status, step.ResponseHeader, step.ResponseBody = res.StatusCode, res.Header, body
	step.SetCookies = res.Header.Values("Set-Cookie")
	for _, line := range step.SetCookies {
		if reason := b.profile.jar.store(&target, line, same || navigation, time.Now()); reason != "" {
			step.Dropped[line] = reason
		}
	}
	return step, nil
}

func (b *Browser) roundTrip(step *Step, handler http.Handler) (*http.Response, []byte, error) {
	var body io.Reader
	if step.Body != nil {
		body = bytes.NewReader(step.Body)
	}
	if handler != nil {
		return mounted(b.t.Context(), step, body, handler)
	}
	req, err := http.NewRequestWithContext(b.t.Context(), step.Method, step.URL.String(), body)
	if err != nil {
		return nil, nil, err
	}
	req.Header = step.Header.Clone()
	res, err := b.profile.transport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
	return res, content, err
}

const maxPage = 16 << 20

// mounted lets a handler answer in this goroutine.
func mounted(ctx context.Context, step *Step, body io.Reader, handler http.Handler) (res *http.Response, content []byte, err error) {
	req := httptest.NewRequestWithContext(ctx, step.Method, step.URL.String(), body)
	req.Header = step.Header.Clone()
	req.RequestURI = step.URL.RequestURI()
	defer func() {
		if cause := recover(); cause == http.ErrAbortHandler {
			err = errors.New("the handler cut the connection")
		} else if cause != nil {
			panic(cause)
		}
	}()
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, req)
	return rec.Result(), rec.Body.Bytes(), nil
}
