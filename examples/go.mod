module github.com/acp-go/acp/examples

go 1.26.0

require (
	github.com/acp-go/acp v0.0.0
	github.com/go-jose/go-jose/v4 v4.1.9
	github.com/luikyv/go-oidc v0.25.0
)

require (
	github.com/coreos/go-oidc/v3 v3.21.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
)

replace github.com/acp-go/acp => ../
