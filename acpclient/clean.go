package acpclient

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxText   = 200 // bytes of a text from outside that are kept
	secretRun = 24  // as many token characters in a row could be a secret
)

// clean makes a text from outside fit for a log line or an error field: one line,
// printable, valid UTF-8, nothing that could be a token, at most 200 bytes.
func clean(s string) string {
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < maxText; {
		if n := tokenRun(s[i:]); n > 0 {
			if run := s[i : i+n]; n >= secretRun && !isWord(run) {
				b.WriteString(redacted)
			} else {
				b.WriteString(s[i : i+n])
			}
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case r == utf8.RuneError && size == 1, !unicode.IsPrint(r) && r != ' ':
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	return cut(b.String(), maxText)
}

// isWord holds for names like account_selection_required, which no secret looks like.
func isWord(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
}

// scrub takes out what the request itself held, should the server have sent it back.
func (e *Error) scrub(secrets []string) {
	for _, secret := range secrets {
		if len(secret) < leastSecret {
			continue
		}
		for _, text := range []*string{&e.Code, &e.Description, &e.Cause, &e.Hint, &e.TraceID} {
			if len(*text) > maxText-utf8.UTFMax { // it may have been cut within the secret
				*text = withoutStart(*text, secret)
			}
			*text = strings.ReplaceAll(*text, secret, redacted)
		}
	}
}

// leastSecret is the length in bytes from which a text is searched: less would be found in every one.
const leastSecret = 4

// withoutStart takes away what the text ends with and the secret begins with.
func withoutStart(text, secret string) string {
	for n := min(len(secret)-1, len(text)); n >= leastSecret; n-- {
		if strings.HasSuffix(text, secret[:n]) {
			return text[:len(text)-n]
		}
	}
	return text
}

// tokenRun is the length of the run of token68 characters that s starts with.
func tokenRun(s string) int {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '+', c == '/', c == '=':
		default:
			return i
		}
	}
	return len(s)
}

// cleanID keeps what an identifier like a trace id may hold. More than 64 bytes are none,
// and the start of a secret that scrub would not find.
func cleanID(s string) string {
	if len(s) > 64 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (tokenRun(string(r)) == 1 || r == ':') {
			return r
		}
		return -1
	}, s)
}

// cut shortens s to at most n bytes without splitting a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
