package acpclient

import (
	"slices"
	"strings"
	"time"
)

// AccessToken is what a verified access token says. The same value may be given to
// several requests: do not change it.
type AccessToken struct {
	Issuer   string
	Subject  string    // of client_credentials tokens: the client itself
	ClientID string    // "" where the token does not say
	Audience []string  // at least one, VerifierConfig.Audience among them
	Scopes   []string  // nil for none
	Expiry   time.Time // zero only where an introspection answer does not say
	IssuedAt time.Time // zero where the token does not say

	Tenant    string    // ACP's tenant: `tid`, of an introspection answer `tenant_id`; "" where it does not say
	Workspace string    // ACP's workspace: `aid`, of an introspection answer `server_id`; "" where it does not say
	ACR       string    // how strongly the user signed in (OIDC Core 2); "" where the token does not say
	AMR       []string  // by which methods (RFC 8176); nil where the token does not say
	AuthTime  time.Time // when the user signed in; zero where the token does not say

	// Confirmation is the key that the token is bound to, and nil for a token that is not.
	// Verify gives such tokens only where VerifierConfig.InsecureAcceptBound lets them pass.
	Confirmation *Confirmation

	claims string // the JSON object
}

// Confirmation names the key that a sender must prove to hold (RFC 7800 3.1). One of the
// fields is set at least.
type Confirmation struct {
	JKT     string // thumbprint of a DPoP key (RFC 9449 6.1)
	X5tS256 string // hash of a TLS client certificate (RFC 8705 3.1)
}

// HasScope reports whether the token was granted the scope, exactly as written.
func (a *AccessToken) HasScope(scope string) bool { return slices.Contains(a.Scopes, scope) }

// Claims decodes all claims into v, like json.Unmarshal but with exact names: a field Email
// without the tag `json:"email"` stays empty. Of an opaque token they are the members of the
// introspection answer.
func (a *AccessToken) Claims(v any) error { return decode(a.claims, v) }

// DynamicScope reports whether a granted scope is the wanted one, or one of ACP's dynamic
// scopes that the wanted one stands for: "accounts.read.*" takes "accounts.read.own", and
// "accounts.read" takes nothing but itself. The star stands for one or more characters, and
// only at the end, behind a separator ("." or ":").
func DynamicScope(granted, wanted string) bool {
	prefix, dynamic := strings.CutSuffix(wanted, "*")
	if !dynamic || !strings.HasSuffix(prefix, ".") && !strings.HasSuffix(prefix, ":") {
		return granted == wanted
	}
	rest, ok := strings.CutPrefix(granted, prefix)
	return ok && rest != ""
}

// judgeAccess applies the rules that hold for a JWT and for an introspection answer alike.
// a is then complete but for issuer and claims.
func (v *Verifier) judgeAccess(c claims, names *placeNames, needsExp bool, room *scratch, a *AccessToken) (times validity, err error) {
	// ACP signs ID tokens, logout tokens and access tokens with the same keys and typ:
	// these claims tell them apart.
	for i := range c {
		switch mark := c[i].Name; mark {
		case "nonce", "at_hash", "c_hash", "events":
			return times, invalidToken("token_use", "a token with "+mark+" is no access token")
		}
	}
	if a.Confirmation, err = c.confirmation(); err != nil {
		return times, err
	}
	// The lists are read into room, and then get one piece of memory for all three.
	lists, err := c.appendAudience(room.lists[:0])
	defer func() { room.lists = lists }()
	if err != nil {
		return times, err
	}
	audiences := len(lists)
	if !slices.Contains(lists, v.config.Audience) {
		return times, invalidToken("audience", "aud does not name this API")
	}
	if times, err = c.validity(v.now(), v.config.Leeway, needsExp); err != nil {
		return times, err
	}
	a.Expiry, a.IssuedAt = times.expiry, times.issuedAt
	if a.Subject, err = c.subject(); err != nil {
		return times, err
	}
	if a.ClientID, _, err = c.text("client_id"); err != nil {
		return times, err
	}
	if lists, err = c.appendScopes(lists); err != nil {
		return times, err
	}
	scopes := len(lists)
	if lists, err = a.describe(c, names, lists); err != nil {
		return times, err
	}
	kept := slices.Clone(lists)
	a.Audience = kept[:audiences:audiences]
	if scopes > audiences {
		a.Scopes = kept[audiences:scopes:scopes]
	}
	if len(kept) > scopes {
		a.AMR = kept[scopes:]
	}
	return times, nil
}

// placeNames are how ACP names tenant and workspace: one way in a JWT, another in an
// introspection answer. There the other names are free for claims that anybody configured.
type placeNames struct{ tenant, workspace string }

var (
	placesOfJWT    = &placeNames{"tid", "aid"}
	placesOfAnswer = &placeNames{"tenant_id", "server_id"}
)

// describe reads what is there to be told, and judged by nobody here. null is nothing. The
// methods are appended to lists.
func (a *AccessToken) describe(c claims, names *placeNames, lists []string) ([]string, error) {
	for i := range c { // one pass: most tokens have few of them
		m := &c[i]
		if m.Value.IsNull() {
			continue
		}
		var ok bool
		switch m.Name {
		case names.tenant:
			a.Tenant, ok = m.Value.String()
		case names.workspace:
			a.Workspace, ok = m.Value.String()
		case "acr":
			a.ACR, ok = m.Value.String()
		case "amr":
			lists, ok = m.Value.AppendStrings(lists)
		case "auth_time":
			var err error
			a.AuthTime, err = m.Value.NumericDate()
			ok = err == nil
		default:
			continue
		}
		if !ok {
			return lists, invalidToken("token_malformed", m.Name+" is of a wrong type")
		}
	}
	return lists, nil
}

// confirmation reads cnf. Whether its key was shown is asked for each request.
func (c claims) confirmation() (*Confirmation, error) {
	cnf, ok := c.value("cnf")
	if !ok {
		return nil, nil
	}
	members, ok := cnf.Object()
	if !ok {
		return nil, invalidToken("bound", "cnf is not an object")
	}
	var known Confirmation
	for _, m := range [...]struct {
		name string
		into *string
	}{{"jkt", &known.JKT}, {"x5t#S256", &known.X5tS256}} {
		if value, ok := members.Value(m.name); ok {
			if *m.into, _ = value.String(); *m.into == "" {
				return nil, invalidToken("bound", "cnf is malformed")
			}
		}
	}
	if known == (Confirmation{}) { // RFC 7800 3.1: a key of a kind that nobody here can check
		return nil, invalidToken("bound", "cnf names no known kind of key")
	}
	return &known, nil
}
