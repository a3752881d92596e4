package interop_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/acp-go/acp/examples/localacp"
)

// serverKind is an authorization server that a test can start, and how a person finds
// their way on its pages. All servers know alice with the password wonderland.
type serverKind struct {
	name string
	// appHost is the application's host name. It differs from the server's, so that the
	// browser sees two sites, and cookies between them are cross-site as in real life.
	appHost string

	user, password, signIn string // CSS selectors of the login page
	allow, deny            string // of the consent page
	endSession             string // of the logout page

	// start runs the server on the port ("0" is any) and returns its issuer. The server
	// ends with the test.
	start func(t *testing.T, port string, lifetime time.Duration, clients ...client) (issuer string)
}

var servers = []serverKind{
	{
		name:       "oidc-provider",
		appHost:    "127.0.0.1",
		user:       `input[name=login]`,
		password:   `input[name=password]`,
		signIn:     `button.login-submit`,
		allow:      `input[value=consent] ~ button`,
		deny:       `a[href$="/abort"]`,
		endSession: `button[name=logout][value=yes]`,
		start:      startOIDCProvider,
	},
	{
		name:       "localacp",
		appHost:    "localhost",
		user:       `input[name=username]`,
		password:   `input[name=password]`,
		signIn:     `button[name=action][value=login]`,
		allow:      `button[name=action][value=allow]`,
		deny:       `button[name=action][value=deny]`,
		endSession: `button[name=action][value=logout]`,
		start:      startLocalACP,
	},
}

func startLocalACP(t *testing.T, port string, lifetime time.Duration, clients ...client) string {
	t.Helper()
	options := localacp.Options{Addr: net.JoinHostPort("127.0.0.1", port), AccessTokenLifetime: lifetime}
	for _, c := range clients {
		registered := localacp.Client{
			ID: c.ID, AuthMethod: c.Auth, Secret: c.Secret,
			RedirectURLs: []string{c.RedirectURL}, PostLogoutRedirectURLs: []string{c.PostLogout},
		}
		if c.Key != nil {
			registered.PublicKey = c.Key.Public()
		}
		options.Clients = append(options.Clients, registered)
	}
	server, err := localacp.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("closing localacp: %v", err)
		}
	})
	return server.Issuer
}

func startOIDCProvider(t *testing.T, port string, lifetime time.Duration, clients ...client) string {
	t.Helper()
	return startOIDCProviderFor(t, port, lifetime, nil, clients...)
}

// startOIDCProviderFor has access tokens for these APIs, too: "jwt" or "opaque", by the
// API's identifier.
func startOIDCProviderFor(t *testing.T, port string, lifetime time.Duration, apis map[string]string, clients ...client) string {
	t.Helper()
	issuer, _ := oidcProvider{port: port, lifetime: lifetime, apis: apis}.start(t, clients...)
	return issuer
}

// oidcProvider is how oidc-provider is set up.
type oidcProvider struct {
	port       string // "0" is any
	lifetime   time.Duration
	apis       map[string]string // "jwt" or "opaque", by the API's identifier
	defaultAPI string            // whose tokens a login gets that names no API; "" is none
	delay      time.Duration     // each answer to a refresh comes later by a random time up to this
}

func (o oidcProvider) start(t *testing.T, clients ...client) (issuer string, server *process) {
	t.Helper()
	number, err := strconv.Atoi(o.port)
	if err != nil {
		t.Fatal(err)
	}
	var registered []map[string]any
	for _, c := range clients {
		r := map[string]any{
			"client_id":                    c.ID,
			"client_name":                  "The interop tests",
			"token_endpoint_auth_method":   c.Auth,
			"redirect_uris":                []string{c.RedirectURL},
			"post_logout_redirect_uris":    []string{c.PostLogout},
			"grant_types":                  []string{"authorization_code", "refresh_token"},
			"response_types":               []string{"code"},
			"id_token_signed_response_alg": "ES256",
		}
		if c.Secret != "" {
			r["client_secret"] = c.Secret
		}
		if c.Key != nil {
			r["jwks"] = map[string]any{"keys": []any{c.jwk(t)}}
		}
		registered = append(registered, r)
	}
	config, err := json.Marshal(map[string]any{
		"port": number, "path": "/bank/customers",
		"accessTokenSeconds": int(o.lifetime.Seconds()), "clients": registered, "resources": o.apis,
		"defaultResource": o.defaultAPI, "refreshMilliseconds": o.delay.Milliseconds(),
	})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := os.Stat("oidcprovider/node_modules/oidc-provider/package.json"); err != nil {
		t.Fatalf("run `npm ci` in interop/oidcprovider first: %v", err)
	}
	cmd := exec.Command("node", "server.mjs")
	cmd.Dir = "oidcprovider"
	stdin, err := cmd.StdinPipe() // its end is the server's end
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, cmd)
	if _, err := stdin.Write(append(bytes.TrimSpace(config), '\n')); err != nil {
		t.Fatal(err)
	}
	first := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		first <- line // "" when the server ended without a word
	}()
	var hello struct{ Issuer string }
	select {
	case line := <-first:
		if err := json.Unmarshal([]byte(line), &hello); err != nil {
			t.Fatalf("oidc-provider did not start: %v\n%s", err, p.stderr)
		}
	case <-time.After(patience):
		t.Fatalf("oidc-provider did not start within %v\n%s", patience, p.stderr)
	}
	return hello.Issuer, p
}
