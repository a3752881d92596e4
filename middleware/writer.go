package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// sessionWriter puts what became of a session during its request into the response, when
// the header is written. Until then whoever has the Session, in whatever goroutine, only
// leaves word: the header's map belongs to the handler.
type sessionWriter struct {
	http.ResponseWriter
	live *liveSession
}

// WriteHeader writes the session's cookies first; an informational status is no answer yet.
func (w *sessionWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.live.commit(w.Header())
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *sessionWriter) Write(b []byte) (int, error) {
	w.live.commit(w.Header())
	return w.ResponseWriter.Write(b)
}

// ReadFrom keeps the server's own way of copying (sendfile) for io.Copy.
func (w *sessionWriter) ReadFrom(src io.Reader) (int64, error) {
	w.live.commit(w.Header())
	return io.Copy(w.ResponseWriter, src)
}

// FlushError is for http.ResponseController.
func (w *sessionWriter) FlushError() error {
	w.live.commit(w.Header())
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush is for handlers that ask for an http.Flusher.
func (w *sessionWriter) Flush() { _ = w.FlushError() }

// Hijack is for handlers that ask for an http.Hijacker: WebSockets.
func (w *sessionWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.live.commit(w.Header())
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController.
func (w *sessionWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
