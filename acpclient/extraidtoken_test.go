package acpclient_test

import (
	"testing"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
)

// RF-12: where x/oauth2's users look for the ID token it is the verified one, decrypted, or none.
func TestExtraIDToken(t *testing.T) {
	r := newEncrypted(t, encryption("RSA", "", ""), decryption("RSA"), nil)
	shown := func(what string, tokens *acpclient.Tokens, want any) {
		t.Helper()
		if got := tokens.Extra("id_token"); got != want {
			t.Errorf("%s: Extra gives another ID token", what)
		}
	}
	tokens := r.login()
	shown("login", tokens, tokens.IDToken)
	fresh, err := r.client.Refresh(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	r.tokenSecrets(fresh)
	shown("refresh", fresh, fresh.IDToken)
	foreign := acptest.NewKey("ES256")
	r.Handle(acptest.JWKSEndpoint, acptest.Reset())
	r.MintIDToken(func(_, claims map[string]any) string {
		return encryption("RSA", "", "").Encrypt(foreign.Sign(nil, claims), nil)
	})
	unverified, err := r.client.Refresh(t.Context(), fresh)
	if err != nil {
		t.Fatal(err)
	}
	r.tokenSecrets(unverified)
	if unverified.IDToken != fresh.IDToken {
		t.Error("an ID token that nobody verified is taken")
	}
	shown("a refresh without keys", unverified, nil)
}
