package acpclient

import (
	"encoding"
	"reflect"
	"strings"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/acp-go/acp/internal/strictjson"
)

// decode is json.Unmarshal with exact names, for a JSON object. The usual target, a
// struct of plain fields, takes a short way to the same result: go-jose's decoder
// allocates for each value that it passes, wanted or not.
func decode(object string, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Struct || decodesItself(v) {
		return json.Unmarshal([]byte(object), v)
	}
	names, ok := memberNames(p.Elem().Type())
	if !ok {
		return json.Unmarshal([]byte(object), v)
	}
	members, err := strictjson.Parse(object)
	if err != nil {
		return json.Unmarshal([]byte(object), v) // for its error
	}
	var first error // as json.Unmarshal: a field that does not fit does not keep the others out
	for i, name := range names {
		value, there := members.Value(name)
		if name == "" || !there {
			continue
		}
		if err := decodeField(value, p.Elem().Field(i)); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// memberNames are the members that a struct's fields take, "" for none. ok is false where
// the rules of encoding/json ask for more than one name a field.
func memberNames(t reflect.Type) (names []string, ok bool) {
	names = make([]string, t.NumField())
	for i := range names {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		switch {
		case f.Anonymous:
			return nil, false
		case !f.IsExported(), tag == "-":
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if strings.Contains(options, "string") || tagged && strings.ContainsFunc(name, unusual) {
			return nil, false
		}
		if name == "" {
			name = f.Name
		}
		for _, other := range names[:i] {
			if other == name {
				return nil, false
			}
		}
		names[i] = name
	}
	return names, true
}

// unusual holds for what a name of a tag may not hold, or seldom does.
func unusual(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_-.:/#", r))
}

func decodeField(value strictjson.Value, field reflect.Value) error {
	target := field.Addr().Interface()
	if !decodesItself(target) {
		switch field.Kind() {
		case reflect.String:
			if s, ok := value.String(); ok {
				field.SetString(s)
				return nil
			}
		case reflect.Bool:
			if b, ok := value.Bool(); ok {
				field.SetBool(b)
				return nil
			}
		}
	}
	return json.Unmarshal([]byte(value), target)
}

func decodesItself(v any) bool {
	switch v.(type) {
	case json.Unmarshaler, encoding.TextUnmarshaler:
		return true
	}
	return false
}
