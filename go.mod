module github.com/acp-go/acp

go 1.26.0
