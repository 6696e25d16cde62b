package main

import (
	"crypto/sha1"
	"encoding/csv"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	valueBytes = 100
	keyspace   = 1_000_000
	// settle is how long background work gets before something is read off.
	settle = 12 * time.Second
	// restTime is how long servers have done nothing that begin a new row; a window gives
	// back after five seconds what nobody writes to. restShare is what nothing is, of a core.
	restTime  = 7 * time.Second
	restShare = 0.1
	restMost  = time.Minute
)

// benchmark is a throughput test. target is the least acceptable ratio.
type benchmark struct {
	name     string
	args     []string
	pipeline int
	target   float64
	writes   bool
	takes    *taken // of which each command takes one; nil: it takes nothing
}

// taken is a set or a sorted set that is filled up before a round, so that the round does not
// come to its end.
type taken struct{ key, size, add string }

// takes are those of rows that are.
var takes = map[string]*taken{"SPOP": {"myset", "SCARD", "SADD"}, "ZPOPMIN": {"myzset", "ZCARD", "ZADD"}}

// fill makes it n elements at least, in both servers alike, and waits until that is worked off.
func (k *taken) fill(pair []*server, n int) error {
	filled := false
	for _, s := range pair {
		did, err := k.fillOne(s, n)
		if err != nil {
			return err
		}
		filled = filled || did
	}
	if !filled {
		return nil
	}
	return quiesce(pair)
}

func (k *taken) fillOne(s *server, n int) (filled bool, err error) {
	const batch = 1000
	c, err := dialRESP(s.addr, false)
	if err != nil {
		return false, err
	}
	defer c.close()
	size, err := c.do(k.size, k.key)
	if err != nil {
		return false, err
	}
	if has, err := strconv.Atoi(strings.TrimPrefix(size, ":")); err != nil || has >= n {
		return false, err
	}
	args := make([]string, 0, 2*batch+2)
	for i := 0; i < n; i += batch {
		args = append(args[:0], k.add, k.key)
		for j := i; j < min(i+batch, n); j++ {
			if k.add == "ZADD" {
				args = append(args, strconv.Itoa(j))
			}
			args = append(args, fmt.Sprintf("element:%012d", j))
		}
		if _, err := c.do(args...); err != nil {
			return false, err
		}
	}
	return true, nil
}

// script is a typical one: three calls about one slot.
const script = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('INCR', KEYS[2]) return redis.call('GET', KEYS[1])"

// benchmarks are redis-benchmark's tests, in an order in which what is read or taken away
// has been written, and a stream and a script, one command at a time and in pipelines.
func benchmarks() (list []benchmark) {
	random := []string{"-r", strconv.Itoa(keyspace)}
	value := strings.Repeat("x", valueBytes)
	for _, b := range []struct {
		name             string
		args             []string
		single, pipeline float64 // targets
		writes           bool
	}{
		{"SET", append(random, "-t", "set"), 1, 1.3, true},
		{"INCR one key", []string{"-t", "incr"}, 1, 0.8, true},
		{"HSET", append(random, "-t", "hset"), 0.9, 0.8, true},
		{"GET", append(random, "-t", "get"), 0.9, 1, false},
		{"LPUSH", []string{"-t", "lpush"}, 0.8, 0.8, true},
		{"RPUSH", []string{"-t", "rpush"}, 0.8, 0.8, true},
		{"LPOP", []string{"-t", "lpop"}, 0.8, 0.8, true},
		{"RPOP", []string{"-t", "rpop"}, 0.8, 0.8, true},
		{"SADD", append(random, "-t", "sadd"), 0.8, 0.8, true},
		{"SPOP", []string{"-t", "spop"}, 0.8, 0.8, true},
		{"ZADD", append(random, "-t", "zadd"), 0.8, 0.8, true},
		{"ZPOPMIN", []string{"-t", "zpopmin"}, 0.8, 0.8, true},
		{"MSET", append(random, "-t", "mset"), 0.8, 0.8, true},
		{"XADD", []string{"XADD", "stream", "*", "field", value}, 0.8, 0.8, true},
		{"LRANGE_100", []string{"-t", "lrange_100"}, 0.8, 0.8, false},
		{"LRANGE_300", []string{"-t", "lrange_300"}, 0.8, 0.8, false},
		{"LRANGE_500", []string{"-t", "lrange_500"}, 0.8, 0.8, false},
		{"LRANGE_600", []string{"-t", "lrange_600"}, 0.8, 0.8, false},
		{"EVALSHA", append(random, "EVALSHA", fmt.Sprintf("%x", sha1.Sum([]byte(script))), "2", "{s}:__rand_int__", "{s}:n", value), 0.7, 0.7, true},
	} {
		list = append(list, benchmark{b.name, b.args, 1, b.single, b.writes, takes[b.name]},
			benchmark{b.name + " P=16", b.args, 16, b.pipeline, b.writes, takes[b.name]})
	}
	return list
}

// sample is a run of a benchmark.
type sample struct{ perSecond, cpuMicros float64 }

func throughput(o *options, pair []*server) error {
	fmt.Printf("\n%d clients, values of %d bytes, %d keys, medians of %d alternating rounds; redis: appendfsync always\n\n",
		o.clients, valueBytes, keyspace, o.rounds)
	fmt.Printf("%-17s %12s %12s %7s %7s   %10s %10s %7s\n", "", "strata/s", "redis/s", "ratio", "target",
		"strata CPU", "redis CPU", "ratio")
	for _, s := range pair {
		if err := s.loadScript(); err != nil {
			return err
		}
	}
	product, writes := 0.0, 0
	for _, b := range benchmarks() {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), b.name) {
			continue
		}
		if err := quiesce(pair); err != nil {
			return err
		}
		var rates, costs [2][]float64
		for range o.rounds {
			if b.takes != nil {
				if err := b.takes.fill(pair, b.commands(o)); err != nil {
					return err
				}
			}
			for i, s := range pair {
				got, err := s.run(o, b)
				if err != nil {
					return err
				}
				rates[i], costs[i] = append(rates[i], got.perSecond), append(costs[i], got.cpuMicros)
			}
		}
		ratio := median(rates[0]) / median(rates[1])
		if b.writes {
			product, writes = product+math.Log(ratio), writes+1
		}
		verdict := ""
		if ratio < b.target {
			verdict = "  BELOW TARGET"
		}
		fmt.Printf("%-17s %12.0f %12.0f %7.2f %7.2f   %7.2f µs %7.2f µs %7.2f%s\n", b.name, median(rates[0]), median(rates[1]),
			ratio, b.target, median(costs[0]), median(costs[1]), median(costs[0])/median(costs[1]), verdict)
	}
	if writes > 0 {
		fmt.Printf("\ngeometric mean of the ratios of %d writes: %.2f (target 1.20)\n", writes, math.Exp(product/float64(writes)))
	}
	return nil
}

// loadScript lets the server know the script that is run by its digest.
func (s *server) loadScript() error {
	c, err := dialRESP(s.addr, false)
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.do("SCRIPT", "LOAD", script)
	return err
}

// quiesce waits until the servers have worked off what the row before has left behind, which
// would be in the way of the other server, too.
func quiesce(pair []*server) error {
	const step = time.Second
	before := make([]float64, len(pair))
	began, quiet := time.Now(), time.Now()
	for time.Since(quiet) < restTime && time.Since(began) < restMost {
		time.Sleep(step)
		for i, s := range pair {
			now, err := s.cpu()
			if err != nil {
				return err
			}
			if now-before[i] > restShare*step.Seconds() {
				quiet = time.Now()
			}
			before[i] = now
		}
	}
	return nil
}

// commands is how many of them a round is.
func (b *benchmark) commands(o *options) int {
	n := o.requests
	if b.pipeline > 1 {
		n *= 5
	}
	if strings.HasPrefix(b.name, "LRANGE") || strings.HasPrefix(b.name, "MSET") { // which are many in one
		n /= 8
	}
	return n
}

func (s *server) run(o *options, b benchmark) (sample, error) {
	n := b.commands(o)
	host, port, _ := strings.Cut(s.addr, ":")
	args := append([]string{"-h", host, "-p", port, "-c", strconv.Itoa(o.clients), "-n", strconv.Itoa(n),
		"-P", strconv.Itoa(b.pipeline), "-d", strconv.Itoa(valueBytes), "--csv"}, b.args...)
	before, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	out, err := exec.Command(o.benchmark, args...).Output()
	if err != nil {
		return sample{}, fmt.Errorf("%s %v: %w", o.benchmark, args, err)
	}
	after, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
	if err != nil || len(rows) == 0 {
		return sample{}, fmt.Errorf("%s prints %q: %w", o.benchmark, out, err)
	}
	rate, err := strconv.ParseFloat(rows[len(rows)-1][1], 64)
	return sample{perSecond: rate, cpuMicros: (after - before) / float64(n) * 1e6}, err
}

// rest prints what the servers take while they have nothing to do.
func rest(pair []*server) error {
	fmt.Printf("%-40s", "memory at rest, empty (MB)")
	for _, s := range pair {
		mb, err := s.residentMB()
		if err != nil {
			return err
		}
		fmt.Printf("  %s %.1f", s.name, mb)
	}
	fmt.Println()
	return nil
}

// million prints what needs a million keys: a fresh pair is filled with them.
func million(pair []*server) error {
	fmt.Printf("\na million keys with values of %d bytes, on servers that hold nothing else\n\n", valueBytes)
	for _, s := range pair {
		s.kill()
		s.dir += "-million"
		if _, err := s.start(); err != nil {
			return err
		}
		if err := s.million(); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) million() error {
	before, err := s.field("io", "write_bytes")
	if err != nil {
		return err
	}
	if err := s.load(keyspace); err != nil {
		return err
	}
	loaded, err := s.field("io", "write_bytes")
	if err != nil {
		return err
	}
	time.Sleep(settle)
	settled, err := s.field("io", "write_bytes")
	if err != nil {
		return err
	}
	mb, err := s.residentMB()
	if err != nil {
		return err
	}
	fmt.Printf("%-8s bytes written to disk per SET: %.0f at once, %.0f after %v\n", s.name,
		float64(loaded-before)/keyspace, float64(settled-before)/keyspace, settle)
	fmt.Printf("%-8s memory: %.0f MB\n", s.name, mb)
	if err := s.stop(syscall.SIGKILL); err != nil {
		return err
	}
	crashed, err := s.start()
	if err != nil {
		return err
	}
	mb, err = s.residentMB()
	if err != nil {
		return err
	}
	fmt.Printf("%-8s start after kill -9: %.2f s; memory then: %.0f MB\n", s.name, crashed.Seconds(), mb)
	began := time.Now()
	if err := s.stop(syscall.SIGTERM); err != nil {
		return err
	}
	stopped := time.Since(began)
	clean, err := s.start()
	if err != nil {
		return err
	}
	fmt.Printf("%-8s stop: %.2f s; start after it: %.2f s\n\n", s.name, stopped.Seconds(), clean.Seconds())
	return nil
}
