package acpclient

import (
	"context"
	"crypto"
	"log/slog"
	"math/rand/v2"
	"time"
)

// The hooks of the key tests.

type Key struct {
	Kid, Alg, ID string
	Public       crypto.PublicKey
	key          *key
}

func ParseJWKS(body []byte) (keys []Key, problems []string, err error) {
	list, problems, err := parseJWKS(body)
	for _, k := range list {
		keys = append(keys, Key{k.kid, k.alg, k.id, k.public, k})
	}
	return keys, problems, err
}

func (k Key) Verify(alg string, signingInput, sig []byte) bool {
	return verifySignature(k.key, alg, signingInput, sig)
}

func (k Key) Fits(alg string) bool { return algFits(k.key, alg) }

var VerifyHMAC = verifyHMAC

type KeySet struct{ s *keySet }

type KeySetOptions struct {
	Fetch    func(ctx context.Context) (body []byte, maxAge time.Duration, ok bool, err error)
	MaxStale time.Duration
	Now      func() time.Time
	Log      *slog.Logger
	Jitter   func() float64
}

func NewKeySet(o KeySetOptions) KeySet {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	return KeySet{newKeySet(o.Fetch, keySetOptions{maxStale: o.MaxStale, now: o.Now, log: o.Log, jitter: o.Jitter})}
}

func (k KeySet) Verify(ctx context.Context, alg, kid string, hasKid bool, signingInput, sig []byte) error {
	_, _, err := k.s.verify(ctx, &jws{joseHeader: &joseHeader{alg: alg, kid: kid, hasKid: hasKid}, signingInput: signingInput, signature: sig})
	return err
}

// VerifyPrepared is Verify for a header that was read before.
func (k KeySet) VerifyPrepared(alg, kid string) func(ctx context.Context, signingInput, sig []byte) error {
	header := &joseHeader{alg: alg, kid: kid, hasKid: true}
	return func(ctx context.Context, signingInput, sig []byte) error {
		_, _, err := k.s.verify(ctx, &jws{joseHeader: header, signingInput: signingInput, signature: sig})
		return err
	}
}

func (k KeySet) Ready(ctx context.Context) error { return k.s.ready(ctx) }
func (k KeySet) Close()                          { k.s.close() }
