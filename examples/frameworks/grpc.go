package frameworks

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/middleware"
)

// GRPCBearer protects the methods of a gRPC server:
//
//	b := &GRPCBearer{Verifier: verifier, Scopes: map[string][]string{"/shop.Things/List": {"things.read"}}}
//	server := grpc.NewServer(grpc.UnaryInterceptor(b.Unary), grpc.StreamInterceptor(b.Stream))
//
// A call without a good token is Unauthenticated, one that lacks a scope PermissionDenied, and
// one whose token cannot be judged now Unavailable. A stream is judged when it begins.
type GRPCBearer struct {
	Verifier middleware.TokenVerifier // an *acpclient.Verifier, or *acpclient.Issuers

	// Scopes are those that a method needs, all of them, by its full name. An empty list
	// takes any good token. A method that is not there is refused.
	Scopes map[string][]string

	// Public methods need no token, and get none.
	Public []string
}

// Unary is a grpc.UnaryServerInterceptor.
func (b *GRPCBearer) Unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	ctx, err := b.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(ctx, request)
}

// Stream is a grpc.StreamServerInterceptor.
func (b *GRPCBearer) Stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := b.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(server, &streamWithContext{stream, ctx})
}

// AccessToken is the token of the call; nil in a public method.
func AccessToken(ctx context.Context) *acpclient.AccessToken {
	token, _ := ctx.Value(tokenKey{}).(*acpclient.AccessToken)
	return token
}

type tokenKey struct{} // known to nobody else, so that nobody else can say who calls

type streamWithContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *streamWithContext) Context() context.Context { return s.ctx }

// admit returns the context for the method. The caller is not told which check failed:
// that stands in the log.
func (b *GRPCBearer) admit(ctx context.Context, method string) (context.Context, error) {
	if slices.Contains(b.Public, method) {
		return ctx, nil
	}
	raw, ok := bearerOf(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "an access token is needed")
	}
	token, err := b.Verifier.Verify(ctx, raw)
	switch {
	case ctx.Err() != nil: // the caller gave up
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, acpclient.ErrInvalidToken):
		return nil, refusal(method, err, codes.Unauthenticated, "the access token is not accepted")
	case err != nil || token == nil:
		return nil, refusal(method, err, codes.Unavailable, "the access token cannot be judged now")
	case token.Confirmation != nil: // bound to a key, which a bearer does not show
		return nil, status.Error(codes.Unauthenticated, "the access token is not accepted")
	case !b.allows(method, token):
		return nil, status.Error(codes.PermissionDenied, "the access token does not allow this")
	}
	return context.WithValue(ctx, tokenKey{}, token), nil
}

func (b *GRPCBearer) allows(method string, token *acpclient.AccessToken) bool {
	needed, known := b.Scopes[method]
	return known && !slices.ContainsFunc(needed, func(scope string) bool { return !token.HasScope(scope) })
}

func refusal(method string, err error, code codes.Code, text string) error {
	slog.Warn("a call was refused", "method", method, "code", code.String(), "reason", acpclient.Reason(err))
	return status.Error(code, text)
}

// bearerOf is the one token in the call's metadata.
func bearerOf(ctx context.Context) (token string, ok bool) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}
