package acpclient_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// RL-09: a key that the server replaced while nobody logged in is used no more; while it does not
// answer, the known one is.
func TestRequestObjectEncryptionKeyRotates(t *testing.T) {
	key := newSigner(t, "ES256")
	r := newRig(t, &acptest.Options{Client: acptest.Client{RequestKey: key.Public()}}, func(c *acpclient.Config) {
		c.RequestObject = &acpclient.RequestObject{Key: key, EncryptionAlg: "ECDH-ES"}
	})
	ec := acptest.NewKey("ES256")
	publish := func(kid string) {
		r.OnJWKS(func(m map[string]any) {
			k := ec.JWK()
			k["use"], k["alg"], k["kid"] = "enc", "ECDH-ES", kid
			m["keys"] = append([]any{k}, m["keys"].([]any)...)
		})
	}
	used := func(what, want string) {
		t.Helper()
		address, _, err := r.client.Authorize(t.Context(), nil)
		if err != nil {
			t.Fatal(what, err)
		}
		u, _ := url.Parse(address)
		head, _, _ := strings.Cut(u.Query().Get("request"), ".")
		var header struct{ Kid string }
		if err := json.Unmarshal(unb64(t, head), &header); err != nil || header.Kid != want {
			t.Errorf("%s: kid %q, want %q, %v", what, header.Kid, want, err)
		}
	}
	publish("old")
	if err := r.client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	fetched := r.Count(acptest.JWKSEndpoint)
	publish("new")
	r.advance(14 * time.Minute)
	used("still fresh", "old")
	r.asked(acptest.JWKSEndpoint, fetched)
	r.advance(time.Hour)
	used("after an hour", "new")
	used("once more", "new")
	r.asked(acptest.JWKSEndpoint, fetched+1)
	r.Handle(acptest.JWKSEndpoint, acptest.Reset())
	r.advance(time.Hour)
	used("in an outage", "new")
}
