package acptest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/acp-go/acp/acptest"
)

// t stands for the *testing.T of the reader's own test.
var t testing.TB = standalone{}

type standalone struct{ testing.TB }

func (standalone) Helper()                        {}
func (standalone) Cleanup(func())                 {}
func (standalone) Context() context.Context       { return context.Background() }
func (standalone) Errorf(format string, a ...any) { fmt.Printf(format+"\n", a...) }

// A whole test of one's own login. app is any http.Handler.
func Example() {
	server := acptest.NewServer(t, nil)
	app := newApp(t, server, "https://app.example/callback", "query")
	browser := server.Browser()
	browser.Mount("https://app.example", app)

	page := browser.Navigate("https://app.example/profile")

	fmt.Println(page.Status(), page.Body())
	// Output: 200 alice alice
}

// What the application does when the user refuses, and when the callback is forged.
func ExampleServer_OnCallback() {
	server := acptest.NewServer(t, nil)
	app := newApp(t, server, "https://app.example/callback", "query")
	browser := server.Browser()
	browser.Mount("https://app.example", app)

	server.Deny("access_denied")
	fmt.Println("refused:", browser.Navigate("https://app.example/profile").Status())

	server.Deny("")
	server.OnCallback(func(v url.Values) { v.Set("state", "forged") })
	fmt.Println("forged:", browser.Navigate("https://app.example/profile").Status())
	fmt.Println("codes exchanged:", server.Count(acptest.TokenEndpoint))
	// Output:
	// refused: 403
	// forged: 400
	// codes exchanged: 0
}

// A handler that only reads who the user is needs no server.
func ExampleWithUser() {
	request := acptest.WithUser(httptest.NewRequest("GET", "/profile", nil), "erin", map[string]any{"name": "Erin"})
	response := httptest.NewRecorder()
	http.HandlerFunc(profile).ServeHTTP(response, request)
	fmt.Println(response.Body)
	// Output: erin Erin
}
