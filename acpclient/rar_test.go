package acpclient_test

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// payment is an application's own type of detail.
type payment struct {
	Type   string `json:"type"`
	IBAN   string `json:"iban"`
	Amount int    `json:"amount"`
}

// RFC 9396: what is asked for arrives whole in each form of request, and what was granted comes back.
func TestAuthorizationDetails(t *testing.T) {
	details, err := json.Marshal([]payment{{"payment", "CH93 & co", 100}, {"payment", "CH94", 200}})
	if err != nil {
		t.Fatal(err)
	}
	key := newSigner(t, "ES256")
	for name, row := range map[string]struct{ pushed, signed bool }{
		"plain": {}, "AZ-30 pushed": {pushed: true}, "signed": {signed: true}, "AZ-30 pushed and signed": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &acptest.Options{RequirePAR: row.pushed, Client: acptest.Client{RequestKey: key.Public()}}, func(c *acpclient.Config) {
				if row.signed {
					c.RequestObject = &acpclient.RequestObject{Key: key}
				}
			})
			var got string
			r.OnAuthorize(func(a *acptest.Authorization) { got = a.Params.Get("authorization_details") })
			flow, callback := r.callback(&acpclient.AuthorizeOptions{AuthorizationDetails: details})
			var sent, want any
			if json.Unmarshal([]byte(got), &sent) != nil || json.Unmarshal(details, &want) != nil || !reflect.DeepEqual(sent, want) {
				t.Errorf("the server was asked for %s", got)
			}
			if row.signed && !row.pushed {
				_, claims := openJWT(t, r.Requests(acptest.AuthorizeEndpoint)[0].Query.Get("request"))
				if _, isArray := claims["authorization_details"].([]any); !isArray {
					t.Errorf("in the request object it is a %T", claims["authorization_details"])
				}
			}
			if raw := r.Requests(acptest.AuthorizeEndpoint)[0].Query.Encode(); row.pushed && strings.Contains(raw, "CH9") {
				t.Errorf("AZ-30: the URL shows %s", raw)
			}
			tokens, err := r.client.Exchange(t.Context(), flow, callback)
			if err != nil {
				t.Fatal(err)
			}
			r.tokenSecrets(tokens)
			if granted := tokens.Extra("authorization_details"); !reflect.DeepEqual(granted, want) {
				t.Errorf("granted %v", granted)
			}
		})
	}
}

func TestAuthorizationDetailsRefuses(t *testing.T) {
	r := newRig(t, nil, nil)
	for name, details := range map[string]string{
		"empty": ``, "an object": `{"type":"payment"}`, "no element": `[]`, "null": `null`, "a string": `"payment"`,
		"no JSON": `[{"type":"payment"}`, "two documents": `[{"type":"payment"}],"x":[]`, "no type": `[{"iban":"CH93"}]`, "type in another case": `[{"Type":"payment"}]`,
		"empty type": `[{"type":""}]`, "type is a number": `[{"type":7}]`, "a string among them": `[{"type":"payment"},"payment"]`,
		"type twice": `[{"type":"payment","type":"admin"}]`, "a member twice": `[{"type":"payment","iban":"CH93","iban":"CH94"}]`,
		"many": "[" + strings.Repeat(`{"type":"a"},`, 100) + `{"type":"a"}]`,
	} {
		o := &acpclient.AuthorizeOptions{AuthorizationDetails: json.RawMessage(details)}
		if address, flow, err := r.client.Authorize(t.Context(), o); err == nil || address != "" || flow != nil || !strings.Contains(err.Error(), "AuthorizationDetails") {
			t.Errorf("AZ-34 %s: %q, %v", name, address, err)
		}
	}
	if err := (&acpclient.AuthorizeOptions{Extra: url.Values{"authorization_details": {`[{"type":"a"}]`}}}).Check(); err == nil {
		t.Error("AZ-16: it is an extra parameter, too")
	}
	r.asked(acptest.MetadataEndpoint, 0)
}
