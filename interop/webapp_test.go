package interop_test

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// webapp is the example application, running as its own process.
type webapp struct {
	*process
	origin string // where a browser finds it
	client client
}

// startWebapp starts the binary with the documented settings and waits until it serves.
// The application must end cleanly at the end of the test, and must not have logged a
// credential.
func startWebapp(t *testing.T, issuer, apiURL string, c client) *webapp {
	t.Helper()
	origin := strings.TrimSuffix(c.RedirectURL, "/callback")
	_, port, _ := strings.Cut(strings.TrimPrefix(origin, "http://"), ":")
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails

	binary, err := webappBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(environWithout("ACP_"),
		"ACP_ISSUER="+issuer,
		"ACP_CLIENT_ID="+c.ID,
		"ACP_REDIRECT_URL="+c.RedirectURL,
		"ACP_SCOPES=openid profile email offline_access",
		"ACP_LISTEN=127.0.0.1:"+port,
		"ACP_COOKIE_KEY="+base64.StdEncoding.EncodeToString(key),
		"ACP_API_URL="+apiURL,
	)
	if c.Secret != "" {
		cmd.Env = append(cmd.Env, "ACP_CLIENT_SECRET="+c.Secret)
	}
	if c.Auth != "none" {
		cmd.Env = append(cmd.Env, "ACP_CLIENT_AUTH="+c.Auth)
	}
	if c.Key != nil {
		cmd.Env = append(cmd.Env, "ACP_CLIENT_KEY="+c.keyFile(t))
	}
	if c.ResponseMode != "" {
		cmd.Env = append(cmd.Env, "ACP_RESPONSE_MODE="+c.ResponseMode)
	}
	w := &webapp{process: startProcess(t, cmd), origin: origin, client: c}
	t.Cleanup(func() {
		if err := w.terminate(endLimit); err != nil {
			t.Errorf("the webapp did not end cleanly after SIGTERM: %v", err)
		}
		if c.Secret != "" && strings.Contains(w.stderr.String(), c.Secret) {
			t.Error("the webapp logged its client secret")
		}
	})
	eventually(t, "GET /healthz answering 200", func() (bool, string) {
		select {
		case <-w.exited:
			t.Fatalf("the webapp ended at its start: %v\n%s", w.err, w.stderr)
		default:
		}
		status, _, err := fetch(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/healthz", nil)
		if err != nil {
			return false, err.Error()
		}
		return status == http.StatusOK, http.StatusText(status)
	})
	return w
}
