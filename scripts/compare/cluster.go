package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// trio is a system of three servers.
type trio struct {
	name    string
	servers []*server
	grpc    string // of the first, if it has one
	// dial makes a client of the server that takes the writes.
	dial func() (client, error)
}

// client is a connection. It is used by one goroutine.
type client interface {
	set(key, value string) error
	get(key string) error
	close()
}

// clusters compares three systems of three servers.
func clusters(o *options, dir string) (err error) {
	var all []*trio
	defer func() {
		for _, t := range all {
			for _, s := range t.servers {
				s.kill()
			}
		}
	}()
	systems := []func(*options, string) (*trio, error){strataTrio, etcdTrio, redisTrio}
	if o.only == onlyRanges {
		systems = systems[:1]
	}
	for _, start := range systems {
		t, err := start(o, dir)
		if t != nil {
			all = append(all, t)
		}
		if err != nil {
			return err
		}
	}
	if o.only == onlyRanges {
		return ranges(o, all[0], all[0].grpc)
	}
	fmt.Printf("\nthree servers each, %d clients of the leader, values of %d bytes, %d keys, medians of %d alternating rounds;\n"+
		"redis: appendfsync always, two replicas, WAIT 1 0 behind each SET\n\n", o.clients, valueBytes, keyspace, o.rounds)
	fmt.Printf("%-6s", "")
	for _, t := range all {
		fmt.Printf("%12s/s %9s CPU", t.name, t.name)
	}
	fmt.Printf("   to etcd (target)   to redis (target)\n")
	for _, b := range []struct {
		name        string
		get         bool
		etcd, redis float64 // least ratios
	}{{"SET", false, 5, 1}, {"GET", true, 0, 0.8}} {
		if o.only != "" && o.only != b.name {
			continue
		}
		if err := compareTrios(o, all, b.name, b.get, b.etcd, b.redis); err != nil {
			return err
		}
	}
	if o.only != "" {
		return nil
	}
	return ranges(o, all[0], all[0].grpc)
}

func compareTrios(o *options, all []*trio, name string, get bool, etcd, redis float64) error {
	rates, costs := make([][]float64, len(all)), make([][]float64, len(all))
	for range o.rounds {
		for i, t := range all {
			got, err := t.run(o, get)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", name, t.name, err)
			}
			rates[i], costs[i] = append(rates[i], got.perSecond), append(costs[i], got.cpuMicros)
		}
	}
	fmt.Printf("%-6s", name)
	for i := range all {
		fmt.Printf("%14.0f %10.2f µs", median(rates[i]), median(costs[i]))
	}
	verdict := ""
	toEtcd, toRedis := median(rates[0])/median(rates[1]), median(rates[0])/median(rates[2])
	if toEtcd < etcd || toRedis < redis {
		verdict = "  BELOW TARGET"
	}
	fmt.Printf("%11.2f (%4.1f) %12.2f (%4.1f)%s\n", toEtcd, etcd, toRedis, redis, verdict)
	return nil
}

// run makes o.requests requests for random keys.
func (t *trio) run(o *options, get bool) (sample, error) {
	requests := o.requests / 4
	if get {
		requests = o.requests
	}
	clients := make([]client, o.clients)
	for i := range clients {
		c, err := t.dial()
		if err != nil {
			return sample{}, err
		}
		defer c.close()
		clients[i] = c
	}
	before, err := t.cpu()
	if err != nil {
		return sample{}, err
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(clients))
	value := strings.Repeat("x", valueBytes)
	began := time.Now()
	for i, c := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range requests / len(clients) {
				key := fmt.Sprintf("key:%012d", random.IntN(keyspace))
				var err error
				if get {
					err = c.get(key)
				} else {
					err = c.set(key, value)
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	select {
	case err := <-failed:
		return sample{}, err
	default:
	}
	after, err := t.cpu()
	return sample{perSecond: float64(requests) / took.Seconds(), cpuMicros: (after - before) / float64(requests) * 1e6}, err
}

// cpu is the processor time of all three.
func (t *trio) cpu() (sum float64, err error) {
	for _, s := range t.servers {
		seconds, err := s.cpu()
		if err != nil {
			return 0, err
		}
		sum += seconds
	}
	return sum, nil
}

// await polls until what is waited for is there.
func await(what string, there func() bool) error {
	for began := time.Now(); !there(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > startWithin {
			return fmt.Errorf("not reached: %s", what)
		}
	}
	return nil
}

// strataTrio starts three nodes; the first one leads.
func strataTrio(o *options, dir string) (*trio, error) {
	t := &trio{name: "strata"}
	admin, err := freeAddress()
	if err == nil {
		t.grpc, err = freeAddress()
	}
	if err != nil {
		return nil, err
	}
	for i := range 3 {
		peers, err := freeAddress()
		if err != nil {
			return t, err
		}
		s := &server{name: "strata", dir: filepath.Join(dir, fmt.Sprintf("strata-%d", i)), args: func(addr, dir string) []string {
			args := []string{o.strata, "start", "--data", dir, "--resp-addr", addr, "--log-level", "warn",
				"--cluster-addr", peers, "--range-max-ops", "0"} // one range, as with the others
			if i == 0 {
				return append(args, "--admin-addr", admin, "--grpc-addr", t.grpc)
			}
			return append(args, "--admin-addr", "off", "--grpc-addr", "off", "--join", admin)
		}}
		t.servers = append(t.servers, s)
		if _, err := s.start(); err != nil {
			return t, err
		}
	}
	t.dial = func() (client, error) { return dialRESP(t.servers[0].addr, false) }
	return t, await("three copies", func() bool {
		out, err := exec.Command(o.strata, "ranges", "--json", "--admin", admin).Output()
		var ranges []struct{ Voters []int }
		return err == nil && json.Unmarshal(out, &ranges) == nil && len(ranges) > 0 && len(ranges[0].Voters) == 3
	})
}

// redisTrio starts a server and two that follow it.
func redisTrio(o *options, dir string) (*trio, error) {
	t := &trio{name: "redis"}
	for i := range 3 {
		s := newRedis(o, filepath.Join(dir, fmt.Sprintf("redis-%d", i)))
		if i > 0 {
			host, port, err := net.SplitHostPort(t.servers[0].addr)
			if err != nil {
				return t, err
			}
			alone := s.args
			s.args = func(addr, dir string) []string { return append(alone(addr, dir), "--replicaof", host, port) }
			s.ready = func(addr string) bool {
				c, err := net.Dial("tcp", addr)
				if err == nil {
					_ = c.Close()
				}
				return err == nil
			}
		}
		t.servers = append(t.servers, s)
		if _, err := s.start(); err != nil {
			return t, err
		}
	}
	t.dial = func() (client, error) { return dialRESP(t.servers[0].addr, true) }
	return t, await("two replicas", func() bool {
		c, err := dialRESP(t.servers[0].addr, false)
		if err != nil {
			return false
		}
		defer c.close()
		n, err := c.number("*3\r\n$4\r\nWAIT\r\n$1\r\n2\r\n$2\r\n50\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n")
		return err == nil && n == 2
	})
}
