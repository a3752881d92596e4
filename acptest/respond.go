package acptest

import (
	"mime"
	"net/http"
)

func response(status int, contentType string, body []byte) *Response {
	res := &Response{Status: status, Header: http.Header{}, Body: body}
	if contentType != "" {
		res.Header.Set("Content-Type", contentType)
	}
	return res
}

func jsonResponse(status int, v any) *Response {
	res := response(status, "application/json", []byte(encode(v)))
	res.Header.Set("Cache-Control", "no-store")
	return res
}

// genericError is ACP's second shape of an error: error_code is a number.
func genericError(status int, code, hint string) *Response {
	return jsonResponse(status, map[string]any{"error": code, "error_code": status, "error_hint": hint})
}

// apiError is ACP's third shape, which PAR uses: error_code is the code, and error a sentence.
func apiError(status int, code, text string) *Response {
	return jsonResponse(status, map[string]any{"error": text, "error_code": code, "status_code": status, "details": nil})
}

// oauthError is ACP's RFC 6749 shape. The cause is named `cause` here and
// `error_cause` at the callback.
func oauthError(status int, code, description, cause string) *Response {
	body := map[string]any{
		"error": code, "error_description": description, "error_hint": description,
		"status_code": status, "cause": cause, "details": nil,
	}
	res := jsonResponse(status, body)
	res.Header.Set("Pragma", "no-cache")
	return res
}

func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}
