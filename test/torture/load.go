package torture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/client"
	"github.com/stratadb/strata/test/history"
)

const (
	clients  = 6
	accounts = 12
	each     = 100 // money in an account at first
	lists    = 12
	// listsFor is how long the same lists are used: they grow.
	listsFor = 4 * time.Second
	// patience is how long a transaction may take.
	patience = 6 * time.Second
)

// load is the clients. Each talks to one node as long as that answers.
type load struct {
	c                    *cluster
	began                time.Time
	ids                  atomic.Uint32
	stop                 atomic.Bool
	wait                 sync.WaitGroup
	done, unknown, fails atomic.Int64
	mu                   sync.Mutex
	ops                  []*history.Op
	acks                 []time.Duration // when something was acknowledged
}

func (l *load) start(seed uint64) error {
	if err := l.fill(); err != nil {
		return err
	}
	for i := range clients {
		l.wait.Go(func() { l.client(rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	return nil
}

func account(i int) []byte { return fmt.Appendf(nil, "acc%02d", i) }

func (l *load) fill() error {
	c, err := client.Dial(l.c.seat(l.c.taken()[0]).grpc, client.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = c.Transact(context.Background(), func(t *client.Txn) error {
		for i := range accounts {
			if err := t.Put(account(i), binary.LittleEndian.AppendUint64(nil, each)); err != nil {
				return err
			}
		}
		return nil
	}, client.Idempotent)
	return err
}

func (l *load) client(rnd *rand.Rand) {
	for !l.stop.Load() {
		c, err := client.Dial(l.c.seat(l.c.any(rnd)).grpc, client.Options{})
		if err != nil {
			l.c.t.Error(err)
			return
		}
		for ok := true; ok && !l.stop.Load(); {
			if rnd.IntN(2) == 0 {
				ok = l.transfer(c, rnd)
			} else {
				ok = l.append(c, rnd)
			}
		}
		_ = c.Close()
	}
}

// count notes how a transaction ended, and answers whether its node is worth asking again.
func (l *load) count(err error) (history.Outcome, bool) {
	switch {
	case err == nil:
		l.done.Add(1)
		l.mu.Lock()
		l.acks = append(l.acks, time.Since(l.began))
		l.mu.Unlock()
		return history.OK, true
	case errors.Is(err, client.ErrUnknownOutcome):
		l.unknown.Add(1)
		return history.Unknown, false
	}
	l.fails.Add(1)
	return history.Failed, false
}

var errMissing = errors.New("money is missing")

// transfer moves money, or looks at all of it.
func (l *load) transfer(c *client.Client, rnd *rand.Rand) bool {
	from, to, amount, look := account(rnd.IntN(accounts)), account(rnd.IntN(accounts)), rnd.Int64N(10), rnd.IntN(3) == 0
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := c.Transact(ctx, func(t *client.Txn) error {
		if look {
			return total(t)
		}
		if err := t.Add(from, -amount); err != nil {
			return err
		}
		return t.Add(to, amount)
	})
	if errors.Is(err, errMissing) {
		l.c.t.Errorf("after %v: %v", time.Since(l.began), err)
	}
	_, ok := l.count(err)
	return ok
}

// total looks at all accounts.
func total(t *client.Txn) error {
	sum, n := uint64(0), 0
	if err := t.Scan(client.Range{Start: account(0), End: account(accounts)}, func(_, v []byte) bool {
		sum += binary.LittleEndian.Uint64(v)
		n++
		return true
	}); err != nil {
		return err
	}
	if sum != accounts*each || n != accounts {
		return fmt.Errorf("%w: there is %d in %d accounts", errMissing, sum, n)
	}
	return nil
}

// append reads some lists and appends to some of them.
func (l *load) append(c *client.Client, rnd *rand.Rand) bool {
	op := &history.Op{ID: int(l.ids.Add(1)), Invoke: int64(time.Since(l.began)), Appends: map[string]uint32{}}
	age := int(time.Since(l.began) / listsFor)
	for range 1 + rnd.IntN(3) {
		op.Appends[fmt.Sprintf("list%02d/%05d", rnd.IntN(lists), age)] = 0
	}
	for key := range op.Appends {
		op.Appends[key] = l.ids.Add(1)
	}
	read := fmt.Sprintf("list%02d/%05d", rnd.IntN(lists), age)
	readOnly := rnd.IntN(4) == 0
	if readOnly {
		op.Appends = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := c.Transact(ctx, func(t *client.Txn) error {
		op.Reads = map[string][]uint32{}
		keys := map[string]bool{read: true}
		for key := range op.Appends {
			keys[key] = true
		}
		for key := range keys {
			v, err := t.Get([]byte(key))
			if err != nil {
				return err
			}
			op.Reads[key] = decode(v)
			if id, ok := op.Appends[key]; ok {
				if err := t.Put([]byte(key), binary.LittleEndian.AppendUint32(v, id)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	outcome, ok := l.count(err)
	op.Return, op.Outcome = int64(time.Since(l.began)), outcome
	if outcome != history.OK {
		op.Reads = nil // of an attempt that may not be the one which counts
	}
	l.mu.Lock()
	l.ops = append(l.ops, op)
	l.mu.Unlock()
	return ok
}

// recovery is how long a cluster may take until all of it can be read after the last fault.
const recovery = time.Minute

func (l *load) everything(c *client.Client, final map[string][]uint32) error {
	ctx, cancel := context.WithTimeout(context.Background(), recovery)
	defer cancel()
	_, err := c.Transact(ctx, func(t *client.Txn) error {
		clear(final)
		if err := total(t); err != nil {
			return err
		}
		return t.Scan(client.Range{Start: []byte("list"), End: []byte("lisu")}, func(key, v []byte) bool {
			final[string(key)] = decode(v)
			return true
		})
	})
	return err
}

func decode(v []byte) (list []uint32) {
	for ; len(v) >= 4; v = v[4:] {
		list = append(list, binary.LittleEndian.Uint32(v))
	}
	return list
}

// end stops the clients and checks what they saw.
func (l *load) end() error {
	l.stop.Store(true)
	l.wait.Wait()
	c, err := client.Dial(l.c.seat(l.c.taken()[0]).grpc, client.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	final := map[string][]uint32{}
	for began := time.Now(); ; {
		err := l.everything(c, final)
		if err == nil {
			l.c.t.Logf("everything was read after %v", time.Since(began))
			break
		}
		if errors.Is(err, errMissing) || time.Since(began) > recovery {
			return fmt.Errorf("the end, after %v: %w", time.Since(began), err)
		}
	}
	l.c.t.Logf("%d transactions, %d with an unknown outcome, %d refused", l.done.Load(), l.unknown.Load(), l.fails.Load())
	if l.done.Load() == 0 {
		return errors.New("nothing was acknowledged")
	}
	return history.Check(l.ops, final)
}

// after is how long it took from a moment on until n more transactions were acknowledged.
func (l *load) after(moment time.Duration, n int) (took time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.acks) - 1; i >= 0; i-- {
		if l.acks[i] < moment {
			l := l.acks[i+1:]
			if len(l) < n {
				return 0, false
			}
			return l[n-1] - moment, true
		}
	}
	return 0, false
}
