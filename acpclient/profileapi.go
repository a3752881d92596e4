package acpclient

import "errors"

// What a profile demands of an API: FAPI 2.0 Security Profile 5.3.4, and of its own
// registration, for introspection, what it demands of a client.

var (
	errUnbound         = invalidToken("unbound", "the token is bound to no key of its client, which the profile demands")
	errUnsignedAnswers = invalidResponse("metadata", "no introspection_signing_alg_values_supported, and Profile "+string(FAPI2MessageSigning)+" is set")
)

// checkProfile reports every setting that contradicts the profile.
func (c *VerifierConfig) checkProfile() error {
	if err := c.Profile.check(); err != nil || c.Profile == "" {
		return err
	}
	d := &demands{profile: c.Profile}
	d.server(c.Issuer, c.Transport)
	d.algs("Algs", c.Algs...)
	if c.Auth != nil {
		d.authentication(c.Auth, c.Issuer, c.ExpectedIssuer)
	}
	return errors.Join(d.errs...)
}

// underProfile is a checked configuration, with what the profile demands where nothing was set.
func (c VerifierConfig) underProfile() VerifierConfig {
	if c.Profile == "" {
		return c
	}
	if c.Algs == nil {
		c.Algs = fapi2Algs
	}
	c.Auth = authUnderProfile(c.Auth)
	return c
}

// judgeBinding demands a token that is worth nothing to a thief (5.3.4). That the sender is none
// is seen where the request is.
func (v *Verifier) judgeBinding(a *AccessToken) error {
	if v.config.Profile != "" && a.Confirmation == nil {
		return errUnbound
	}
	return nil
}
