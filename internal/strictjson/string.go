package strictjson

import (
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// plain holds for the bytes that stand for themselves in a string.
func plain(c byte) bool { return c >= 0x20 && c != '"' && c != '\\' }

const (
	each = 0x0101010101010101 // times a byte: that byte eight times
	high = each * 0x80
)

// plainBytes is how many of the eight bytes in x, lowest first, are plain before one that is not.
func plainBytes(x uint64) int {
	quote, backslash := x^each*'"', x^each*'\\'
	// Each term sets the highest bit of a byte that is zero, or below 0x20: a borrow may set
	// it in bytes above, which does not matter.
	special := (quote-each)&^quote | (backslash-each)&^backslash | (x-each*0x20)&^x
	return bits.TrailingZeros64(special&high) / 8
}

func eightBytes(b string) uint64 {
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// quoted walks over a string, quotes included, and says whether it has escapes.
func (s *scanner) quoted() (escaped bool, err error) {
	text, at := s.text, s.pos+1 // behind the quote
	for {
		for n := 8; n == 8 && len(text)-at >= 8; at += n {
			n = plainBytes(eightBytes(text[at:]))
		}
		for at < len(text) && plain(text[at]) {
			at++
		}
		s.pos = at
		if at == len(text) {
			return false, s.fail("unfinished string")
		}
		switch text[at] {
		case '"':
			s.pos++
			return escaped, nil
		case '\\':
			escaped = true
			_, size := escape(text[at:])
			if size == 0 {
				return false, s.fail("bad escape")
			}
			at += size
		default:
			return false, s.fail("control character in a string")
		}
	}
}

// unquoted walks over a string and returns it unescaped.
func (s *scanner) unquoted() (string, error) {
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
