package frameworks_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/acp-go/acp/acpclient"
	"github.com/acp-go/acp/acptest"
	"github.com/acp-go/acp/examples/frameworks"
	"github.com/acp-go/acp/middleware"
)

// service answers with whom the token names.
type service struct {
	grpc_testing.UnimplementedTestServiceServer
}

func whoCalls(ctx context.Context) string {
	if token := frameworks.AccessToken(ctx); token != nil {
		return token.Subject
	}
	return "nobody"
}

func (service) UnaryCall(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return &grpc_testing.SimpleResponse{Username: whoCalls(ctx)}, nil
}

func (service) EmptyCall(ctx context.Context, _ *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	return &grpc_testing.Empty{}, grpc.SetHeader(ctx, metadata.Pairs("who", whoCalls(ctx)))
}

func (service) StreamingOutputCall(_ *grpc_testing.StreamingOutputCallRequest, stream grpc_testing.TestService_StreamingOutputCallServer) error {
	return stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: &grpc_testing.Payload{Body: []byte(whoCalls(stream.Context()))}})
}

const methods = "/grpc.testing.TestService/"

// serveGRPC serves the service behind the interceptors.
func serveGRPC(t *testing.T, v middleware.TokenVerifier) grpc_testing.TestServiceClient {
	t.Helper()
	b := &frameworks.GRPCBearer{
		Verifier: v,
		Scopes:   map[string][]string{methods + "UnaryCall": {"things.read"}, methods + "StreamingOutputCall": {"things.read"}},
		Public:   []string{methods + "EmptyCall"},
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(b.Unary), grpc.StreamInterceptor(b.Stream))
	grpc_testing.RegisterTestServiceServer(server, service{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }() // ends with Stop
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return grpc_testing.NewTestServiceClient(conn)
}

// calls are one of each kind. They return whom the service saw.
var calls = map[string]func(context.Context, grpc_testing.TestServiceClient) (string, error){
	"unary": func(ctx context.Context, client grpc_testing.TestServiceClient) (string, error) {
		response, err := client.UnaryCall(ctx, &grpc_testing.SimpleRequest{})
		return response.GetUsername(), err
	},
	"stream": func(ctx context.Context, client grpc_testing.TestServiceClient) (string, error) {
		stream, err := client.StreamingOutputCall(ctx, &grpc_testing.StreamingOutputCallRequest{})
		if err != nil {
			return "", err
		}
		response, err := stream.Recv()
		if err == nil {
			if _, end := stream.Recv(); !errors.Is(end, io.EOF) {
				return "", end
			}
		}
		return string(response.GetPayload().GetBody()), err
	},
}

func TestGRPC(t *testing.T) {
	s := acptest.NewServer(t, nil)
	down := acptest.NewServer(t, nil)
	down.SetUnreachable(true)
	up, cut := serveGRPC(t, newVerifier(t, s)), serveGRPC(t, newVerifier(t, down))
	accepting, err := acpclient.NewVerifier(acpclient.VerifierConfig{Issuer: s.Issuer, Audience: s.Audience, InsecureAcceptBound: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepting.Close(context.Background()) })
	lax := serveGRPC(t, accepting)
	read := s.AccessToken(map[string]any{"scp": "things.read"})
	for name, row := range map[string]struct {
		client grpc_testing.TestServiceClient
		values []string
		code   codes.Code
	}{
		"good":                        {up, []string{"Bearer " + read}, codes.OK},
		"BR-02 another case":          {up, []string{"bEARER " + read}, codes.OK},
		"BR-01 nothing":               {up, nil, codes.Unauthenticated},
		"BR-03 no token":              {up, []string{"Bearer"}, codes.Unauthenticated},
		"BR-02 two spaces":            {up, []string{"Bearer  " + read}, codes.OK},
		"BR-04 another scheme":        {up, []string{"Basic " + read}, codes.Unauthenticated},
		"BR-06 two values":            {up, []string{"Bearer " + read, "Bearer " + read}, codes.Unauthenticated},
		"BR-11 expired":               {up, []string{"Bearer " + s.AccessToken(map[string]any{"scp": "things.read", "exp": time.Now().Unix() - 60})}, codes.Unauthenticated},
		"BR-12 another audience":      {up, []string{"Bearer " + s.AccessToken(map[string]any{"scp": "things.read", "aud": "x"})}, codes.Unauthenticated},
		"BR-17 an ID token":           {up, []string{"Bearer " + s.IDToken(map[string]any{"aud": s.Audience, "nonce": "n"})}, codes.Unauthenticated},
		"BR-18 another scope":         {up, []string{"Bearer " + s.AccessToken(nil)}, codes.PermissionDenied},
		"BR-24 no keys":               {cut, []string{"Bearer " + down.AccessToken(map[string]any{"scp": "things.read"})}, codes.Unavailable},
		"DP-01 bound":                 {up, []string{"Bearer " + s.AccessToken(map[string]any{"scp": "things.read", "cnf": map[string]any{"jkt": "x"}})}, codes.Unauthenticated},
		"DP-01 bound, a lax verifier": {lax, []string{"Bearer " + s.AccessToken(map[string]any{"scp": "things.read", "cnf": map[string]any{"jkt": "x"}})}, codes.Unauthenticated},
		"good, with a lax verifier":   {lax, []string{"Bearer " + read}, codes.OK},
		"CF-03 nor is no judgement":   {serveGRPC(t, failing{silent: true}), []string{"Bearer " + read}, codes.Unavailable},
		"CF-03 not judged is not ok":  {serveGRPC(t, failing{}), []string{"Bearer " + read}, codes.Unavailable},
	} {
		for kind, call := range calls {
			t.Run(kind+"/"+name, func(t *testing.T) {
				ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": row.values, "x-forwarded-user": {"root"}})
				who, err := call(ctx, row.client)
				if code := status.Code(err); code != row.code || (who == "alice") != (code == codes.OK) {
					t.Errorf("%v, %q: %v", code, who, err)
				}
				if err != nil && strings.Contains(err.Error(), "expired") {
					t.Errorf("the check that failed is told: %v", err)
				}
			})
		}
	}
}

// failing is a verifier that knows nothing.
type failing struct{ silent bool }

func (f failing) Verify(context.Context, string) (*acpclient.AccessToken, error) {
	if f.silent {
		return nil, nil
	}
	return nil, errors.New("out of order")
}

// A public method needs no token, and a method that nobody listed takes none.
func TestGRPCMethods(t *testing.T) {
	s := acptest.NewServer(t, nil)
	client := serveGRPC(t, newVerifier(t, s))
	var header metadata.MD
	if _, err := client.EmptyCall(t.Context(), &grpc_testing.Empty{}, grpc.Header(&header)); err != nil || header.Get("who")[0] != "nobody" {
		t.Errorf("public: %v, %v", header, err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.AccessToken(map[string]any{"scp": "things.read"}))
	if _, err := client.UnimplementedCall(ctx, &grpc_testing.Empty{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("not listed: %v", err)
	}
}

// A caller that gave up is no sign that the server is down.
func TestGRPCCallerGivesUp(t *testing.T) {
	s := acptest.NewServer(t, nil)
	s.Handle(acptest.JWKSEndpoint, acptest.Hang())
	b := &frameworks.GRPCBearer{Verifier: newVerifier(t, s), Scopes: map[string][]string{"/x": nil}}
	ctx, cancel := context.WithCancel(metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+s.AccessToken(nil))))
	ended := make(chan error, 1)
	go func() {
		_, err := b.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/x"}, func(context.Context, any) (any, error) { return nil, nil })
		ended <- err
	}()
	if err := s.Wait(t.Context(), acptest.JWKSEndpoint, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; status.Code(err) != codes.Canceled {
		t.Errorf("%v", err)
	}
}
