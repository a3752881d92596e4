package acpclient_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/acp-go/acp/acpclient"
)

type upper string

func (u *upper) UnmarshalJSON(b []byte) error { *u = upper(b); return nil }

type word string

func (w *word) UnmarshalText(b []byte) error { *w = word("text " + string(b)); return nil }

type whole struct{ Raw string }

func (w *whole) UnmarshalJSON(b []byte) error { w.Raw = string(b); return nil }

type inner struct {
	Subject string `json:"sub"`
}

// Claims must do what go-jose's decoder does, which has exact names (ID-15), whatever
// way it takes: the same values in the same fields, and an error for the same claims.
func TestDecodeIsLikeTheDecoder(t *testing.T) {
	type plain struct {
		Subject  string         `json:"sub"`
		Verified bool           `json:"email_verified,omitempty"`
		Age      int            `json:"age"`
		Ratio    *float64       `json:"ratio"`
		Groups   []string       `json:"groups"`
		Address  inner          `json:"address"`
		Any      any            `json:"any"`
		More     map[string]any `json:"more"`
		At       time.Time      `json:"at"`
		Upper    upper          `json:"upper"`
		Word     word           `json:"word"`
		URI      string         `json:"https://example.com/claim#1"`
		Skipped  string         `json:"-"`
		Untagged string
		hidden   string
	}
	_ = plain{}.hidden // it must stay empty

	type embedded struct {
		inner
		Name string `json:"name"`
	}
	type quoted struct {
		Age int `json:"age,string"`
	}
	type twice struct {
		A string `json:"B"`
		B string
	}
	type odd struct {
		A string `json:"a b"`
		B string `json:"näme"`
	}
	targets := []func() any{
		func() any { return new(plain) },
		func() any {
			return &plain{Subject: "before", Verified: true, Groups: []string{"x"}, Untagged: "before"}
		},
		func() any { return new(embedded) }, func() any { return new(quoted) }, func() any { return new(twice) },
		func() any { return new(odd) }, func() any { return new(whole) }, func() any { return new(map[string]any) },
		func() any { return new(any) }, func() any { return new(string) }, func() any { return (*plain)(nil) },
		func() any { return plain{} }, func() any { return nil }, func() any { return new(*plain) },
	}
	payloads := []string{
		`{}`, `{"sub":"a"}`, `{"B":"a"}`, `{"sub":null,"email_verified":null,"age":null,"groups":null}`,
		`{"SUB":"evil","Sub":"evil","sub":"good"}`, `{"SUB":"evil"}`, `{"ſub":"evil"}`,
		`{"sub":"é\u00e9\n\"","email_verified":true,"age":7,"ratio":1.5,"groups":["a","b"],"address":{"sub":"in","SUB":"x"}}`,
		`{"sub":1}`, `{"sub":["a"],"email_verified":"true","age":"7"}`, `{"sub":{},"age":1}`, `{"age":1e300,"sub":"a"}`,
		`{"any":{"a":[1,2,{"b":null}]},"more":{"x":1},"at":"2026-01-02T03:04:05Z","upper":"u","word":"w","name":"n"}`,
		`{"at":"never","sub":"after the error"}`, `{"https://example.com/claim#1":"yes","-":"dash","Skipped":"no","Untagged":"u","untagged":"no","hidden":"no"}`,
		`{"a b":"1","näme":"2","age":"12"}`, `{"word":3}`, `{"upper":null,"word":null}`,
		`{"sub":"a","sub":"b"}`, `{"sub":"a"`, `[]`, ``, `{"address":{"sub":"a","sub":"b"}}`,
	}
	for _, payload := range payloads {
		for i, target := range targets {
			want, got := target(), target()
			wantErr, gotErr := json.Unmarshal([]byte(payload), want), acpclient.Decode([]byte(payload), got)
			if (wantErr == nil) != (gotErr == nil) {
				t.Errorf("%s into target %d: %v, want %v", payload, i, gotErr, wantErr)
			}
			if wantErr == nil && !reflect.DeepEqual(want, got) {
				t.Errorf("%s into target %d: %+v, want %+v", payload, i, got, want)
			}
		}
	}
}
