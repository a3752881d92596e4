// Package strictjson reads one JSON object in one pass and refuses everything
// that two readers could understand differently: duplicate member names, invalid
// UTF-8, lone surrogates, and anything after the object. encoding/json accepts all of
// these, and takes a name in another case for the same: here it is another member.
//
// It is made for the header and the claims of a JWT: nothing is converted before
// it is asked for, and nothing is reflected over.
package strictjson

import (
	"fmt"
	"unicode/utf8"
)

const (
	// maxDepth is how deep objects and arrays may be nested, the outermost included.
	maxDepth = 32
	// maxMembers is how many members one object may have.
	maxMembers = 1000
	// mapFrom is the number of members from which a map finds duplicates:
	// below it, comparing is faster and needs no allocation.
	mapFrom = 32
)

// Member is one name of an object, unescaped, and its value.
type Member struct {
	Name  string
	Value Value
}

// Object holds the members of a JSON object in the order of the text. Names are
// unique. nil is an object that holds nothing.
type Object []Member

// Value returns the member of exactly this name. ok is false when there is none;
// a member that is null is there.
func (o Object) Value(name string) (v Value, ok bool) {
	for i := range o {
		if o[i].Name == name {
			return o[i].Value, true
		}
	}
	return "", false
}

// Parse reads text, which must be one JSON object with nothing but white space around
// it, and validates all of it. Names and values are parts of text. The text of an error
// holds nothing of the input.
func Parse(text string) (Object, error) { return parse(make(Object, 0, 16), text, false) }

// ParseOuter is Parse for a document whose parts are then parsed one by one, so that a bad
// one spoils only itself: inside the members it looks for nothing but where they end.
// Duplicates, depth, lone surrogates and invalid UTF-8 there are for Parse to find.
func ParseOuter(text string) (Object, error) { return parse(make(Object, 0, 16), text, true) }

// ParseInto is Parse with the room of into, whose own members are lost. The result holds
// parts of text for as long as it is not cleared.
func ParseInto(into Object, text string) (Object, error) { return parse(into[:0], text, false) }

func parse(into Object, text string, outer bool) (Object, error) {
	// RFC 8259 section 8.1; encoding/json puts U+FFFD instead, which makes two subjects one.
	if !outer && !utf8.ValidString(text) {
		return nil, &syntaxError{what: "invalid UTF-8"}
	}
	s := scanner{text: text, outer: outer}
	s.space()
	if s.peek() != '{' {
		return nil, s.fail("not an object")
	}
	if err := s.object(1, &into); err != nil {
		return nil, err
	}
	s.space()
	if s.pos != len(text) {
		return nil, s.fail("data after the object")
	}
	return into, nil
}

// syntaxError says where the text is wrong, without quoting it.
type syntaxError struct {
	what string
	pos  int
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("json: %s (byte %d)", e.what, e.pos)
}

// scanner walks over text.
type scanner struct {
	text  string
	pos   int
	outer bool     // whether nested objects and arrays are only walked over
	names []string // of the nested objects that are open, innermost last
}

func (s *scanner) fail(what string) error { return &syntaxError{what: what, pos: s.pos} }

// peek returns the next byte, and 0, which no JSON text has there, at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// value walks over one value; depth is that of what holds it.
func (s *scanner) value(depth int) error {
	switch c := s.peek(); {
	case s.outer && (c == '{' || c == '['):
		return s.skip()
	case c == '"':
		_, err := s.quoted()
		return err
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case c == '{':
		return s.object(depth+1, nil)
	case c == '[':
		return s.array(depth + 1)
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.fail("a value is missing")
}

func (s *scanner) literal(want string) error {
	if len(s.text)-s.pos < len(want) || s.text[s.pos:s.pos+len(want)] != want {
		return s.fail("unknown literal")
	}
	s.pos += len(want)
	return nil
}

// object walks over an object. With into, its members are kept there; without,
// their names are only compared.
func (s *scanner) object(depth int, into *Object) error {
	if depth > maxDepth {
		return s.fail("nested too deep")
	}
	s.pos++ // {
	s.space()
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	base := len(s.names)
	defer func() { s.names = s.names[:base] }()
	var seen map[string]struct{}
	var kinds uint64 // of the names so far
	for n := 0; ; n++ {
		if n == maxMembers {
			return s.fail("too many members")
		}
		if s.peek() != '"' {
			return s.fail("a member name is missing")
		}
		at := s.pos
		name, err := s.unquoted()
		if err != nil {
			return err
		}
		if n == mapFrom {
			seen = make(map[string]struct{}, 4*mapFrom)
			for i := range n {
				if into != nil {
					seen[(*into)[i].Name] = struct{}{}
				} else {
					seen[s.names[base+i]] = struct{}{}
				}
			}
		}
		duplicate, kind := false, kindOf(name)
		switch {
		case seen != nil:
			_, duplicate = seen[name]
			seen[name] = struct{}{}
		case kinds&kind == 0: // the first of its kind: no need to compare
		case into != nil:
			_, duplicate = into.Value(name)
		default:
			for _, known := range s.names[base:] {
				duplicate = duplicate || known == name
			}
		}
		if duplicate {
			s.pos = at
			return s.fail("duplicate member") // RFC 7515 section 4, RFC 7519 section 4
		}
		kinds |= kind
		if into == nil && seen == nil {
			s.names = append(s.names, name)
		}
		s.space()
		if s.peek() != ':' {
			return s.fail("a colon is missing")
		}
		s.pos++
		s.space()
		start := s.pos
		if err := s.value(depth); err != nil {
			return err
		}
		if into != nil {
			*into = append(*into, Member{Name: name, Value: Value(s.text[start:s.pos])})
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
			s.space()
		case '}':
			s.pos++
			return nil
		default:
			return s.fail("a comma or a brace is missing")
		}
	}
}

// kindOf gives a name one of 64 bits, by its length, its first and its last byte.
func kindOf(name string) uint64 {
	if name == "" {
		return 1
	}
	return 1 << ((uint(len(name)) + 3*uint(name[0]) + 7*uint(name[len(name)-1])) % 64)
}

func (s *scanner) array(depth int) error {
	if depth > maxDepth {
		return s.fail("nested too deep")
	}
	s.pos++ // [
	s.space()
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := s.value(depth); err != nil {
			return err
		}
		more, err := s.next()
		if err != nil || !more {
			return err
		}
	}
}

// skip walks over an object or array of any depth without a look at what it holds, but for
// its strings and brackets, which tell where it ends.
func (s *scanner) skip() error {
	var open []byte // the brackets that close what is open, innermost last
	for ; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; c {
		case '{', '[':
			open = append(open, c+2)
		case '}', ']':
			if open[len(open)-1] != c {
				return s.fail("the wrong bracket")
			}
			if open = open[:len(open)-1]; len(open) == 0 {
				s.pos++
				return nil
			}
		case '"':
			for s.pos++; s.pos < len(s.text) && s.text[s.pos] != '"'; s.pos++ {
				if s.text[s.pos] == '\\' {
					s.pos++
				}
			}
		}
	}
	return s.fail("unfinished")
}

// next walks over what follows an element of an array: more is false at its end.
func (s *scanner) next() (more bool, err error) {
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		return true, nil
	case ']':
		s.pos++
		return false, nil
	}
	return false, s.fail("a comma or a bracket is missing")
}

// number walks over a number (RFC 8259 section 6).
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return s.fail("a digit is missing")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return s.fail("a digit is missing")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.fail("a digit is missing")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.text) && '0' <= s.text[s.pos] && s.text[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}
