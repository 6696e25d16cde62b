package main

import (
	"encoding/csv"
	"fmt"
	"os/exec"
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
)

// benchmark is a throughput test. target is the least acceptable ratio.
type benchmark struct {
	name     string
	args     []string
	pipeline int
	target   float64
}

var benchmarks = []benchmark{
	{"SET", []string{"-t", "set", "-r", strconv.Itoa(keyspace)}, 1, 1.0},
	{"INCR one key", []string{"-t", "incr"}, 1, 1.0},
	{"HSET", []string{"-t", "hset", "-r", strconv.Itoa(keyspace)}, 1, 0.9},
	{"GET", []string{"-t", "get", "-r", strconv.Itoa(keyspace)}, 1, 0.9},
	{"LPUSH", []string{"-t", "lpush"}, 1, 0.8},
	{"RPOP", []string{"-t", "rpop"}, 1, 0.8},
	{"XADD", []string{"XADD", "stream", "*", "field", strings.Repeat("x", valueBytes)}, 1, 0.8},
	{"LRANGE_100", []string{"-t", "lrange_100"}, 1, 0.8},
	{"LRANGE_600", []string{"-t", "lrange_600"}, 1, 0.8},
	{"LPUSH P=16", []string{"-t", "lpush"}, 16, 0.8},
	{"RPOP P=16", []string{"-t", "rpop"}, 16, 0.8},
	{"SET P=16", []string{"-t", "set", "-r", strconv.Itoa(keyspace)}, 16, 1.3},
	{"GET P=16", []string{"-t", "get", "-r", strconv.Itoa(keyspace)}, 16, 1.0},
}

// sample is a run of a benchmark.
type sample struct{ perSecond, cpuMicros float64 }

func throughput(o *options, pair []*server) error {
	fmt.Printf("\n%d clients, values of %d bytes, %d keys, medians of %d alternating rounds; redis: appendfsync always\n\n",
		o.clients, valueBytes, keyspace, o.rounds)
	fmt.Printf("%-14s %12s %12s %7s %7s   %10s %10s %7s\n", "", "strata/s", "redis/s", "ratio", "target",
		"strata CPU", "redis CPU", "ratio")
	for _, b := range benchmarks {
		if o.only != "" && o.only != b.name {
			continue
		}
		var rates, costs [2][]float64
		for range o.rounds {
			for i, s := range pair {
				got, err := s.run(o, b)
				if err != nil {
					return err
				}
				rates[i], costs[i] = append(rates[i], got.perSecond), append(costs[i], got.cpuMicros)
			}
		}
		ratio := median(rates[0]) / median(rates[1])
		verdict := ""
		if ratio < b.target {
			verdict = "  BELOW TARGET"
		}
		fmt.Printf("%-14s %12.0f %12.0f %7.2f %7.2f   %7.2f µs %7.2f µs %7.2f%s\n", b.name, median(rates[0]), median(rates[1]),
			ratio, b.target, median(costs[0]), median(costs[1]), median(costs[0])/median(costs[1]), verdict)
	}
	return nil
}

func (s *server) run(o *options, b benchmark) (sample, error) {
	n := o.requests
	if b.pipeline > 1 {
		n *= 5
	}
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
