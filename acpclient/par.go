package acpclient

import (
	"context"
	"net/http"
	"net/url"

	"github.com/acp-go/acp/internal/strictjson"
)

// judgePushing wants an endpoint where requests are to be pushed.
func (c *Client) judgePushing(m *Metadata) error {
	if !c.pushes(m) || m.PushedAuthorizationRequestEndpoint != "" {
		return nil
	}
	who := "the server demands pushed authorization requests"
	if c.config.RequirePushedAuthorizationRequests {
		who = "RequirePushedAuthorizationRequests is set"
	}
	return invalidResponse("metadata", "no pushed_authorization_request_endpoint, and "+who)
}

// pushes reports whether authorization requests go through the back channel.
func (c *Client) pushes(m *Metadata) bool {
	return c.config.RequirePushedAuthorizationRequests || m.RequirePushedAuthorizationRequests
}

// refer makes the authorize URL of a request whose parameters do not stand in it.
func (c *Client) refer(ctx context.Context, m *Metadata, endpoint, query string, flow *Flow) (string, error) {
	request, err := url.ParseQuery(query)
	if err != nil {
		return "", err
	}
	secrets := []string{flow.State, flow.Nonce}
	if hint := request.Get("login_hint"); !isWord(hint) { // a word could be part of an error's code
		secrets = append(secrets, hint)
	}
	if c.config.RequestObject != nil {
		if request, err = c.inObject(ctx, request); err != nil {
			return "", err
		}
		secrets = append(secrets, request.Get("request"))
	}
	if !c.pushes(m) {
		return endpoint + request.Encode(), nil
	}
	uri, err := c.push(ctx, m, request, secrets...)
	if err != nil {
		return "", err
	}
	// RFC 9126 4: what stands beside the two would be ignored, and be seen.
	return endpoint + "client_id=" + url.QueryEscape(c.config.ClientID) + "&request_uri=" + url.QueryEscape(uri), nil
}

// push sends an authorization request through the back channel, and returns the
// request_uri that stands for it (RFC 9126 2).
func (c *Client) push(ctx context.Context, m *Metadata, request url.Values, secrets ...string) (requestURI string, err error) {
	end, err := c.begin()
	if err != nil {
		return "", err
	}
	defer end()
	uri, err := c.back.post(ctx, m.PushedAuthorizationRequestEndpoint, nil, request, &call{
		timeout: fetchTimeout, authenticated: true, proof: true, methods: m.TokenEndpointAuthMethodsSupported,
		namesClient: true, secrets: secrets, judge: judgePushed,
	})
	return string(uri), err
}

// maxRequestURI is more than the 512 characters that RFC 9101 5.2 recommends.
const maxRequestURI = 2 << 10

// judgePushed returns the request_uri of a good answer.
func judgePushed(a *answer) ([]byte, error) {
	if a.status != http.StatusCreated { // RFC 9126 2.2
		return nil, a.failed()
	}
	bad := func(detail string) ([]byte, error) {
		return nil, invalidResponse("response_malformed", "the pushed request's answer: "+detail)
	}
	if !a.isJSON() {
		return bad("not application/json")
	}
	doc, err := strictjson.Parse(string(a.body))
	if err != nil {
		return bad(clean(err.Error()))
	}
	v, _ := doc.Value("request_uri")
	uri, _ := v.String()
	u, err := url.Parse(uri)
	switch {
	case uri == "":
		return bad("request_uri is missing, or not a string")
	case err != nil, !u.IsAbs(), !isVSCHAR(uri), len(uri) > maxRequestURI:
		return bad("request_uri is not a URI")
	}
	switch lifetime, known, err := expiresIn(doc); {
	case err != nil:
		return nil, err
	case !known, lifetime <= 0:
		return bad("expires_in is missing, or in the past")
	}
	return []byte(uri), nil
}
