package strictjson_test

import (
	"testing"

	"github.com/acp-go/acp/internal/strictjson"
)

// The claims of an access token as ACP mints them.
const accessToken = `{"acr":"1","aid":"workspace","amr":["pwd"],"aud":["cid-1234567890","https://api.example/things"],"client_id":"cid-1234567890",` +
	`"exp":1764090000,"iat":1764086400,"idp":"b9d4b4a8c2e54a3f","iss":"https://acme.eu.authz.example/acme/workspace","jti":"6b1e6b6b-43d2-4f2a-9f3e-5d5e7a1c9c11",` +
	`"nbf":1764086400,"scp":["openid","profile","email","offline_access","things.read"],"st":"public","sub":"0f3b5f0a9b2c4d5e8f7a6b5c4d3e2f1a","tid":"acme"}`

func BenchmarkParseAccess(b *testing.B) {
	b.ReportAllocs()
	room := make(strictjson.Object, 0, 16)
	for b.Loop() {
		var err error
		if room, err = strictjson.ParseInto(room, accessToken); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStrings(b *testing.B) {
	b.ReportAllocs()
	o, _ := strictjson.Parse(accessToken)
	v, _ := o.Value("scp")
	for b.Loop() {
		v.Strings()
	}
}

func BenchmarkNumericDate(b *testing.B) {
	for b.Loop() {
		strictjson.Value("1764086400").NumericDate()
	}
}
