package middleware_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// RFC 9470, on a clock that stands still at the start of a second.
func TestBearerSignIn(t *testing.T) {
	mfa, five := []string{"urn:acp:mfa", "urn:acp:hw"}, new(300*time.Second)
	for _, row := range []struct {
		name   string
		acrs   []string
		maxAge *time.Duration
		acr    string
		ago    time.Duration // of the sign-in; 0 for a token without auth_time
		status int
	}{
		{"BR-21 nothing is asked for", nil, nil, "", 0, 200},
		{"BR-21 the first acr", mfa, nil, "urn:acp:mfa", 0, 200},
		{"BR-21 the second acr", mfa, nil, "urn:acp:hw", 0, 200},
		{"BR-21 no acr", mfa, nil, "", 0, 401},
		{"BR-21 another acr", mfa, nil, "urn:acp:pwd", 0, 401},
		{"BR-21 another case", mfa, nil, "URN:ACP:MFA", 0, 401},
		{"BR-21 both in one", mfa, nil, "urn:acp:mfa urn:acp:hw", 0, 401},
		{"BR-21 just now", nil, five, "", time.Nanosecond, 200},
		{"BR-21 at the limit", nil, five, "", 300 * time.Second, 200},
		{"BR-21 within its second", nil, five, "", 301*time.Second - 1, 200},
		{"BR-21 too old", nil, five, "", 301 * time.Second, 401},
		{"BR-21 no auth_time", nil, five, "", 0, 401},
		{"BR-21 no auth_time, and any age would do", nil, new(math.MaxInt64 / time.Second * time.Second), "", 0, 401},
		{"BR-21 in the future, within the leeway", nil, five, "", -30 * time.Second, 200},
		{"BR-21 in the future", nil, five, "", -31 * time.Second, 401},
		{"BR-21 max_age 0", nil, new(time.Duration(0)), "", time.Second, 401},
		{"BR-21 strong, and too old", mfa, five, "urn:acp:mfa", time.Hour, 401},
		{"BR-21 fresh, and too weak", mfa, five, "urn:acp:pwd", time.Second, 401},
		{"BR-21 both", mfa, five, "urn:acp:mfa", time.Second, 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				token := &acpclient.AccessToken{ACR: row.acr}
				if row.ago != 0 {
					token.AuthTime = time.Now().Add(-row.ago)
				}
				o := &middleware.BearerOptions{ACRValues: row.acrs, MaxAge: row.maxAge, Logger: (&logBuffer{}).logger()}
				w := serve(protect(t, verifies(token), o)(shows), bearer("t"))
				if w.Code != row.status {
					t.Fatalf("%d %q", w.Code, w.Header().Get("WWW-Authenticate"))
				}
				if row.status == 200 {
					return
				}
				isPrivate(t, w.Header())
				challenge, age := w.Header().Get("WWW-Authenticate"), ""
				if row.maxAge != nil {
					age = fmt.Sprint(int64(*row.maxAge / time.Second))
				}
				if parameter(challenge, "error") != "insufficient_user_authentication" ||
					parameter(challenge, "acr_values") != strings.Join(row.acrs, " ") || parameter(challenge, "max_age") != age {
					t.Errorf("challenge %q", challenge)
				}
			})
		})
	}
}
