package middleware

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"
)

// BearerOptions say what a token must allow, beside being valid. It is a plain value,
// which is copied: a later change has no effect. The zero value asks for a valid token, and nothing more.
type BearerOptions struct {
	// Scopes are needed, all of them. nil needs none.
	Scopes []string

	// AnyScope are scopes of which one is needed. nil needs none; an empty list that is
	// not nil is a mistake, since nothing could satisfy it. The challenge names all of them.
	AnyScope []string

	// MatchScope reports whether a granted scope is as good as a wanted one. nil
	// compares exactly. acpclient.DynamicScope knows ACP's dynamic scopes ("accounts.read.*").
	MatchScope func(granted, wanted string) bool

	// ACRValues are the authentication context classes of which the token's `acr` must be
	// one, the preferred one first (RFC 9470). nil takes any, an empty list is a mistake.
	ACRValues []string

	// MaxAge is how long ago the user may have signed in at most, in whole seconds
	// (RFC 9470), without leeway. A token without `auth_time` is then refused, and one that
	// is more than 30 s in the future. nil takes any.
	MaxAge *time.Duration

	// Optional serves requests without credentials, too; AccessTokenFromContext then gives
	// nil. A request with bad ones is refused all the same.
	Optional bool

	// Realm is shown in challenges: printable ASCII. "" leaves it out.
	Realm string

	// Resource is the identifier of this API, an https URL (RFC 9728). Challenges then name
	// the address where ProtectedResource serves its metadata. "" leaves that out.
	Resource string

	// DPoP takes tokens that are bound to a key of their client, with a proof of it: Authorization: DPoP and the
	// header DPoP (RFC 9449). Tokens that are bound to nothing are still taken as Bearer. nil refuses bound tokens.
	//
	// It needs no InsecureAcceptBound of the verifier: an *acpclient.Verifier and *acpclient.Issuers give
	// their bound tokens here, and a verifier of others does where it has a method VerifyBound like theirs.
	DPoP *DPoPOptions

	// ClientCertificate takes tokens that are bound to a TLS certificate of their client (RFC 8705 3), as Bearer, where
	// the request shows that certificate. nil refuses them. What DPoP says of verifiers holds here, too.
	ClientCertificate *ClientCertificate

	// RequireBound refuses tokens that are bound to nothing, as FAPI 2.0 does. It needs DPoP, ClientCertificate, or both.
	RequireBound bool

	// Logger takes one line for each refusal. nil means slog.Default(), or
	// Config.Logger for RequireSessionOrBearer.
	Logger *slog.Logger
}

// settle checks a copy of the options and fills in the defaults. The error names every mistake.
func (o *BearerOptions) settle() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("BearerOptions."+field+": "+format, args...))
	}
	words := func(field string, values []string, valid func(string) bool, kind string) {
		if values != nil && len(values) == 0 && field != "Scopes" {
			bad(field, "is empty but not nil: no token would do")
		}
		for i, v := range values {
			switch {
			case !valid(v):
				bad(field, "%q is no %s", v, kind)
			case slices.Contains(values[:i], v):
				bad(field, "%q is there twice", v)
			}
		}
	}
	words("Scopes", o.Scopes, isScope, "scope (RFC 6749 3.3)")
	words("AnyScope", o.AnyScope, isScope, "scope (RFC 6749 3.3)")
	for _, s := range o.AnyScope {
		if slices.Contains(o.Scopes, s) {
			bad("AnyScope", "%q is in Scopes, so that the others have no effect", s)
		}
	}
	words("ACRValues", o.ACRValues, func(s string) bool { return s != "" && visible(s) }, "acr value: printable ASCII without spaces")
	if o.MaxAge != nil && (*o.MaxAge < 0 || *o.MaxAge%time.Second != 0) {
		bad("MaxAge", "%v is negative, or no whole number of seconds", *o.MaxAge)
	}
	if !visible(strings.ReplaceAll(o.Realm, " ", "")) {
		bad("Realm", "%q is not printable ASCII", o.Realm)
	}
	if o.Resource != "" {
		if problem := checkResource(o.Resource); problem != "" {
			bad("Resource", "%q %s", o.Resource, problem)
		}
	}
	if o.RequireBound && o.DPoP == nil && o.ClientCertificate == nil {
		bad("RequireBound", "needs DPoP or ClientCertificate: no token would do")
	}
	errs = append(errs, o.ClientCertificate.check())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	o.Scopes, o.AnyScope, o.ACRValues = slices.Clone(o.Scopes), slices.Clone(o.AnyScope), slices.Clone(o.ACRValues)
	if o.MaxAge != nil {
		o.MaxAge = new(*o.MaxAge)
	}
	o.DPoP, o.ClientCertificate = o.DPoP.clone(), o.ClientCertificate.clone()
	o.Logger = cmp.Or(o.Logger, slog.Default())
	return nil
}

// isScope holds for a scope-token of RFC 6749 3.3, which needs no quoting.
func isScope(s string) bool { return s != "" && visible(s) && !strings.ContainsAny(s, `"\`) }

// isNil sees a nil pointer inside an interface, too.
func isNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return r.IsNil()
	}
	return false
}
