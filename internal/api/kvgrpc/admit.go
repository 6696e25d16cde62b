package kvgrpc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"runtime/debug"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/stratadb/strata/internal/netloop"
)

// admit decides about a call before its message is read (D5).
func (s *Server) admit(ctx context.Context, call *tap.Info) (context.Context, error) {
	if s.o.Password != "" {
		if !authorized(call.Header.Get("authorization"), s.o.Password) {
			return nil, statusOf(errUnauthenticated).Err()
		}
		return ctx, nil
	}
	p, known := peer.FromContext(ctx)
	if !s.o.Unprotected && !(known && netloop.Loopback(p.Addr)) {
		return nil, statusOf(errProtected).Err()
	}
	return ctx, nil
}

// authorized reports whether the one header is the bearer of the password. Hashes
// are compared, so that the time tells nothing, not even the password's length.
func authorized(headers []string, password string) bool {
	if len(headers) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(password))
	return strings.EqualFold(scheme, "bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// unary runs a call and words its error.
func (s *Server) unary(ctx context.Context, req any, call *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer s.recovered(call.FullMethod, &err)
	if resp, err = handler(ctx, req); err == nil {
		return resp, nil
	}
	return nil, s.worded(call.FullMethod, err)
}

// worded is an error in the protocol's words.
func (s *Server) worded(method string, err error) error {
	st := statusOf(err)
	if seriousTable[st.Code()] {
		s.log.Error("call failed", slog.String("method", method), slog.Any("error", err))
	}
	return st.Err()
}

// stream runs a call that answers again and again; it ends when the server stops. The
// reflection and health services word their errors themselves.
func (s *Server) stream(srv any, ss grpc.ServerStream, call *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer s.recovered(call.FullMethod, &err)
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	if err = handler(srv, &endingStream{ss, ctx}); err == nil {
		return nil
	}
	if _, worded := status.FromError(err); worded {
		return err
	}
	return s.worded(call.FullMethod, err)
}

// endingStream is a stream with a context that ends with the server.
type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s *endingStream) Context() context.Context { return s.ctx }

// recovered turns a panic into an answer (D4).
func (s *Server) recovered(method string, err *error) {
	if p := recover(); p != nil {
		s.log.Error("call panicked", slog.String("method", method), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		*err = statusOf(errPanic).Err()
	}
}
