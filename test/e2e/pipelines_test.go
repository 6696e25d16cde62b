package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// TestPipelines: clients of all nodes send pipelines over ranges that all nodes lead. The
// commands of each take effect in order, whoever looks, and nothing is lost. It prints
// what sixteen commands cost at a node that does not lead.
func TestPipelines(t *testing.T) {
	t.Parallel()
	c := startDivided(t)
	leads := c.spread()
	ctx := context.Background()
	var clients [3]*goredis.Client
	for i, n := range c.nodes {
		clients[i] = client(t, n.RESP)
	}
	const writers, rounds = 6, 60
	before := c.terms()
	var acknowledged, unknown atomic.Int64
	var cut [writers]atomic.Bool // nobody knows what became of its last one
	wrong := map[int][3]int{}    // what was seen of a writer
	var done atomic.Bool
	var reading, writing sync.WaitGroup
	reading.Go(func() {
		for i := 0; !done.Load(); i++ {
			w := i % writers
			v, err := clients[i%3].MGet(ctx, keyIn(4, w), keyIn(2, w), keyIn(0, w)).Result()
			if err != nil {
				t.Error(err)
				return
			}
			var n [3]int
			for j := range v {
				if v[j] != nil {
					_, _ = fmt.Sscan(v[j].(string), &n[j])
				}
			}
			if n[0] > n[1] || n[1] > n[2] {
				wrong[w] = n
			}
		}
	})
	for w := range writers {
		writing.Go(func() {
			for i := 1; i <= rounds; i++ {
				err := sendPipeline(ctx, clients[w%3], w, i)
				if errors.Is(err, io.EOF) || err != nil && strings.HasPrefix(err.Error(), "UNKNOWN ") {
					cut[w].Store(true)
					unknown.Add(1)
					return
				} else if err != nil {
					t.Error(err)
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
	for w, n := range wrong {
		if !cut[w].Load() {
			t.Errorf("a later command of a pipeline is seen before an earlier one: %v", n)
		}
	}
	least, most := 2*acknowledged.Load(), 2*(acknowledged.Load()+unknown.Load())
	if n, err := clients[0].Get(ctx, "shared").Int64(); err != nil || n < least || n > most {
		t.Errorf("%d of %d to %d, %v", n, least, most, err)
	}
	if least < most && slices.Equal(before, c.terms()) {
		t.Errorf("nobody knows what became of %d pipelines, and no leader was elected", unknown.Load())
	}

	part := 0
	for leads[part] == 2 {
		part++
	}
	for _, get := range []bool{true, false} {
		one, sixteen := c.pipelineTime(clients[1], part, 1, get), c.pipelineTime(clients[1], part, 16, get)
		t.Logf("at a node that does not lead: one command %v, sixteen in a pipeline %v (get: %v)", one, sixteen, get)
	}
}

// terms are those of the ranges' leaders.
func (c *trio) terms() (list []int) {
	c.t.Helper()
	for _, r := range awaitRanges(c.t, c.nodes[0], "somebody leads each range", func(list []rangeRow) bool {
		return !slices.ContainsFunc(list, func(r rangeRow) bool { return r.Leader == 0 })
	}) {
		list = append(list, r.Term)
	}
	return list
}

// sendPipeline writes to ranges of different leaders, and to a key that others write, too.
func sendPipeline(ctx context.Context, c *goredis.Client, w, i int) error {
	cmds, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
		p.Set(ctx, keyIn(0, w), i, 0)
		p.Incr(ctx, "shared")
		p.Set(ctx, keyIn(2, w), i, 0)
		p.Get(ctx, keyIn(0, w))
		p.Incr(ctx, "shared")
		p.Set(ctx, keyIn(4, w), i, 0)
		p.Get(ctx, keyIn(2, w))
		return nil
	})
	if err != nil {
		return err
	}
	first, second := cmds[1].(*goredis.IntCmd).Val(), cmds[4].(*goredis.IntCmd).Val()
	a, errA := cmds[3].(*goredis.StringCmd).Int()
	b, errB := cmds[6].(*goredis.StringCmd).Int()
	if errA != nil || errB != nil || a != i || b != i || second <= first {
		return errors.Join(errA, errB, fmt.Errorf("round %d reads %d and %d, and counts %d and %d", i, a, b, first, second))
	}
	return nil
}

// pipelineTime is the least that a pipeline of n commands takes.
func (c *trio) pipelineTime(at *goredis.Client, part, n int, get bool) time.Duration {
	least := time.Hour
	for range 50 {
		begun := time.Now()
		if _, err := at.Pipelined(context.Background(), func(p goredis.Pipeliner) error {
			for i := range n {
				if key := keyIn(part, 100+i); get {
					p.Exists(context.Background(), key)
				} else {
					p.Set(context.Background(), key, i, 0)
				}
			}
			return nil
		}); err != nil {
			c.t.Fatal(err)
		}
		least = min(least, time.Since(begun))
	}
	return least
}
