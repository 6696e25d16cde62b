package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// TestPubsubOverNodes: who subscribes at any node hears what is published at any node, those
// of one publisher in their order, also what a transaction publishes.
func TestPubsubOverNodes(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*replyWithin)
	defer cancel()
	const messages = 300
	var clients [3]*goredis.Client
	var ears [3]*goredis.PubSub
	for i, n := range c.nodes {
		clients[i] = client(t, n.RESP)
		ears[i] = clients[i].PSubscribe(ctx, "news:*")
		defer func() { _ = ears[i].Close() }()
		if _, err := ears[i].Receive(ctx); err != nil {
			t.Fatal(err)
		}
		if err := ears[i].SSubscribe(ctx, "shard"); err != nil {
			t.Fatal(err)
		}
		if _, err := ears[i].Receive(ctx); err != nil {
			t.Fatal(err)
		}
	}
	var publishing sync.WaitGroup
	for i := range clients {
		publishing.Go(func() {
			for n := range messages {
				var err error
				switch channel, text := fmt.Sprintf("news:%d", i), fmt.Sprint(n); n % 3 {
				case 0:
					err = clients[i].Publish(ctx, channel, text).Err()
				case 1: // a transaction's come when it has committed: those behind it may overtake it
					_, err = clients[i].TxPipelined(ctx, func(p goredis.Pipeliner) error {
						p.Incr(ctx, "counter")
						p.Publish(ctx, channel, text)
						return nil
					})
				default:
					err = clients[i].SPublish(ctx, "shard", fmt.Sprintf("%d:%d", i, n)).Err()
				}
				if err != nil {
					t.Errorf("message %d of node %d: %v", n, i+1, err)
				}
			}
		})
	}
	for i, ear := range ears {
		last, heard := map[string]int{}, map[string]bool{}
		for len(heard) < 3*messages {
			m, err := ear.ReceiveMessage(ctx)
			if err != nil {
				t.Fatalf("node %d after %d messages: %v", i+1, len(heard), err)
			}
			name := m.Channel
			n, from := 0, 0
			if name == "shard" {
				_, err = fmt.Sscanf(m.Payload, "%d:%d", &from, &n)
				name = fmt.Sprintf("shard:%d", from)
			} else {
				_, err = fmt.Sscan(m.Payload, &n)
				name += fmt.Sprint(":", n%3)
			}
			if err != nil || heard[name+m.Payload] {
				t.Fatalf("node %d heard %v twice, or it is no message: %v", i+1, m, err)
			}
			if before, some := last[name]; some && n <= before {
				t.Errorf("node %d heard message %d of %s behind %d", i+1, n, name, before)
			}
			last[name], heard[name+m.Payload] = n, true
		}
	}
	publishing.Wait()
}
