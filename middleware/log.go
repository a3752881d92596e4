package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/acp-go/acp/acpclient"
)

// log writes the one line of a failure. A fetch without a session is everyday's work.
func logFailure(logger *slog.Logger, r *http.Request, f *Failure) {
	level := slog.LevelWarn
	switch {
	case f.Status == http.StatusUnauthorized || errors.Is(f.Err, context.Canceled):
		level = slog.LevelInfo
	case f.Status == http.StatusInternalServerError:
		level = slog.LevelError
	}
	if !logger.Enabled(r.Context(), level) {
		return // a flood of refusals then costs no text
	}
	attrs := []slog.Attr{
		slog.String("reference", f.Reference),
		slog.Int("status", f.Status),
		slog.String("reason", clean(reasonOf(f.Err))),
		slog.String("error", logText(f.Err)),
		slog.String("method", clean(r.Method)),
		slog.String("path", clean(r.URL.EscapedPath())),
	}
	if e, ok := errors.AsType[*acpclient.Error](f.Err); ok && e.Description != "" {
		attrs = append(attrs, slog.String("description", clean(e.Description)))
	}
	logger.LogAttrs(r.Context(), level, "acp: request failed", attrs...)
}

// logText is an error's text for one line of a log.
func logText(err error) string { return clean(withoutURL(err)) }

// withoutURL is an error's text without the URL that net/http puts into it, query and all.
func withoutURL(err error) string {
	if _, ours := err.(*problem); ours {
		return err.Error() // what it wraps may say more than it does
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err.Error()
}

// scrub is a text of others, which may quote the token that they were given.
func scrub(text, token string) string {
	const secret = 8 // shorter ones are none, and would be found in every word
	if len(token) >= secret {
		text = strings.ReplaceAll(text, token, redacted)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) >= secret {
			text = strings.ReplaceAll(text, part, redacted)
		}
	}
	return text
}

const maxLogText = 200

// clean makes one printable line of at most 200 bytes. Quotation marks stay as they are:
// the log's handler has its own way with them.
func clean(s string) string {
	if len(s) <= maxLogText && isPlain(s) {
		return s
	}
	for len(s) > maxLogText || !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s[:min(len(s), maxLogText)], "")
	}
	quoted := strconv.QuoteToASCII(s)
	quoted = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	return quoted[:min(len(quoted), maxLogText)]
}

// isPlain holds for printable ASCII without a backslash: clean has nothing to do.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e || s[i] == '\\' {
			return false
		}
	}
	return true
}
