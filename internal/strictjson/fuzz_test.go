package strictjson_test

import (
	"bytes"
	stdjson "encoding/json"
	"math"
	"math/big"
	"reflect"
	"testing"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/acp-go/acp/internal/strictjson"
)

// FuzzParse holds Parse against two other readers: what encoding/json refuses it
// must refuse, and what it accepts go-jose's fork, which is exact about names and
// refuses duplicates, must accept and understand the same way.
func FuzzParse(f *testing.F) {
	for _, tt := range texts {
		if len(tt.text) < 4096 {
			f.Add([]byte(tt.text))
		}
	}
	f.Add([]byte(claims))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := strictjson.Parse(string(data))
		exercise(strictjson.Value(data))
		if err != nil {
			return
		}
		if !stdjson.Valid(data) {
			t.Fatal("encoding/json refuses it")
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.SetNumberType(json.UnmarshalJSONNumber)
		var want map[string]any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("go-jose refuses it: %v", err)
		}
		if got := plainObject(t, o); !reflect.DeepEqual(got, normal(want)) {
			t.Fatalf("%v, go-jose has %v", got, want)
		}
	})
}

// normal replaces go-jose's number type by encoding/json's.
func normal(v any) any {
	switch v := v.(type) {
	case json.Number:
		return stdjson.Number(v)
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = normal(v[name])
		}
	}
	return v
}

// FuzzInt64 holds the rounding against exact arithmetic.
func FuzzInt64(f *testing.F) {
	for _, text := range []string{"0", "-1.5", "1.7e9", "9223372036854775807", "-9223372036854775808", "18446744073709551616e-1", "1e19", "0.001e3", "-0.0e5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v := strictjson.Value(text)
		n, ok := v.Int64()
		if date, err := v.NumericDate(); (err == nil) != (ok && 0 <= n && n <= 253402300799) || err == nil && date.Unix() != n {
			t.Fatalf("NumericDate %v, %v; Int64 %d, %v", date, err, n, ok)
		}
		valid := v.IsNumber() && stdjson.Valid([]byte(text)) && len(bytes.TrimSpace([]byte(text))) == len(text)
		if !valid {
			if ok {
				t.Fatalf("%q is no number", text)
			}
			return
		}
		if i := bytes.IndexAny([]byte(text), "eE"); i >= 0 && len(text)-i > 6 {
			return // exact arithmetic would take too long
		}
		exact, fine := new(big.Rat).SetString(text)
		if !fine {
			t.Fatalf("math/big refuses %q", text)
		}
		floor := new(big.Int).Div(exact.Num(), exact.Denom()) // Euclidean, and the denominator is positive
		inside := floor.Cmp(big.NewInt(math.MinInt64)) >= 0 && floor.Cmp(big.NewInt(math.MaxInt64)) <= 0
		if ok != inside || ok && floor.Int64() != n {
			t.Fatalf("%q: %d, %v; want %v", text, n, ok, floor)
		}
	})
}
