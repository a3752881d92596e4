package strictjson

import "strings"

// Value is the raw text of one JSON value, as it stands in an Object that Parse
// returned. Any other text is safe too, but what the methods then say is not judged.
type Value string

// starts says whether the value's first byte, which tells its kind, is c.
func (v Value) starts(c byte) bool { return len(v) > 0 && v[0] == c }

// IsNull reports whether the value is null.
func (v Value) IsNull() bool { return v.starts('n') }

// IsString reports whether the value is a string.
func (v Value) IsString() bool { return v.starts('"') }

// IsNumber reports whether the value is a number.
func (v Value) IsNumber() bool {
	return len(v) > 0 && (v[0] == '-' || '0' <= v[0] && v[0] <= '9')
}

// IsObject reports whether the value is an object.
func (v Value) IsObject() bool { return v.starts('{') }

// IsArray reports whether the value is an array.
func (v Value) IsArray() bool { return v.starts('[') }

// IsBool reports whether the value is true or false.
func (v Value) IsBool() bool { return v.starts('t') || v.starts('f') }

// String returns a string's text, unescaped: a part of the value itself where there is
// nothing to unescape. ok is false for every other kind.
func (v Value) String() (text string, ok bool) {
	if len(v) < 2 || v[0] != '"' || v[len(v)-1] != '"' {
		return "", false
	}
	inside := string(v[1 : len(v)-1])
	if strings.IndexByte(inside, '\\') < 0 {
		return inside, true
	}
	return unescape(inside)
}

// Strings returns the elements of an array that holds nothing but strings; it is
// not nil then. ok is false for everything else.
func (v Value) Strings() (list []string, ok bool) {
	if !v.IsArray() {
		return nil, false
	}
	list = make([]string, 0, min(1+strings.Count(string(v), ","), 16))
	if list, ok = v.AppendStrings(list); !ok {
		return nil, false
	}
	return list, true
}

// AppendStrings appends to list what Strings returns. It returns list itself where that is
// nothing.
func (v Value) AppendStrings(list []string) (longer []string, ok bool) {
	if !v.IsArray() {
		return list, false
	}
	longer = list
	s := scanner{text: string(v)}
	s.pos++
	s.space()
	if s.peek() == ']' {
		return longer, true
	}
	for {
		if s.peek() != '"' {
			return list, false
		}
		text, err := s.unquoted()
		if err != nil {
			return list, false
		}
		longer = append(longer, text)
		more, err := s.next()
		if err != nil {
			return list, false
		}
		if !more {
			return longer, true
		}
	}
}

// Array returns the elements of an array, as they stand in it. ok is false for
// every other kind, and for an array of more than most elements.
func (v Value) Array(most int) (list []Value, ok bool) {
	if !v.IsArray() {
		return nil, false
	}
	s := scanner{text: string(v), outer: true}
	s.pos++
	s.space()
	if s.peek() == ']' {
		return []Value{}, true
	}
	for {
		start := s.pos
		if err := s.value(1); err != nil || len(list) == most {
			return nil, false
		}
		list = append(list, v[start:s.pos])
		more, err := s.next()
		if err != nil {
			return nil, false
		}
		if !more {
			return list, true
		}
	}
}

// Bool returns the value of true or false. ok is false for every other kind.
func (v Value) Bool() (value, ok bool) {
	switch v {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// Object returns the members of an object. ok is false for every other kind.
func (v Value) Object() (o Object, ok bool) {
	if !v.IsObject() {
		return nil, false
	}
	o, err := Parse(string(v))
	return o, err == nil
}
