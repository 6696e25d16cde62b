package remote

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/router"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// peers stands for the other nodes, 1 to 3: what each of them answers, and how often it
// was asked.
type peers struct {
	answer [4]func() ([]byte, error)
	asked  [4]int
}

var _ transport.Messenger = (*peers)(nil)

func (p *peers) Send(base.NodeID, transport.Kind, []byte) bool { return true }

func (p *peers) Call(ctx context.Context, to base.NodeID, _ transport.Kind, _ []byte) ([]byte, error) {
	p.asked[to]++
	if p.answer[to] == nil { // it hangs
		<-ctx.Done()
		return nil, &transport.CallError{Class: base.ErrUnknownOutcome, Cause: ctx.Err()}
	}
	return p.answer[to]()
}

func (p *peers) OpenStream(ctx context.Context, to base.NodeID, _ transport.Kind, _ []byte) (transport.ClientStream, error) {
	if p.answer[to] != nil {
		if _, err := p.answer[to](); errors.Is(err, base.ErrUnavailable) {
			p.asked[to]++
			return nil, err
		}
	}
	return &talkStream{p: p, to: to, ctx: ctx, said: make(chan []byte, 16)}, nil
}

// talkStream answers each talk once, if the node does.
type talkStream struct {
	p    *peers
	to   base.NodeID
	ctx  context.Context
	said chan []byte
}

func (s *talkStream) End() error { return nil }
func (s *talkStream) Close()     {}

func (s *talkStream) Send(chunk []byte) error {
	for d := base.NewDecoder(chunk); !d.Done(); {
		what, id := d.Uvarint(), d.Uvarint()
		if what != talkBegins {
			continue
		}
		_, _ = d.Uvarint(), d.Bytes()
		s.p.asked[s.to]++
		if s.p.answer[s.to] != nil {
			b, _ := s.p.answer[s.to]()
			s.said <- base.AppendBytes(appendNumbers(nil, talkSays, id), b)
		}
	}
	return nil
}

func (s *talkStream) Recv() ([]byte, error) {
	select {
	case b := <-s.said:
		return b, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func down() ([]byte, error)  { return nil, errors.Wrap(base.ErrUnavailable, "down") }
func leads() ([]byte, error) { return appendNumbers(nil, answerOK, 7), nil }

func follows(leader base.NodeID) func() ([]byte, error) {
	return func() ([]byte, error) { return appendNumbers(nil, answerNotLeader, uint64(leader)), nil }
}

// without is a store that holds no range.
type without struct{}

func (without) Range([]byte) *replica.Replica                   { return nil }
func (without) Replicas() []*replica.Replica                    { return nil }
func (without) Deliver(*replica.Message) error                  { return nil }
func (without) Take(*replica.Message) (*replica.Replica, error) { return nil, nil }
func (without) TakeBeat(base.NodeID, *sleep.Beat)               {}

func newTestClient(p *peers) *Client {
	ids := []base.NodeID{1, 2, 3, 4}
	return NewClient(4, p, without{}, func() []base.NodeID { return ids }, slog.New(slog.DiscardHandler))
}

// think makes the client take a node for the leader of all keys.
func (c *Client) think(leader base.NodeID) {
	c.routes.Learn(router.Route{Range: 1, Span: base.Span{End: []byte{0xFF}}, Leader: leader})
}

// TestLeaderIsFound: by calls and by watches.
func TestLeaderIsFound(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer [3]func() ([]byte, error) // of nodes 1, 2 and 3
		cached base.NodeID
		within time.Duration
	}{
		{"it is known", [3]func() ([]byte, error){down, leads, down}, 2, 0},
		{"a follower knows it", [3]func() ([]byte, error){follows(3), down, leads}, 1, 0},
		{"nobody is known", [3]func() ([]byte, error){follows(0), follows(0), leads}, 0, 15 * time.Millisecond},
		{"the one that led is down", [3]func() ([]byte, error){down, leads, follows(2)}, 1, 15 * time.Millisecond},
		{"and others still take it for the leader", [3]func() ([]byte, error){down, follows(1), leads}, 1, 100 * time.Millisecond},
	} {
		for _, kind := range []string{"call", "watch"} {
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client := newTestClient(&peers{answer: [4]func() ([]byte, error){1: c.answer[0], 2: c.answer[1], 3: c.answer[2]}})
					client.think(c.cached)
					began := time.Now()
					if kind == "call" {
						if s, err := client.Stamp(); s != 7 || err != nil {
							t.Fatalf("%d, %v", s, err)
						}
					} else {
						w := client.Watch([]byte("k"))
						defer w.Close()
						if dirty, _ := w.Dirty(); w.ID() != 7 || dirty {
							t.Fatalf("watch %d, dirty %v", w.ID(), dirty)
						}
					}
					if took := time.Since(began); took > c.within {
						t.Errorf("it took %v", took)
					}
				})
			})
		}
	}
}

// TestLeaderIsFoundWhateverOthersSay: node 3 leads, the others are down or name anyone.
func TestLeaderIsFoundWhateverOthersSay(t *testing.T) {
	answers := []func() ([]byte, error){down, follows(0), follows(1), follows(2), follows(3), follows(4)}
	synctest.Test(t, func(t *testing.T) {
		for i, first := range answers {
			for j, second := range answers {
				for cached := range base.NodeID(5) {
					client := newTestClient(&peers{answer: [4]func() ([]byte, error){1: first, 2: second, 3: leads}})
					client.think(cached)
					began := time.Now()
					_, err := client.Stamp()
					if took := time.Since(began); err != nil || took > time.Second {
						t.Errorf("answers %d and %d, asking %d first: %v after %v", i, j, cached, err, took)
					}
				}
			}
		}
	})
}

// TestLeaderThatHangs: who waits for a node that does not answer goes on when the own
// replica has another leader, and only then.
func TestLeaderThatHangs(t *testing.T) {
	write := &Commit{Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("k"), Value: []byte("v")}}}
	for _, c := range []struct {
		name   string
		do     func(c *Client) error
		within time.Duration
		want   error
	}{
		{"a read is made again", func(c *Client) error { _, err := c.Stamp(); return err }, 1500 * time.Millisecond, nil},
		{"a write is not", func(c *Client) error { _, err := c.Commit(write); return err }, 1500 * time.Millisecond, base.ErrUnknownOutcome},
		{"a watch is registered there", func(c *Client) error {
			w := c.Watch([]byte("k"))
			defer w.Close()
			if w.ID() != 7 {
				return base.ErrUnavailable
			}
			return nil
		}, 1500 * time.Millisecond, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newTestClient(&peers{answer: [4]func() ([]byte, error){2: leads, 3: leads}})
				began := time.Now()
				client.think(1)
				client.follows = func([]byte) base.NodeID {
					if time.Since(began) < time.Second {
						return 1
					}
					return 2
				}
				if err := c.do(client); !errors.Is(err, c.want) {
					t.Error(err)
				}
				if took := time.Since(began); took < time.Second || took > c.within {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
	t.Run("nobody else leads", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client := newTestClient(&peers{answer: [4]func() ([]byte, error){2: leads, 3: leads}})
			client.think(1)
			client.follows = func([]byte) base.NodeID { return 3 } // from the start: it is the replica that may be behind
			began := time.Now()
			if _, err := client.Stamp(); err != nil || time.Since(began) < callTime {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		})
	})
}

// TestNoLeader: after LeaderWait a call is refused and a watch is dirty.
func TestNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{answer: [4]func() ([]byte, error){1: down, 2: follows(1), 3: follows(2)}}
		client := newTestClient(p)
		for range 2 {
			began := time.Now()
			if _, err := client.Stamp(); !errors.Is(err, base.ErrUnavailable) {
				t.Fatal(err)
			}
			if took := time.Since(began); took < limits.LeaderWait || took > limits.LeaderWait+2*pauseMax {
				t.Errorf("it took %v", took)
			}
		}
		w := client.Watch([]byte("k"))
		defer w.Close()
		if dirty, _ := w.Dirty(); !dirty || w.ID() != 0 {
			t.Error("a watch that nobody holds is not dirty")
		}
	})
}

// TestStoppingNodeDoesNotLook: once its transport is closed nobody waits for a leader.
func TestStoppingNodeDoesNotLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shut := func() ([]byte, error) {
			return nil, &transport.CallError{Class: base.ErrUnavailable, Cause: base.ErrClosed}
		}
		client := newTestClient(&peers{answer: [4]func() ([]byte, error){1: shut, 2: shut, 3: shut}})
		began := time.Now()
		if _, err := client.Stamp(); !errors.Is(err, base.ErrUnavailable) {
			t.Fatal(err)
		}
		w := client.Watch([]byte("k"))
		defer w.Close()
		if dirty, _ := w.Dirty(); !dirty || time.Since(began) > 0 {
			t.Errorf("dirty: %v, after %v", dirty, time.Since(began))
		}
	})
}

// TestUnknownOutcomeIsNotRepeated: a write whose fate is unknown is reported, a read is
// made again.
func TestUnknownOutcomeIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{answer: [4]func() ([]byte, error){
			1: func() ([]byte, error) { return nil, errors.Wrap(base.ErrUnknownOutcome, "cut off") }, 2: leads, 3: leads}}
		client := newTestClient(p)
		client.think(1)
		write := &Commit{Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("k"), Value: []byte("v")}}}
		if _, err := client.Commit(write); !errors.Is(err, base.ErrUnknownOutcome) {
			t.Fatalf("a write: %v", err)
		}
		if p.asked[2]+p.asked[3] > 0 {
			t.Fatal("a write was made again")
		}
		client.think(1)
		if _, err := client.Stamp(); err != nil {
			t.Fatalf("a stamp: %v", err)
		}
	})
}

// TestWatchEndsWithItsStream: a leader that goes makes its watches dirty.
func TestWatchEndsWithItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		p := &peers{answer: [4]func() ([]byte, error){2: down, 3: down}}
		p.answer[1] = func() ([]byte, error) {
			if first {
				first = false
				return nil, io.EOF // it is just stopping
			}
			return leads()
		}
		client := newTestClient(p)
		client.think(1)
		w := client.Watch([]byte("k"))
		if w.ID() != 7 {
			t.Fatal("the watch was not registered again")
		}
		w.Close()
		<-w.Changed()
		if dirty, _ := w.Dirty(); !dirty {
			t.Error("it is not dirty")
		}
	})
}

// TestUnknownOutcomeStaysUnknown: a write that its range would recognise is made again. An
// answer that is no receipt says nothing about the first try: the range may have another
// one's keys by now, and whoever ran the transaction again would write twice.
func TestUnknownOutcomeStaysUnknown(t *testing.T) {
	for name, err := range map[string]error{"conflict": base.ErrConflict, "another range": base.ErrWrongRange, "nobody": base.ErrUnavailable} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refuse := func() ([]byte, error) { return nil, errors.Wrap(err, "later") }
				p := &peers{answer: [4]func() ([]byte, error){2: refuse, 3: refuse}}
				p.answer[1] = func() ([]byte, error) {
					p.answer[1] = refuse
					return nil, errors.Wrap(base.ErrUnknownOutcome, "cut off")
				}
				client := newTestClient(p)
				client.think(1)
				write := &Commit{Session: 1, Number: 2, Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("k"), Value: []byte("v")}}}
				if _, err := client.Commit(write); !errors.Is(err, base.ErrUnknownOutcome) {
					t.Errorf("a write: %v", err)
				}
				if p.asked[1]+p.asked[2]+p.asked[3] < 2 {
					t.Error("it was not made again")
				}
			})
		})
	}
}
