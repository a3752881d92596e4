package acpclient

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/acp-go/acp/internal/strictjson"
)

// tokenResponse is a successful answer of the token endpoint (RFC 6749 5.1) that was
// judged member by member.
type tokenResponse struct {
	idToken   string
	scope     string
	expiresIn int64 // seconds; meaningful when hasExpiry
	hasExpiry bool
	bound     bool           // a proof was sent: nothing but a bound token will do
	extra     map[string]any // for oauth2.Token.Extra: all members but the credentials
}

// judgeToken reads the answer, fills r, and returns the part that x/oauth2 reads: from the
// whole it would fold the case of names, take the last of two, and read `expires_in` in its own way.
func (r *tokenResponse) judgeToken(a *answer) ([]byte, error) {
	if a.status != http.StatusOK {
		return nil, a.failed()
	}
	if !a.isJSON() {
		return nil, invalidResponse("response_malformed", "the token response is not application/json")
	}
	doc, err := strictjson.Parse(string(a.body))
	if err != nil {
		return nil, invalidResponse("response_malformed", "the token response: "+clean(err.Error()))
	}
	if v, ok := doc.Value("error"); ok && !v.IsNull() {
		return nil, a.failed()
	}
	var accessToken, tokenType, refreshToken string
	for _, m := range []struct {
		name string
		dst  *string
	}{
		{"access_token", &accessToken}, {"token_type", &tokenType}, {"refresh_token", &refreshToken},
		{"id_token", &r.idToken}, {"scope", &r.scope},
	} {
		v, ok := doc.Value(m.name)
		if !ok || v.IsNull() {
			continue
		}
		if *m.dst, ok = v.String(); !ok {
			reason := "response_malformed"
			if m.name == "id_token" {
				reason = "id_token_missing"
			}
			return nil, invalidResponse(reason, m.name+" is not a string")
		}
	}
	switch {
	case !isVSCHAR(accessToken):
		return nil, invalidResponse("response_malformed", "access_token is missing or not a token")
	case refreshToken != "" && !isVSCHAR(refreshToken):
		return nil, invalidResponse("response_malformed", "refresh_token is not a token")
	case !strings.EqualFold(tokenType, r.tokenType()): // RFC 6749 5.1: any case; RFC 9449 5
		return nil, invalidResponse("token_type", "token_type is not "+r.tokenType())
	}
	if r.expiresIn, r.hasExpiry, err = expiresIn(doc); err != nil {
		return nil, err
	}
	r.extra = extraMembers(doc)
	return json.Marshal(struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		RefreshToken string `json:"refresh_token,omitempty"`
	}{accessToken, "Bearer", refreshToken})
}

// tokenType is the one that is demanded.
func (r *tokenResponse) tokenType() string {
	if r.bound {
		return "DPoP"
	}
	return "Bearer"
}

// isVSCHAR holds for a token that fits into an Authorization header (RFC 6749 A.12),
// without the space that would split it.
func isVSCHAR(s string) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// expiresIn takes a number or a string with one; fractions are floored.
func expiresIn(doc strictjson.Object) (seconds int64, ok bool, err error) {
	v, present := doc.Value("expires_in")
	if !present || v.IsNull() {
		return 0, false, nil
	}
	text := string(v)
	if s, isString := v.String(); isString {
		text = s
	} else if !v.IsNumber() {
		return 0, false, invalidResponse("response_malformed", "expires_in is not a number")
	}
	f, err := strconv.ParseFloat(text, 64)
	if math.IsNaN(f) || err != nil && !math.IsInf(f, 0) || strings.ContainsAny(text, "xXpP_iI") {
		return 0, false, invalidResponse("response_malformed", "expires_in is not a number")
	}
	const most = 100 * 365 * 24 * float64(time.Hour/time.Second)
	return int64(math.Floor(max(min(f, most), -1))), true, nil
}

// extraMembers are all members of the answer but those that oauth2.Token has fields for, and the
// ID token, which is not verified yet.
func extraMembers(doc strictjson.Object) map[string]any {
	extra := make(map[string]any, len(doc))
	for _, m := range doc {
		switch m.Name {
		case "access_token", "token_type", "refresh_token", "expires_in", "id_token":
			continue
		}
		if s, ok := m.Value.String(); ok {
			extra[m.Name] = s
			continue
		}
		var v any
		if json.Unmarshal([]byte(m.Value), &v) == nil { // a number beyond float64 is left out
			extra[m.Name] = v
		}
	}
	return extra
}
