package acptest

import (
	"bytes"
	"net/http"
)

// Hang never answers: it waits until the client gives up or the server is closed.
func Hang() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

// Reset takes the request and closes the connection without an answer.
func Reset() http.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
}

// Endless answers 200 with this content type and start, then spaces, until the client stops reading.
func Endless(contentType, start string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, err := w.Write([]byte(start))
		chunk := bytes.Repeat([]byte(" "), 32<<10)
		for err == nil && r.Context().Err() == nil {
			_, err = w.Write(chunk)
		}
	}
}

// RedirectTo answers with a status of 3xx and a Location.
func RedirectTo(status int, location string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(status)
	}
}

// Answer answers always the same.
func Answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the client may be gone
	}
}
