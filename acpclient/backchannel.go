package acpclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Deadlines where the caller's context has none sooner (for Refresh: none), and the bound of
// every answer.
const (
	tokenTimeout    = 10 * time.Second
	fetchTimeout    = 5 * time.Second
	revokeTimeout   = 2 * time.Second
	maxResponseBody = 1 << 20
)

// backChannel carries every request to the authorization server, x/oauth2's included.
// It adds the client's credentials, sets the deadline, follows no redirect, reads no
// more than 1 MiB, and lets the answer be judged before anybody else reads it.
type backChannel struct {
	base     http.RoundTripper
	client   *http.Client // which sends through this back channel, for x/oauth2
	clientID string
	auth     ClientAuth // nil: public client
	dpop     *prover    // nil: no proofs
	issuer   string
	now      func() time.Time
}

// call says what a request is; it travels in the request's context, because x/oauth2
// gives no other way.
type call struct {
	timeout       time.Duration
	authenticated bool
	namesClient   bool     // the form has the client_id
	methods       []string // of the token endpoint, by metadata
	secrets       []string // in the form: they are taken out of what the server says
	// idempotency, when not "", is hashed into ACP's X-Idempotency-Key.
	idempotency string
	// proof demands a DPoP proof where the client has a key; accessToken is what the request carries beside it.
	proof       bool
	accessToken string
	again       bool // the nonce of the first attempt was refused
	// judge sees the whole answer; what it returns is what the caller reads.
	judge func(*answer) ([]byte, error)
}

type callKey struct{}

// answer is a response whose body was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	now    time.Time
}

// read reads the whole body, into one buffer where the server says how long it is.
func (a *answer) read(res *http.Response) error {
	const enough = 16 << 10 // for most answers; more only as it comes
	size := min(max(res.ContentLength, 0), enough)
	b := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	_, err := b.ReadFrom(io.LimitReader(res.Body, maxResponseBody+1))
	a.body = b.Bytes()
	return err
}

// The values of headers that are always the same, and never changed.
var (
	acceptJSON = []string{"application/json"}
	userAgent  = []string{"acp-go"}
)

// RoundTrip implements http.RoundTripper for requests whose context holds a call.
func (b *backChannel) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ok := req.Context().Value(callKey{}).(*call)
	if !ok {
		return nil, errors.New("acpclient: a request without a call")
	}
	ctx, cancel := context.WithTimeout(req.Context(), c.timeout)
	defer cancel()
	out := req.WithContext(ctx) // its headers are ours: it was made for this call
	out.Header["User-Agent"] = userAgent
	if out.Header["Accept"] == nil {
		out.Header["Accept"] = acceptJSON
	}
	secrets := c.secrets
	if c.authenticated {
		added, err := b.authenticate(out, c)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, added...)
	}
	sent, proven := "", c.proof && b.dpop != nil
	if proven {
		nonce, err := b.dpop.prove(out, c.accessToken)
		if err != nil {
			return nil, err
		}
		sent = nonce
	}
	if c.idempotency != "" {
		// Not in canonical form: under that name net/http would take the header for a
		// licence to send the request twice by itself.
		out.Header["x-idempotency-key"] = []string{idempotencyKey(b.clientID, c.attempt())}
	}
	res, err := b.base.RoundTrip(out)
	if err != nil {
		return nil, b.transportError(ctx, err)
	}
	defer res.Body.Close()
	a := &answer{status: res.StatusCode, header: res.Header, now: b.now()}
	if a.status >= 300 && a.status < 400 {
		// RFC 9700 4.12: the credentials of this request are for this endpoint alone.
		return nil, invalidResponse("response_malformed", fmt.Sprintf("a redirect, status %d, which is not followed", a.status))
	}
	if err := a.read(res); err != nil {
		return nil, b.transportError(ctx, err)
	}
	if len(a.body) > maxResponseBody {
		return nil, invalidResponse("response_too_large", "more than 1 MiB")
	}
	if proven && b.dpop.learn(out, a.header, sent) && !c.again && a.wantsNonce() {
		return b.retry(ctx, req, c)
	}
	body, err := c.judge(a)
	if e, ok := errors.AsType[*Error](err); ok {
		e.scrub(secrets)
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header:        http.Header{"Content-Type": acceptJSON},
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
	}, nil
}

// transportError tells our own deadline and the caller's from a broken connection.
func (b *backChannel) transportError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = context.DeadlineExceeded
	}
	return unavailable(err, 0)
}

// authenticate adds the credentials to a request, and returns the secrets among them.
func (b *backChannel) authenticate(req *http.Request, c *call) (secrets []string, err error) {
	added := &credentials{
		clientID: b.clientID, issuer: b.issuer, methods: c.methods, header: req.Header, now: b.now(),
	}
	if b.auth == nil {
		added.set("client_id", b.clientID)
	} else if err := b.auth.authenticate(added); err != nil {
		return nil, err
	}
	if c.namesClient {
		added.form.Del("client_id")
	}
	if len(added.form) > 0 {
		form, err := io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
		whole := string(form) + "&" + added.form.Encode()
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(whole)), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(whole))
	}
	return added.secrets, nil
}

// idempotencyKey is the same for every attempt to redeem the same code or refresh
// token, in this process or another, so that ACP replays its first answer for a minute
// instead of taking the second attempt for a theft.
func idempotencyKey(clientID, secret string) string {
	b := make([]byte, 0, 256)
	b = append(b, "acp idempotency\n"...)
	b = strconv.AppendInt(b, int64(len(clientID)), 10)
	b = append(append(b, '\n'), clientID...)
	b = append(append(b, '\n'), secret...)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// get fetches a document. The judge's result is returned.
func (b *backChannel) get(ctx context.Context, endpoint string, header http.Header, judge func(*answer) ([]byte, error)) ([]byte, error) {
	return b.fetch(ctx, endpoint, header, &call{timeout: fetchTimeout, judge: judge})
}

// fetch is get for a call of any kind.
func (b *backChannel) fetch(ctx context.Context, endpoint string, header http.Header, c *call) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.WithValue(ctx, callKey{}, c), http.MethodGet, endpoint, nil)
	if err != nil {
		return nil, invalidResponse("metadata", "an endpoint is not a URL")
	}
	maps.Copy(req.Header, header)
	return b.body(req)
}

// post sends a form. header may be nil.
func (b *backChannel) post(ctx context.Context, endpoint string, header http.Header, form url.Values, c *call) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.WithValue(ctx, callKey{}, c),
		http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, invalidResponse("metadata", "an endpoint is not a URL")
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.body(req)
}

func (b *backChannel) body(req *http.Request) ([]byte, error) {
	res, err := b.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(res.Body)
}

// closeIdle ends the connections that wait for a next request.
func closeIdle(t http.RoundTripper) {
	if t, ok := t.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
