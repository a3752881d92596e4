package acpclient_test

import (
	"crypto"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
)

// unsteady is a key that fails once it is told to.
type unsteady struct {
	crypto.Decrypter
	fail *func()
}

func (u unsteady) Decrypt(random io.Reader, message []byte, o crypto.DecrypterOpts) ([]byte, error) {
	if *u.fail != nil {
		(*u.fail)()
		return nil, errors.New("HSM is away")
	}
	return u.Decrypter.Decrypt(random, message, o)
}

// RF-12: an ID token that no key opens costs nobody the refresh token that came with it: none of it is
// applied. A login does not take it.
func TestRefreshOfAnotherKey(t *testing.T) {
	for name, fail := range map[string]func(){"to another's key": nil, "fails": func() {}, "panics": func() { panic("HSM is away") }} {
		t.Run(name, func(t *testing.T) {
			d, broken := decryption("RSA"), (func())(nil)
			d.Keys[0].Key = unsteady{decryptionKeys()["RSA"].(crypto.Decrypter), &broken}
			r := newEncrypted(t, encryption("RSA", "", ""), d, nil)
			tokens := r.login()
			if broken = fail; fail == nil {
				r.MintIDToken(func(header, claims map[string]any) string {
					return encryption("another RSA", "", "").Encrypt(r.Sign(header, claims), nil)
				})
			}
			fresh, err := r.client.Refresh(t.Context(), tokens)
			if err != nil {
				t.Fatal(err)
			}
			r.tokenSecrets(fresh)
			if fresh.IDToken != tokens.IDToken || fresh.RefreshToken == tokens.RefreshToken {
				t.Error("the ID token of before, or the new refresh token, is lost")
			}
			if log := r.log.String(); !strings.Contains(log, "cannot be decrypted") {
				t.Errorf("nothing is logged of it: %s", log)
			}
			flow, v := r.callback(nil)
			_, err = r.client.Exchange(t.Context(), flow, v)
			r.fails(err, acpclient.ErrInvalidToken, "decryption")
		})
	}
}
