package strictjson_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/acp-go/acp/internal/strictjson"
)

// texts are inputs of Parse and what it says: "" accepts them. They are the seeds
// of FuzzParse too.
var texts = []struct{ name, text, err string }{
	{"empty object", `{}`, ""},
	{"white space around", " \t\r\n{ \"a\" : [ 1 , { } , [ ] ] , \"b\" : null }\n", ""},
	{"every kind", `{"s":"x","n":-1.5e+3,"t":true,"f":false,"z":null,"a":[1,"2",[3]],"o":{"a":{}}}`, ""},
	{"ID-15 names differ in case", `{"aud":"other","AUD":"cid"}`, ""},
	{"JW-02 names differ in case", `{"issuer":"good","ISSUER":"evil"}`, ""},
	{"same name in two objects", `{"a":{"x":1},"b":{"x":1},"x":[{"x":1},{"x":1}]}`, ""},
	{"non-ASCII", `{"sub":"jürgen 🐟"}`, ""},
	{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\uDC1F\u0000"}`, ""},
	{"U+FFFD itself", `{"a":"\ufffd` + "\ufffd" + `"}`, ""},

	{"ID-16 duplicate", `{"sub":"a","sub":"b"}`, "duplicate member"},
	{"ID-16 duplicate, equal values", `{"exp":1,"exp":1}`, "duplicate member"},
	{"ID-16 duplicate by escape", `{"sub":"a","s\u0075b":"b"}`, "duplicate member"},
	{"ID-16 duplicate by two escapes", `{"\u0073ub":"a","s\u0075b":"b"}`, "duplicate member"},
	{"ID-16 duplicate below", `{"cnf":{"jkt":"a","jkt":"b"}}`, "duplicate member"},
	{"ID-16 duplicate far below", `{"a":[[{"b":{"c":1,"d":{"x":1},"c":2}}]]}`, "duplicate member"},
	{"ID-16 duplicate empty name", `{"":1,"":2}`, "duplicate member"},
	{"ID-16 duplicate after a nested object", `{"o":{"a":{"b":1,"c":2},"d":3,"a":4}}`, "duplicate member"},
	{"ID-16 duplicate among many", object(40, "7"), "duplicate member"},
	{"ID-16 duplicate of the last among many", object(40, "39"), "duplicate member"},
	{"ID-16 duplicate among many, below", `{"o":` + object(40, "3") + `}`, "duplicate member"},

	{"ID-13 invalid UTF-8", "{\"sub\":\"a\xff\"}", "invalid UTF-8"},
	{"invalid UTF-8 in a name", "{\"a\xc0\xaf\":1}", "invalid UTF-8"},
	{"surrogate as UTF-8", "{\"a\":\"\xed\xa0\x80\"}", "invalid UTF-8"},
	{"byte order mark", "\ufeff{}", "not an object"},
	{"lone high surrogate", `{"a":"\ud83d"}`, "bad escape"},
	{"lone low surrogate", `{"a":"\udc1f"}`, "bad escape"},
	{"two high surrogates", `{"a":"\ud83d\ud83d"}`, "bad escape"},
	{"half a pair and a letter", `{"a":"\ud83dx"}`, "bad escape"},
	{"lone surrogate in a name", `{"\ud83d":1}`, "bad escape"},
	{"unknown escape", `{"a":"\x41"}`, "bad escape"},
	{"short escape", `{"a":"\u12"}`, "bad escape"},
	{"sign in an escape", `{"a":"\u+123"}`, "bad escape"},
	{"escape at the end", `{"a":"\`, "bad escape"},
	{"control character", "{\"a\":\"\n\"}", "control character"},
	{"NUL", "{\"a\":\"\x00\"}", "control character"},

	{"nothing", ``, "not an object"},
	{"white space only", ` `, "not an object"},
	{"null", `null`, "not an object"},
	{"array", `[{}]`, "not an object"},
	{"string", `"a"`, "not an object"},
	{"number", `1`, "not an object"},
	{"HTML", `<html>`, "not an object"},
	{"two objects", `{}{}`, "data after the object"},
	{"trailing text", `{} x`, "data after the object"},
	{"trailing NUL", "{}\x00", "data after the object"},
	{"comment", `{}//`, "data after the object"},
	{"form feed is no white space", "{\f}", "name is missing"},
	{"no-break space", "{\u00a0}", "name is missing"},
	{"open", `{`, "name is missing"},
	{"no quotes", `{a:1}`, "name is missing"},
	{"single quotes", `{'a':1}`, "name is missing"},
	{"comma first", `{,"a":1}`, "name is missing"},
	{"comma last", `{"a":1,}`, "name is missing"},
	{"two commas", `{"a":1,,"b":2}`, "name is missing"},
	{"no colon", `{"a" 1}`, "colon is missing"},
	{"only a name", `{"a"`, "colon is missing"},
	{"no value", `{"a":}`, "value is missing"},
	{"cut at the value", `{"a":`, "value is missing"},
	{"no comma", `{"a":1 "b":2}`, "comma or a brace is missing"},
	{"wrong bracket", `{"a":1]`, "comma or a brace is missing"},
	{"cut after the value", `{"a":1`, "comma or a brace is missing"},
	{"unfinished string", `{"a":"x}`, "unfinished string"},
	{"unfinished name", `{"a`, "unfinished string"},
	{"array without a comma", `{"a":[1 2]}`, "comma or a bracket is missing"},
	{"array with a last comma", `{"a":[1,]}`, "value is missing"},
	{"open array", `{"a":[1`, "comma or a bracket is missing"},
	{"literal in capitals", `{"a":True}`, "value is missing"},
	{"literal cut", `{"a":nul`, "unknown literal"},
	{"literal wrong", `{"a":nulL}`, "unknown literal"},
	{"literal with a tail", `{"a":truex}`, "comma or a brace is missing"},
	{"leading zero", `{"a":01}`, "comma or a brace is missing"},
	{"plus", `{"a":+1}`, "value is missing"},
	{"point first", `{"a":.5}`, "value is missing"},
	{"point last", `{"a":1.}`, "digit is missing"},
	{"minus only", `{"a":-}`, "digit is missing"},
	{"exponent without digits", `{"a":1e}`, "digit is missing"},
	{"exponent with a sign only", `{"a":1e+}`, "digit is missing"},
	{"hexadecimal", `{"a":0x1}`, "comma or a brace is missing"},
	{"NaN", `{"a":NaN}`, "value is missing"},

	{"as deep as allowed", `{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`, ""},
	{"arrays too deep", `{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, "nested too deep"},
	{"objects too deep", strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), "nested too deep"},
	{"deep and never closed", `{"a":` + strings.Repeat("[", 100_000), "nested too deep"},
	{"as many members as allowed", object(1000, ""), ""},
	{"too many members", object(1001, ""), "too many members"},
	{"too many members below", `{"a":[` + object(1001, "") + `]}`, "too many members"},
}

// object has n members, and then one more of the name last, unless that is "".
func object(n int, last string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"` + strconv.Itoa(i) + `":0`)
	}
	if last != "" {
		b.WriteString(`,"` + last + `":0`)
	}
	return "{" + b.String()[1:] + "}"
}

func TestParse(t *testing.T) {
	for _, tt := range texts {
		t.Run(tt.name, func(t *testing.T) {
			o, err := strictjson.Parse(tt.text)
			switch {
			case tt.err == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case tt.err == "" && o == nil:
				t.Fatal("no object and no error")
			case tt.err == "":
			case err == nil:
				t.Fatal("accepted")
			case !strings.Contains(err.Error(), tt.err):
				t.Fatalf("refused with %q, want %q", err, tt.err)
			case o != nil:
				t.Fatal("an object beside the error")
			}
		})
	}
}

func TestParseOuter(t *testing.T) {
	many := `{"0":0` + strings.Repeat(`,"x":[0]`, 2000) + `}`
	for _, bad := range []string{ // JW-19
		`{"kid":"a","kid":"b"}`, object(40, "3"), `{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		many, `{"kid":"\ud800"}`, "{\"kid\":\"\xff\"}", `{"b" 1}`, `{"kid":"\q"}`, "{\"kid\":\"\x00\"}",
	} {
		o, err := strictjson.ParseOuter(`{"keys":[` + bad + `,{"kid":"]}\"[\\"},` + bad + `]}`)
		if err != nil {
			t.Fatalf("%.40s: %v", bad, err)
		}
		v, _ := o.Value("keys")
		list, ok := v.Array(3)
		if !ok || len(list) != 3 {
			t.Fatalf("%.40s: %d, %v", bad, len(list), ok)
		}
		for i, want := range []bool{false, true, false} {
			if _, ok := list[i].Object(); ok != want {
				t.Errorf("%.40s: part %d: %v", bad, i, ok)
			}
		}
	}
	for _, text := range []string{
		`{"keys":[],"keys":[]}`, object(1001, "3"), `{"a":[{"b":1]}`, `{"a":[{"b":1}}`, `{"a":["]}`, `{"a":["\`, `{"a":[`, `{"a":"\ud800"}`,
		`{"a":[]]}`, `{"a":[{]}]}`, `{"a":{}{}}`, `{"a" []}`,
	} {
		if _, err := strictjson.ParseOuter(text); err == nil {
			t.Errorf("%.40s: accepted", text)
		}
	}
}

// Names are compared within one object: not with those of the objects in it, or before it.
func TestNestedNames(t *testing.T) {
	for _, text := range []string{
		`{"x":{"a":{"b":1},"b":2}}`, `{"x":{"b":1},"y":{"b":1}}`, `{"x":[{"b":1},{"b":1}],"b":1}`, `{"a":{"a":{"a":{"a":1}}}}`,
	} {
		if _, err := strictjson.Parse(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{`{"x":{"b":{"c":1},"b":2}}`, `{"x":[{"b":1,"c":{"b":1},"b":1}]}`} {
		if _, err := strictjson.Parse(text); err == nil {
			t.Errorf("%s: accepted", text)
		}
	}
}

func TestParseErrorQuotesNothing(t *testing.T) {
	for _, text := range []string{`{"secret":1,"secret":2}`, `{"a":"secret`, `{"a":secret}`, `{} secret`} {
		if _, err := strictjson.Parse(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// allocations are those of reading data once. What else happens in the process is counted, too, and
// not three times.
func allocations(t *testing.T, data []byte) float64 {
	parse := func() {
		if _, err := strictjson.Parse(string(data)); err != nil {
			t.Fatal(err)
		}
	}
	return min(testing.AllocsPerRun(20, parse), testing.AllocsPerRun(20, parse), testing.AllocsPerRun(20, parse))
}

// TestParseIsBounded guards against comparing every name with every other one.
func TestParseIsBounded(t *testing.T) {
	// 16 KiB, as large as a token may be, in the shapes that cost most.
	for name, text := range map[string]string{
		"members":        object(1000, ""),
		"escaped":        `{"a":"` + strings.Repeat(`\u0041`, 2700) + `"}`,
		"nested objects": `{"a":[` + strings.TrimSuffix(strings.Repeat(`{"a":{"b":0}},`, 1100), ",") + `]}`,
	} {
		data := []byte(text)
		if allocs := allocations(t, data); allocs > 40 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func TestObjectValue(t *testing.T) {
	o, err := strictjson.Parse(`{"aud":"x","AUD":"y","n":null,"\u0061\ud83d\udc1f":1}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"aud": `"x"`, "AUD": `"y"`, "n": `null`, "a🐟": `1`} {
		if v, ok := o.Value(name); !ok || string(v) != want {
			t.Errorf("%q: %s, %v", name, v, ok)
		}
	}
	for _, name := range []string{"Aud", "aud ", "", "N", `\u0061\ud83d\udc1f`} {
		if v, ok := o.Value(name); ok || v != "" {
			t.Errorf("%q is there: %s", name, v)
		}
	}
	if _, ok := strictjson.Object(nil).Value("a"); ok {
		t.Error("nil holds something")
	}
}

func TestKinds(t *testing.T) {
	kinds := map[string]func(strictjson.Value) bool{
		"null": strictjson.Value.IsNull, "string": strictjson.Value.IsString, "number": strictjson.Value.IsNumber,
		"object": strictjson.Value.IsObject, "array": strictjson.Value.IsArray, "bool": strictjson.Value.IsBool,
	}
	for text, want := range map[string]string{
		`null`: "null", `"null"`: "string", `0`: "number", `-1`: "number", `9e9`: "number",
		`{}`: "object", `[]`: "array", `true`: "bool", `false`: "bool", ``: "",
	} {
		v := value(t, text)
		for kind, is := range kinds {
			if is(v) != (kind == want) {
				t.Errorf("%q: Is %s says %v", text, kind, is(v))
			}
		}
		if _, ok := v.String(); ok != (want == "string") {
			t.Errorf("%q: String", text)
		}
		if _, ok := v.Bool(); ok != (want == "bool") {
			t.Errorf("%q: Bool", text)
		}
		if _, ok := v.Object(); ok != (want == "object") {
			t.Errorf("%q: Object", text)
		}
		if _, ok := v.Array(1 << 20); ok != (want == "array") {
			t.Errorf("%q: Array", text)
		}
		if _, ok := v.Strings(); ok != (want == "array") {
			t.Errorf("%q: Strings", text)
		}
		if _, ok := v.Int64(); ok != (want == "number") {
			t.Errorf("%q: Int64", text)
		}
		if _, err := v.NumericDate(); err != nil && text == "0" {
			t.Errorf("%q: NumericDate: %v", text, err)
		}
	}
}

// value parses text as the member of an object; "" is no value.
func value(t testing.TB, text string) strictjson.Value {
	t.Helper()
	if text == "" {
		return ""
	}
	o, err := strictjson.Parse(`{"v": ` + text + ` }`)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	v, _ := o.Value("v")
	return v
}

func TestValueString(t *testing.T) {
	for text, want := range map[string]string{
		`""`: "", `"a b"`: "a b", `"\u0041\n\/\""`: "A\n/\"", `"\ud83d\udc1f!"`: "🐟!", `"ü\\u"`: `ü\u`,
	} {
		if got, ok := value(t, text).String(); !ok || got != want {
			t.Errorf("%s: %q, %v", text, got, ok)
		}
	}
}

func TestValueStrings(t *testing.T) {
	for text, want := range map[string][]string{ // ID-09, ID-10
		`[]`: {}, `[ ]`: {}, `["cid"]`: {"cid"}, `[ "a" , "b,c" , "\u0064" ]`: {"a", "b,c", "d"}, `["]","["]`: {"]", "["},
	} {
		if got, ok := value(t, text).Strings(); !ok || got == nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", text, got, ok)
		}
	}
	for _, text := range []string{`[null]`, `[1,"cid"]`, `["cid",1]`, `[["cid"]]`, `"cid"`, `null`, `{}`, `["cid",{}]`} {
		if got, ok := value(t, text).Strings(); ok || got != nil {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestValueArrayAndObject(t *testing.T) {
	list, ok := value(t, `[ {"a":[1]} , 2,"x,y" ]`).Array(3)
	if !ok || len(list) != 3 || string(list[0]) != `{"a":[1]}` || string(list[1]) != `2` || string(list[2]) != `"x,y"` {
		t.Fatalf("%s, %v", list, ok)
	}
	if _, ok := value(t, `[1,2,3]`).Array(2); ok {
		t.Error("three elements where two are allowed")
	}
	o, ok := list[0].Object()
	if a, there := o.Value("a"); !ok || !there || string(a) != `[1]` {
		t.Fatalf("%v, %v", o, ok)
	}
}

func TestNumbers(t *testing.T) {
	const none = -1 << 63 // no row has this value
	for _, tt := range []struct {
		text  string
		int64 int64 // none: not one
		date  int64 // none: not one
	}{
		{`0`, 0, 0},
		{`-0`, 0, 0},
		{`-0.0`, 0, 0}, // ID-19: equals 0, so long expired
		{`1`, 1, 1},
		{`1.5`, 1, 1}, // ID-19
		{`1.999999999999999999999999`, 1, 1},
		{`1.7e9`, 1700000000, 1700000000},
		{`1.7E+9`, 1700000000, 1700000000},
		{`17000000000e-1`, 1700000000, 1700000000},
		{`17000000009e-1`, 1700000000, 1700000000},
		{`0.17e10`, 1700000000, 1700000000},
		{`1700000000.000`, 1700000000, 1700000000},
		{`1e-999999999999999999999`, 0, 0},
		{`0e999999999999999999999`, 0, 0},
		{`0.0000000000000000000000000000001e31`, 1, 1},
		{`1` + strings.Repeat("0", 5000) + `e-5000`, 1, 1},
		{`253402300799`, 253402300799, 253402300799},
		{`253402300799.9`, 253402300799, 253402300799},
		{`253402300800`, 253402300800, none}, // the year 10000
		{`1e12`, 1e12, none},
		{`9007199254740993`, 9007199254740993, none}, // a float64 has not this one
		{`9223372036854775807`, 1<<63 - 1, none},     // ID-19, ID-20: 2^63-1
		{`9223372036854775807.9`, 1<<63 - 1, none},
		{`9223372036854775808`, none, none},
		{`18446744073709551615`, none, none}, // ID-19
		{`18446744073709551616`, none, none}, // 2^64: would wrap to 0
		{`18446744073709551617`, none, none},
		{`184467440737095516160`, none, none},
		{`1e19`, none, none},  // ID-19
		{`1e300`, none, none}, // ID-19, ID-20
		{`1E400`, none, none}, // ID-19
		{`1e99999999999999999999999999`, none, none},
		{`-1`, -1, none}, // ID-19
		{`-0.1`, -1, none},
		{`-1e-30`, -1, none},
		{`-1.5`, -2, none},
		{`-9223372036854775807.5`, none, none}, // is none's own value, checked below
		{`-9223372036854775809`, none, none},
		{`-1e300`, none, none},
		{`"9999999999"`, none, none}, // ID-17
		{`"x"`, none, none},          // ID-20
		{`""`, none, none},           // ID-17
		{`true`, none, none},         // ID-17
		{`null`, none, none},         // ID-17
		{`[1]`, none, none},          // ID-17
		{`{}`, none, none},
	} {
		v := value(t, tt.text)
		if tt.text != `-9223372036854775807.5` {
			if n, ok := v.Int64(); ok != (tt.int64 != none) || ok && n != tt.int64 {
				t.Errorf("%.40s: Int64 %d, %v", tt.text, n, ok)
			}
		}
		d, err := v.NumericDate()
		if (err == nil) != (tt.date != none) || err == nil && d.Unix() != tt.date {
			t.Errorf("%.40s: NumericDate %v, %v", tt.text, d, err)
		}
		if err != nil && !d.IsZero() {
			t.Errorf("%.40s: a date beside the error", tt.text)
		}
	}
	if n, ok := value(t, `-9223372036854775808`).Int64(); !ok || n != -1<<63 {
		t.Errorf("the least int64: %d, %v", n, ok)
	}
	if n, ok := value(t, `-9223372036854775807.5`).Int64(); !ok || n != -1<<63 {
		t.Errorf("rounded to the least int64: %d, %v", n, ok)
	}
	if d, _ := value(t, `253402300799`).NumericDate(); d.UTC().Format(time.RFC3339) != "9999-12-31T23:59:59Z" {
		t.Errorf("the last second is %v", d)
	}
}

// TestHandmadeValues: the methods must not panic on what Parse has not seen.
func TestHandmadeValues(t *testing.T) {
	for _, text := range []string{``, `"`, `""`, `"\"`, `"\u12"`, `"\ud83d"`, `[`, `["`, `["a"`, `["\x"]`, `[1`, `{`, `{"a"`, `-`, `1e`, `1e+`, `1.`, `t`, `n`, `1x`, "[\"a\xff\"]"} {
		exercise(strictjson.Value(text))
	}
	for _, text := range []string{`1x`, `1e`, `-`, `01`} {
		if _, ok := strictjson.Value(text).Int64(); ok {
			t.Errorf("%q is a number", text)
		}
	}
}

func exercise(v strictjson.Value) {
	v.String()
	v.Strings()
	v.Array(1 << 20)
	_, _ = v.Bool()
	v.Object()
	v.NumericDate()
	v.Int64()
}

const claims = `{"iss":"https://acp.example.com/tenant/workspace","sub":"u-4711","aud":["api-1","client-1"],"exp":1763942400,` +
	`"iat":1763938800,"nbf":1763938800,"jti":"4f0c7b62a9","scp":["openid","things.read"],"st":"public",` +
	`"tid":"tenant","aid":"workspace","client_id":"client-1"}`

func TestParseAllocations(t *testing.T) {
	if n := allocations(t, []byte(claims)); n > 6 {
		t.Errorf("12 claims cost %v allocations, want at most 6", n)
	}
}

func BenchmarkParse(b *testing.B) {
	data := []byte(claims)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := strictjson.Parse(string(data)); err != nil {
			b.Fatal(err)
		}
	}
}

// plain converts a value as encoding/json would with UseNumber.
func plain(t testing.TB, v strictjson.Value) any {
	switch {
	case v.IsNull():
		return nil
	case v.IsBool():
		b, ok := v.Bool()
		if !ok {
			t.Fatalf("not a bool: %s", v)
		}
		return b
	case v.IsNumber():
		return json.Number(v)
	case v.IsString():
		s, ok := v.String()
		if !ok {
			t.Fatalf("not a string: %s", v)
		}
		return s
	case v.IsArray():
		list, ok := v.Array(1 << 20)
		if !ok {
			t.Fatalf("not an array: %s", v)
		}
		out := make([]any, 0, len(list))
		texts := true
		for _, e := range list {
			out = append(out, plain(t, e))
			texts = texts && e.IsString()
		}
		if _, ok := v.Strings(); ok != texts {
			t.Fatalf("Strings of %s: %v", v, ok)
		}
		return out
	}
	o, ok := v.Object()
	if !ok {
		t.Fatalf("no value: %s", v)
	}
	return plainObject(t, o)
}

func plainObject(t testing.TB, o strictjson.Object) map[string]any {
	out := make(map[string]any, len(o))
	for _, m := range o {
		out[m.Name] = plain(t, m.Value)
	}
	if len(out) != len(o) {
		t.Fatalf("a name stands twice in %v", o)
	}
	return out
}

func TestPlain(t *testing.T) {
	o, err := strictjson.Parse(claims)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	d := json.NewDecoder(strings.NewReader(claims))
	d.UseNumber()
	if err := d.Decode(&want); err != nil || !reflect.DeepEqual(plainObject(t, o), want) {
		t.Errorf("%v differs from %v (%v)", plainObject(t, o), want, err)
	}
}
