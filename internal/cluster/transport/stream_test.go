package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

const (
	kindDown Kind = Bulk + 20 // the handler sends chunks until it may not
	kindUp   Kind = Bulk + 21 // the handler counts what comes
	kindBoth Kind = Bulk + 22 // the handler echoes
)

// streams are handlers; ended gets what each of them returns.
type streams struct{ ended chan error }

func (s *streams) register(r Registrar) {
	s.ended = make(chan error, 1000)
	wrap := func(h StreamHandler) StreamHandler {
		return func(ctx context.Context, from base.NodeID, request []byte, st Stream) error {
			err := h(ctx, from, request, st)
			s.ended <- err
			return err
		}
	}
	// The request is the number of chunks, and their size.
	r.HandleStream(kindDown, wrap(func(_ context.Context, _ base.NodeID, request []byte, st Stream) error {
		chunks, size := binary.LittleEndian.Uint32(request), binary.LittleEndian.Uint32(request[4:])
		for i := range chunks {
			if err := st.Send(bytes.Repeat([]byte{byte(i)}, int(size))); err != nil {
				return err
			}
		}
		return nil
	}))
	r.HandleStream(kindUp, wrap(func(_ context.Context, _ base.NodeID, _ []byte, st Stream) error {
		total := 0
		for {
			chunk, err := st.Recv()
			if errors.Is(err, io.EOF) {
				return errors.Wrapf(base.ErrConflict, "%d bytes", total)
			}
			if err != nil {
				return err
			}
			total += len(chunk)
		}
	}))
	r.HandleStream(kindBoth, wrap(func(_ context.Context, _ base.NodeID, _ []byte, st Stream) error {
		for {
			chunk, err := st.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = st.Send(chunk)
			}
			if err != nil {
				return err
			}
		}
	}))
}

func down(chunks, size int) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(chunks)), uint32(size))
}

func open(t *testing.T, a *Transport, kind Kind, request []byte) ClientStream {
	t.Helper()
	s, err := a.OpenStream(contextFor(t, patience), 2, kind, request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestStreamDown(t *testing.T) {
	c := newCluster(t)
	var h streams
	a := c.start(1, nil)
	c.start(2, h.register)
	for _, size := range []int{0, 100, limits.TransportChunkBytes} {
		const chunks = 100
		s := open(t, a, kindDown, down(chunks, size))
		for i := range chunks {
			chunk, err := s.Recv()
			if err != nil || !bytes.Equal(chunk, bytes.Repeat([]byte{byte(i)}, size)) {
				t.Fatalf("chunk %d of %d bytes: %d bytes, %v", i, size, len(chunk), err)
			}
		}
		for range 2 {
			if _, err := s.Recv(); !errors.Is(err, io.EOF) {
				t.Fatalf("end: %v", err)
			}
		}
		if err := s.Send(nil); !errors.Is(err, ErrStreamEnded) {
			t.Fatalf("sent after the end: %v", err)
		}
	}
	eventually(t, "the streams are counted as ended", func() bool {
		m := a.Metrics().Peers[0]
		return m.StreamsOpen == 0 && m.Connected == [2]bool{false, true}
	})
}

func TestStreamUpEndsWithError(t *testing.T) {
	c := newCluster(t)
	var h streams
	a := c.start(1, nil)
	c.start(2, h.register)
	s := open(t, a, kindUp, nil)
	for range 300 {
		if err := s.Send(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Send(make([]byte, limits.TransportChunkBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("large chunk: %v", err)
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(nil); !errors.Is(err, ErrStreamEnded) {
		t.Fatalf("sent after End: %v", err)
	}
	if _, err := s.Recv(); !errors.Is(err, base.ErrConflict) || err.Error() != "node 2: 3000000 bytes: "+base.ErrConflict.Error() {
		t.Fatalf("the handler's error came as %v", err)
	}
}

func TestStreamsBothWays(t *testing.T) {
	c := newCluster(t)
	var h streams
	a := c.start(1, nil)
	c.start(2, h.register)
	var wg sync.WaitGroup
	for i := range 50 {
		s := open(t, a, kindBoth, nil)
		wg.Go(func() {
			for j := range 200 {
				if err := s.Send(fmt.Appendf(nil, "%d of %d", j, i)); err != nil {
					t.Error(err)
					return
				}
			}
			if err := s.End(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for j := range 200 {
				if chunk, err := s.Recv(); err != nil || string(chunk) != fmt.Sprintf("%d of %d", j, i) {
					t.Errorf("chunk %d of %d: %q, %v", j, i, chunk, err)
					return
				}
			}
			if _, err := s.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("end: %v", err)
			}
		})
	}
	wg.Wait()
}

// TestSlowReceiverHoldsNobodyUp: a stream that is not read stops its sender within
// the window; another one on the same connection goes on.
func TestSlowReceiverHoldsNobodyUp(t *testing.T) {
	c := newCluster(t)
	var h streams
	a := c.start(1, nil)
	c.start(2, h.register)
	slow := open(t, a, kindDown, down(1000, 10_000)).(clientStream)
	fast := open(t, a, kindDown, down(1000, 10_000))
	for range 1000 {
		if _, err := fast.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-h.ended; err != nil {
		t.Fatal(err)
	}
	arrived := func() int {
		slow.mu.Lock()
		defer slow.mu.Unlock()
		return slow.mu.arrived
	}
	eventually(t, "the window is full", func() bool { return arrived() > limits.TransportStreamBytes-10_000-headerBytes })
	if n := arrived(); n > limits.TransportStreamBytes {
		t.Errorf("%d bytes in memory", n)
	}
	for range 1000 {
		if _, err := slow.Recv(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStreamCancelledByCaller(t *testing.T) {
	c := newCluster(t)
	var h streams
	a := c.start(1, nil)
	c.start(2, h.register)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, kind := range []Kind{kindDown, kindBoth} { // one waits for credit, the other for a chunk
		s, err := a.OpenStream(ctx, 2, kind, down(1000, 10_000))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if kind == kindDown {
			if _, err := s.Recv(); err != nil {
				t.Fatal(err)
			}
			s.Close()
		} else {
			if err := s.Send(nil); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Recv(); err != nil {
				t.Fatal(err)
			}
			cancel()
			if _, err := s.Recv(); !errors.Is(err, context.Canceled) || !errors.Is(err, base.ErrUnknownOutcome) {
				t.Errorf("after cancellation: %v", err)
			}
		}
		if err := <-h.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the handler of kind %d ended with %v", kind, err)
		}
	}
	eventually(t, "nothing is open", func() bool { return a.Metrics().Peers[0].StreamsOpen == 0 })
}

func TestStreamsAreBounded(t *testing.T) {
	c := newCluster(t)
	var h streams
	a := c.start(1, nil, func(o *Options) { o.Streams = 1 })
	c.start(2, h.register)
	s := open(t, a, kindBoth, nil)
	if _, err := a.OpenStream(contextFor(t, 5*1e6), 2, kindBoth, nil); !errors.Is(err, base.ErrUnavailable) {
		t.Errorf("second stream: %v", err)
	}
	s.Close()
	open(t, a, kindBoth, nil)
}

func TestStreamEndsWithConnection(t *testing.T) {
	c := newCluster(t)
	var h streams
	d := &faults{}
	a := c.start(1, nil, d.use)
	c.start(2, h.register)
	s := open(t, a, kindBoth, nil)
	if err := s.Send([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	_ = d.last().Close()
	if _, err := s.Recv(); !errors.Is(err, base.ErrUnknownOutcome) {
		t.Errorf("receiving: %v", err)
	}
	if err := s.Send(nil); !errors.Is(err, base.ErrUnknownOutcome) {
		t.Errorf("sending: %v", err)
	}
	if err := <-h.ended; err == nil {
		t.Error("the handler noticed nothing")
	}
	eventually(t, "a new connection works", func() bool {
		s, err := a.OpenStream(contextFor(t, patience), 2, kindUp, nil)
		if err != nil {
			return false
		}
		defer s.Close()
		_ = s.End()
		_, err = s.Recv()
		return errors.Is(err, base.ErrConflict)
	})
}

// TestStreamBeyondCreditEndsConnection: a sender that ignores the window.
func TestStreamBeyondCreditEndsConnection(t *testing.T) {
	c := newCluster(t)
	var h streams
	a := c.start(1, nil)
	c.start(2, func(r Registrar) {
		h.register(r)
		r.HandleStream(kindOther, func(ctx context.Context, _ base.NodeID, _ []byte, _ Stream) error {
			<-ctx.Done()
			return ctx.Err()
		})
	})
	s := open(t, a, kindOther, nil).(clientStream)
	s.mu.Lock()
	s.mu.credit *= 100
	s.mu.Unlock()
	var err error
	for err == nil {
		err = s.Send(make([]byte, limits.TransportChunkBytes))
	}
	if !errors.Is(err, base.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	c.says("more data than there was credit for")
}

// TestStreamsCancelledTogether: whoever notices first that a caller has gone, every
// stream says so.
func TestStreamsCancelledTogether(t *testing.T) {
	c := newCluster(t)
	var h streams
	a := c.start(1, nil)
	c.start(2, h.register)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all []ClientStream
	for range limits.TransportStreams {
		s, err := a.OpenStream(ctx, 2, kindBoth, down(1000, 10_000))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		all = append(all, s)
	}
	cancel()
	for i, s := range all {
		var err error
		for err == nil {
			_, err = s.Recv()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("stream %d: %v", i, err)
		}
	}
}
