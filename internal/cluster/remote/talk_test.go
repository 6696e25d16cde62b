package remote

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/limits"
)

// pipe is one end of a stream in memory.
type pipe struct {
	out, in chan []byte
	ctx     context.Context
	close   context.CancelFunc
}

func newPipes() (a, b *pipe) {
	ctx, cancel := context.WithCancel(context.Background())
	x, y := make(chan []byte), make(chan []byte)
	return &pipe{x, y, ctx, cancel}, &pipe{y, x, ctx, cancel}
}

func (p *pipe) Send(b []byte) error {
	if len(b) > limits.TransportChunkBytes {
		return errors.New("too large")
	}
	select {
	case p.out <- b:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *pipe) Recv() ([]byte, error) {
	select {
	case b := <-p.in:
		return b, nil
	case <-p.ctx.Done():
		return nil, io.EOF
	}
}

// talkers are two trunks, of whom the second one answers each word of a talk, until it hears "bye".
func talkers(t *testing.T) (mine, other *trunk, a *pipe) {
	t.Helper()
	a, b := newPipes()
	mine, other = newTrunk(), newTrunk()
	mine.idle = a.close
	go func() { _ = mine.run(context.Background(), a, nil) }()
	go func() {
		_ = other.run(context.Background(), b, func(k *talk, kind transport.Kind, request []byte) {
			go func() {
				defer k.Close()
				_ = k.Send(fmt.Appendf(nil, "%d %s", kind, request))
				for {
					word, err := k.Recv()
					if err != nil || string(word) == "bye" {
						return
					}
					_ = k.Send(word)
				}
			}()
		})
		a.close()
	}()
	return mine, other, a
}

func (t *trunk) start(tt *testing.T, request string) *talk {
	tt.Helper()
	k, err := t.begin(context.Background(), 0)
	if err != nil {
		tt.Fatal(err)
	}
	t.add(base.AppendBytes(appendNumbers(nil, talkBegins, k.id, 7), []byte(request)))
	return k
}

func (k *talk) expect(t *testing.T, want string) {
	t.Helper()
	if got, err := k.Recv(); string(got) != want || err != nil {
		t.Fatalf("%q, %v, want %q", got, err, want)
	}
}

// TestTalks: any number of talks share a stream, each with its own words in order; either side
// ends one, and the last one ends the stream.
func TestTalks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, other, stream := talkers(t)
		var all []*talk
		for i := range 1000 {
			k := mine.start(t, fmt.Sprint(i))
			all = append(all, k)
			for n := range 3 {
				_ = k.Send(fmt.Append(nil, i, n))
			}
		}
		for i, k := range all {
			k.expect(t, fmt.Sprintf("7 %d", i))
			for n := range 3 {
				k.expect(t, string(fmt.Append(nil, i, n)))
			}
		}
		for i, k := range all {
			if i%2 == 0 {
				_ = k.Send([]byte("bye"))
				if _, err := k.Recv(); !errors.Is(err, base.ErrUnavailable) {
					t.Fatalf("the other side has ended it: %v", err)
				}
			}
			if stream.ctx.Err() != nil {
				t.Fatal("the stream has ended")
			}
			k.Close()
			k.Close()
			if k.Send(nil) == nil {
				t.Fatal("it has ended")
			}
		}
		synctest.Wait()
		if _, err := mine.begin(context.Background(), 0); err == nil || stream.ctx.Err() == nil {
			t.Error("the stream goes on without talks")
		}
		if len(other.mu.talks) != 0 {
			t.Errorf("%d talks are left", len(other.mu.talks))
		}
	})
}

// TestTalksEnd: with the stream, or because the other side does not listen, all talks end; with its
// context one of them.
func TestTalksEnd(t *testing.T) {
	for name, end := range map[string]func(mine *trunk, stream *pipe){
		"the stream":      func(_ *trunk, stream *pipe) { stream.close() },
		"too much to say": func(mine *trunk, _ *pipe) { mine.add(make([]byte, limits.FollowerBytes+1)) },
		"nonsense":        func(mine *trunk, _ *pipe) { mine.add(appendNumbers(nil, 99, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mine, other, stream := talkers(t)
				a, b := mine.start(t, "a"), mine.start(t, "b")
				a.expect(t, "7 a")
				b.expect(t, "7 b")
				a.give()
				if _, err := a.Recv(); !errors.Is(err, context.Canceled) {
					t.Errorf("the talk was given up: %v", err)
				}
				a.Close()
				_ = b.Send([]byte("word"))
				b.expect(t, "word")
				end(mine, stream)
				if _, err := b.Recv(); !errors.Is(err, base.ErrUnavailable) {
					t.Errorf("it goes on: %v", err)
				}
				b.Close()
				synctest.Wait()
				if stream.ctx.Err() == nil || len(other.mu.talks) != 0 {
					t.Error("the other side goes on")
				}
			})
		})
	}
}
