package acpclient

import (
	"fmt"
	"mime"
	"net/http"

	"github.com/acp-go/acp/internal/strictjson"
)

// isJSON reports whether the answer declares itself to be JSON (RFC 6749 5.1).
func (a *answer) isJSON() bool {
	kind := a.header.Get("Content-Type")
	switch kind { // as nearly all servers write it
	case "application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8":
		return true
	}
	t, _, err := mime.ParseMediaType(kind)
	return err == nil && t == "application/json"
}

// document is the judge for metadata and key sets: any body that its reader takes.
func document(a *answer) ([]byte, error) {
	if a.status != http.StatusOK {
		return nil, a.failed()
	}
	return a.body, nil
}

// failed is the error of an answer that is none: the server's own where it gave one.
func (a *answer) failed() error {
	e := a.serverError()
	if e == nil {
		e = &Error{Code: "invalid_response", StatusCode: a.status}
	}
	e.TraceID = cleanID(firstOf(a.header.Get("X-Trace-Id"), e.TraceID))
	e.retryAfter = parseRetryAfter(a.header.Get("Retry-After"), a.now)
	if e.StatusCode < 400 && e.Code == "invalid_response" {
		return invalidResponse("response_malformed", fmt.Sprintf("status %d", a.status))
	}
	return e
}

// serverError reads any of ACP's three error shapes; nil when the body is none of them.
func (a *answer) serverError() *Error {
	doc, err := strictjson.Parse(string(a.body))
	if err != nil {
		return nil
	}
	text := func(name string) string {
		v, _ := doc.Value(name)
		s, _ := v.String()
		return s
	}
	code, description := text("error"), text("error_description")
	if named := text("error_code"); named != "" { // a number in the other shapes; here error is a sentence
		code, description = named, firstOf(description, code)
	}
	if code == "" {
		return nil
	}
	return serverError(a.status, code, description, firstOf(text("cause"), text("error_cause")),
		text("error_hint"), text("trace_id"))
}

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}
