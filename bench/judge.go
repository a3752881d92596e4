package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// judge is one way to tell a good access token from a bad one. All do the same work:
// the signature by a key of the server's set, the issuer, the audience, the expiry, and
// whether apiScope was granted.
type judge struct {
	title string

	// verify returns the token's subject.
	verify func(ctx context.Context, token string) (subject string, err error)

	// batch gets ready for these tokens, and returns what verifies one of them. One
	// goroutine at a time calls that. nil means verify, which needs no preparation.
	batch func(ctx context.Context, tokens []string) (func(i int) (subject string, err error), error)

	close func() // nil where there is nothing to close
}

// newJudge makes a judge that is cold: without keys, unless the library cannot do
// without. keyAge is how long it may believe a key set where that is a setting; 0
// means what the library's documentation does.
type newJudge func(ctx context.Context, s *server, keyAge time.Duration) (*judge, error)

// judges are all that keep keys. The SDK's are first, and so many of them:
const ours = 3

var judges = []newJudge{
	newHandlerJudge,
	newVerifierJudge(verifierTitle, &cacheSize),
	newVerifierJudge("Verifier, remembering none", new(int)),
	newKeyfuncJudge, newGoOIDCJudge, newGoOIDCHandlerJudge, newJWXJudge, newAuth0Judge, newZitadelJudge, newCapJudge,
}

const (
	verifierTitle = "this SDK: Verifier"
	goOIDCTitle   = "go-oidc"
)

// makeJudges makes them all, and shows each a good token, so that the keys are known.
func makeJudges(ctx context.Context, s *server) (all []*judge, err error) {
	good, err := s.accessToken(nil)
	if err != nil {
		return nil, err
	}
	for _, make := range judges {
		j, err := make(ctx, s, 0)
		if err == nil {
			all = append(all, j)
			err = j.accept(ctx, good)
		}
		if err != nil {
			closeAll(all)
			return nil, err
		}
	}
	return all, nil
}

func closeAll(all []*judge) {
	for _, j := range all {
		j.shut()
	}
}

func (j *judge) shut() {
	if j.close != nil {
		j.close()
	}
}

// start returns what verifies one of the tokens.
func (j *judge) start(ctx context.Context, tokens []string) (func(i int) (string, error), error) {
	if j.batch != nil {
		return j.batch(ctx, tokens)
	}
	return func(i int) (string, error) { return j.verify(ctx, tokens[i]) }, nil
}

// accept returns an error unless the token is taken for the user's.
func (j *judge) accept(ctx context.Context, token string) error {
	one, err := j.start(ctx, []string{token})
	if err != nil {
		return errors.Join(errors.New(j.title), err)
	}
	subject, err := one(0)
	if err == nil && subject != theUser.Subject {
		err = errWrongUser
	}
	if err != nil {
		return errors.Join(errors.New(j.title), err)
	}
	return nil
}

// refuse returns an error unless the token is refused.
func (j *judge) refuse(ctx context.Context, token string) error {
	one, err := j.start(ctx, []string{token})
	if err != nil {
		return errors.Join(errors.New(j.title), err)
	}
	if _, err := one(0); err == nil {
		return errors.Join(errors.New(j.title), errAccepted)
	}
	return nil
}

var (
	errAccepted = errors.New("a bad token was taken")
	errScope    = errors.New("the scope was not granted")
)

// granted is the API's own check, where a library has none.
func granted(scopes []string) error {
	if !slices.Contains(scopes, apiScope) {
		return errScope
	}
	return nil
}
