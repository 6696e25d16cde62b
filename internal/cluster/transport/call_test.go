package transport

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

const (
	kindEcho  Kind = 1
	kindOther Kind = 2
	bulkEcho       = Bulk + 1
)

func echo(_ context.Context, _ base.NodeID, request []byte) ([]byte, error) { return request, nil }

func withEcho(r Registrar) {
	r.HandleCall(kindEcho, echo)
	r.HandleCall(bulkEcho, echo)
}

func TestCall(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, nil)
	c.start(2, withEcho)
	for _, size := range []int{0, 1, copyBytesMax, copyBytesMax + 1, trustedBytes + 1, 5 << 20} {
		for _, kind := range []Kind{kindEcho, bulkEcho} {
			request := make([]byte, size)
			for i := range request {
				request[i] = byte(i >> 7)
			}
			response, err := a.Call(contextFor(t, patience), 2, kind, request)
			if err != nil || string(response) != string(request) {
				t.Fatalf("kind %d, %d bytes: got %d bytes, %v", kind, size, len(response), err)
			}
		}
	}
	m := a.Metrics()
	if len(m.Peers) != 1 || m.Peers[0].Dials != 2 || m.Peers[0].Connected != [2]bool{true, true} || m.Peers[0].CallsInFlight != 0 {
		t.Fatalf("metrics: %+v", m)
	}
	if _, err := a.Call(t.Context(), 2, kindEcho, make([]byte, limits.TransportFrameBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("too large: %v", err)
	}
	if _, err := a.Call(t.Context(), 3, kindEcho, nil); !errors.Is(err, base.ErrUnavailable) {
		t.Fatalf("a node without address: %v", err)
	}
	if _, err := a.Call(t.Context(), 2, kindOther, nil); !errors.Is(err, base.ErrUnavailable) {
		t.Fatalf("a kind without handler: %v", err)
	}
}

func TestCallToItself(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, withEcho)
	if response, err := a.Call(contextFor(t, patience), 1, kindEcho, []byte("me")); err != nil || string(response) != "me" {
		t.Fatalf("%q, %v", response, err)
	}
}

// TestCallsConcurrently: thousands at once, answered in any order.
func TestCallsConcurrently(t *testing.T) {
	const calls = 5000 // more than limits.TransportCalls
	c := newCluster(t)
	var mu sync.Mutex
	var held []chan struct{}
	a := c.start(1, nil)
	c.start(2, func(r Registrar) {
		r.HandleCall(kindEcho, func(ctx context.Context, _ base.NodeID, request []byte) ([]byte, error) {
			// A hundred wait for each other and answer in reverse order.
			mine := make(chan struct{})
			mu.Lock()
			held = append(held, mine)
			if len(held) == 100 {
				for i := len(held) - 1; i >= 0; i-- {
					close(held[i])
				}
				held = nil
			}
			mu.Unlock()
			select {
			case <-mine:
				return request, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
	})
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			request := fmt.Append(nil, "call ", i)
			if response, err := a.Call(contextFor(t, patience), 2, kindEcho, request); err != nil || string(response) != string(request) {
				t.Errorf("%q: %q, %v", request, response, err)
			}
		})
	}
	wg.Wait()
}

func TestCallErrorsKeepTheirClass(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, nil)
	c.start(2, func(r Registrar) {
		r.HandleCall(kindEcho, func(_ context.Context, _ base.NodeID, request []byte) ([]byte, error) {
			code := binary.LittleEndian.Uint16(request)
			for _, k := range classes {
				if k.code == code {
					return nil, errors.Wrap(k.err, "detail")
				}
			}
			return nil, errors.New("of no class")
		})
	})
	seen := map[uint16]bool{}
	for _, k := range classes {
		if seen[k.code] || k.code == 0 {
			t.Fatalf("code %d twice or zero", k.code)
		}
		seen[k.code] = true
		_, err := a.Call(contextFor(t, patience), 2, kindEcho, binary.LittleEndian.AppendUint16(nil, k.code))
		var remote *RemoteError
		if !errors.Is(err, k.err) || !errors.As(err, &remote) || remote.Node != 2 || !strings.Contains(err.Error(), "detail") {
			t.Errorf("%v came as %v", k.err, err)
		}
		for _, other := range classes {
			if other.code != k.code && errors.Is(err, other.err) {
				t.Errorf("%v came as %v, too", k.err, other.err)
			}
		}
	}
	_, err := a.Call(contextFor(t, patience), 2, kindEcho, []byte{0xFF, 0xFF})
	if err == nil || errors.IsAny(err, base.ErrUnavailable, base.ErrUnknownOutcome) {
		t.Errorf("no class: %v", err)
	}
}

func TestDeadlineAndCancellationTravel(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, nil)
	began, ended := make(chan time.Duration, 1), make(chan error, 1)
	c.start(2, func(r Registrar) {
		r.HandleCall(kindEcho, func(ctx context.Context, _ base.NodeID, _ []byte) ([]byte, error) {
			deadline, ok := ctx.Deadline()
			if ok {
				began <- time.Until(deadline)
			} else {
				began <- 0
			}
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		})
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	failed := make(chan error, 1)
	go func() { _, err := a.Call(ctx, 2, kindEcho, nil); failed <- err }()
	if d := <-began; d <= 0 || d > time.Hour {
		t.Errorf("remaining %v", d)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) || !errors.Is(err, base.ErrUnknownOutcome) {
		t.Errorf("cancelled: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler saw %v", err)
	}
	for within := 20 * time.Millisecond; ; within *= 2 {
		_, err := a.Call(contextFor(t, within), 2, kindEcho, nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("expired: %v", err)
		}
		select {
		case d := <-began:
			if d > within || errors.Is(err, base.ErrUnavailable) {
				t.Errorf("remaining %v, %v", d, err)
			}
			<-ended
			return
		default: // it has not come that far
		}
	}
}

// TestCallsInFlightAreBounded: one more waits, and is certainly not executed when
// it gives up.
func TestCallsInFlightAreBounded(t *testing.T) {
	c := newCluster(t)
	var executed atomic.Int64
	release := make(chan struct{})
	a := c.start(1, nil, func(o *Options) { o.Calls = 2 })
	c.start(2, func(r Registrar) {
		r.HandleCall(kindEcho, func(context.Context, base.NodeID, []byte) ([]byte, error) {
			executed.Add(1)
			<-release
			return nil, nil
		})
	})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := a.Call(contextFor(t, patience), 2, kindEcho, nil); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "two are executing", func() bool { return executed.Load() == 2 })
	if m := a.Metrics().Peers[0]; m.CallsInFlight != 2 {
		t.Errorf("%d calls in flight", m.CallsInFlight)
	}
	if _, err := a.Call(contextFor(t, 5*time.Millisecond), 2, kindEcho, nil); !errors.Is(err, base.ErrUnavailable) {
		t.Errorf("third call: %v", err)
	}
	close(release)
	wg.Wait()
	if executed.Load() != 2 {
		t.Errorf("%d executions", executed.Load())
	}
}

func TestOverloadIsRefused(t *testing.T) {
	c := newCluster(t)
	release := make(chan struct{})
	var executing atomic.Int64
	a := c.start(1, nil)
	c.start(2, func(r Registrar) {
		r.HandleCall(kindEcho, func(context.Context, base.NodeID, []byte) ([]byte, error) {
			executing.Add(1)
			<-release
			return nil, nil
		})
	}, func(o *Options) { o.Serving = 1 })
	first := make(chan error, 1)
	go func() { _, err := a.Call(contextFor(t, patience), 2, kindEcho, nil); first <- err }()
	eventually(t, "one is executing", func() bool { return executing.Load() == 1 })
	_, err := a.Call(contextFor(t, patience), 2, kindEcho, nil)
	if !errors.Is(err, base.ErrUnavailable) || errors.Is(err, base.ErrUnknownOutcome) || !strings.Contains(err.Error(), "overloaded") {
		t.Errorf("second call: %v", err)
	}
	close(release)
	if err := <-first; err != nil || executing.Load() != 1 {
		t.Errorf("first call: %v, %d executions", err, executing.Load())
	}
}

func TestPanicsAreCaught(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, nil)
	b := c.start(2, func(r Registrar) {
		withEcho(r)
		r.HandleMessage(kindEcho, func(base.NodeID, []byte, bool) { panic("message") })
		r.HandleCall(kindOther, func(context.Context, base.NodeID, []byte) ([]byte, error) { panic("call") })
		r.HandleStream(kindOther, func(context.Context, base.NodeID, []byte, Stream) error { panic("stream") })
	})
	if !a.Send(2, kindEcho, nil) {
		t.Error("not sent")
	}
	if _, err := a.Call(contextFor(t, patience), 2, kindOther, nil); !errors.Is(err, ErrInternal) {
		t.Errorf("call: %v", err)
	}
	s, err := a.OpenStream(contextFor(t, patience), 2, kindOther, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Recv(); !errors.Is(err, ErrInternal) {
		t.Errorf("stream: %v", err)
	}
	if _, err := a.Call(contextFor(t, patience), 2, kindEcho, nil); err != nil || a.Metrics().Peers[0].Dials != 1 {
		t.Errorf("the connection did not survive: %v", err)
	}
	if n := b.Metrics().Panics; n != 3 || !c.log.contains("call_test.go") {
		t.Errorf("%d panics counted, or no stack in the log", n)
	}
}

func TestRegistrationEndsWithServe(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, withEcho)
	eventually(t, "it serves", a.handlers.sealed.Load)
	defer func() {
		if recover() == nil {
			t.Error("registered too late")
		}
	}()
	a.HandleCall(kindOther, echo)
}
