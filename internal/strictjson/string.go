package strictjson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// plain holds for the bytes that stand for themselves in a string.
var plain = func() (table [256]bool) {
	for c := 0x20; c < len(table); c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// quoted walks over a string, quotes included, and says whether it has escapes.
func (s *scanner) quoted() (escaped bool, err error) {
	s.pos++ // "
	for {
		for s.pos < len(s.text) && plain[s.text[s.pos]] {
			s.pos++
		}
		if s.pos == len(s.text) {
			return false, s.fail("unfinished string")
		}
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return escaped, nil
		case c == '\\':
			escaped = true
			_, size := escape(s.text[s.pos:])
			if size == 0 {
				return false, s.fail("bad escape")
			}
			s.pos += size
		default:
			return false, s.fail("control character in a string")
		}
	}
}

// name walks over a member name and returns it unescaped.
func (s *scanner) name() (string, error) {
	start := s.pos
	escaped, err := s.quoted()
	if err != nil {
		return "", err
	}
	if escaped {
		name, _ := unescape(s.text[start+1 : s.pos-1])
		return name, nil
	}
	return s.text[start+1 : s.pos-1], nil
}

// escape decodes the escape sequence that b starts with. size is its length in
// bytes, or 0 when it is none: also for half a surrogate pair, which stands for no
// character and would be replaced by one.
func escape(b string) (r rune, size int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return 0, 0
	}
	first, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := hex4(b[6:])
	if !ok {
		return 0, 0
	}
	if r = utf16.DecodeRune(first, second); r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// hex4 reads the code unit of the \uXXXX that b starts with.
func hex4(b string) (unit rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range []byte(b[2:6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}

// unescape decodes the inside of a string. ok is false when that is malformed,
// which it cannot be in what Parse accepted.
func unescape(b string) (text string, ok bool) {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if b[0] != '\\' {
			out = append(out, b[0])
			b = b[1:]
			continue
		}
		r, size := escape(b)
		if size == 0 {
			return "", false
		}
		out = utf8.AppendRune(out, r)
		b = b[size:]
	}
	return string(out), true
}
