// Package bench generates load on a RESP server and measures what it answers.
//
// Each client is a goroutine with a connection. It writes a batch of operations
// that were encoded beforehand, and reads as many replies, so that it costs little
// next to the server it measures: no allocation, no formatting, one write and
// about one read for each batch. The time of an operation is that of its batch.
package bench

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/cockroachdb/errors"
)

// Options of a run.
type Options struct {
	Addr     string
	Password string
	Clients  int
	// Requests ends the run after so many operations, Duration after that time;
	// if both are given, whichever comes first.
	Requests int64
	Duration time.Duration
	// Pipeline is how many operations a client has under way.
	Pipeline int
	// Keyspace is how many different numbers there are in keys.
	Keyspace int64
	// Size of values, in bytes.
	Size int
	Seed uint64
	// Test names the workload; Command, when not empty, is used in its place.
	Test    string
	Command []string
	// Progress is called a few times per second. Optional.
	Progress func(Progress)
}

// Progress is the state of a run under way.
type Progress struct {
	Test       string
	Operations int64
	Elapsed    time.Duration
	// PerSecond is the rate since the last call.
	PerSecond float64
}

// Result of a run. Times are in milliseconds.
type Result struct {
	Test       string  `json:"test"`
	Clients    int     `json:"clients"`
	Pipeline   int     `json:"pipeline"`
	Size       int     `json:"size"`
	Operations int64   `json:"operations"`
	Errors     int64   `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"per_second"`
	MeanMs     float64 `json:"mean_ms"`
	P50Ms      float64 `json:"p50_ms"`
	P95Ms      float64 `json:"p95_ms"`
	P99Ms      float64 `json:"p99_ms"`
	P999Ms     float64 `json:"p99_9_ms"`
	MaxMs      float64 `json:"max_ms"`
}

const (
	progressEvery  = 250 * time.Millisecond
	dialTimeout    = 5 * time.Second
	latencyMax     = 5 * time.Minute
	latencyDigits  = 3
	histogramCount = 8 // shared by the clients
	// unlimited is as good as no bound on the number of operations.
	unlimited = int64(1) << 60
)

// recorder is a histogram that some of the clients share.
type recorder struct {
	sync.Mutex
	h *hdrhistogram.Histogram
}

func (r *recorder) add(d time.Duration, n int) {
	r.Lock()
	defer r.Unlock()
	_ = r.h.RecordValues(min(d, latencyMax).Microseconds(), int64(n)) // in range by min
}

type run struct {
	o         *Options
	program   *program
	left      atomic.Int64
	done      atomic.Int64
	errors    atomic.Int64
	stop      atomic.Bool
	recorders []*recorder
	once      sync.Once
	first     string // error reply
	failure   error
}

// Run runs one test. It fails if a connection cannot be made or breaks; error
// replies are counted.
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Clients < 1 || o.Pipeline < 1 || o.Requests < 1 && o.Duration <= 0 || o.Size < 0 {
		return Result{}, errors.New("clients, pipeline and requests (or a duration) must be positive")
	}
	shapes := one(o.Command...)
	if len(o.Command) == 0 {
		var err error
		if shapes, err = findWorkload(o.Test); err != nil {
			return Result{}, err
		}
	}
	r := &run{o: &o, program: compile(shapes, &o)}
	r.left.Store(unlimited)
	if o.Requests > 0 {
		r.left.Store(o.Requests)
	}
	for range min(o.Clients, histogramCount) {
		r.recorders = append(r.recorders, &recorder{h: hdrhistogram.New(1, latencyMax.Microseconds(), latencyDigits)})
	}
	conns, err := r.connect(ctx)
	if err != nil {
		return Result{}, err
	}
	elapsed := r.drive(ctx, conns)
	return r.result(elapsed), r.failure
}

func (r *run) connect(ctx context.Context) ([]*connection, error) {
	conns := make([]*connection, 0, r.o.Clients)
	d := net.Dialer{Timeout: dialTimeout}
	for i := range r.o.Clients {
		c, err := d.DialContext(ctx, "tcp", r.o.Addr)
		if err == nil {
			conns = append(conns, newConnection(c))
			err = conns[i].login(r.o.Password)
		}
		if err != nil {
			for _, c := range conns {
				_ = c.Close()
			}
			return nil, errors.Wrapf(err, "client %d of %d", i+1, r.o.Clients)
		}
	}
	return conns, nil
}

// drive runs the clients and returns how long they took.
func (r *run) drive(ctx context.Context, conns []*connection) time.Duration {
	start := time.Now()
	if r.o.Duration > 0 {
		timer := time.AfterFunc(r.o.Duration, func() { r.stop.Store(true) })
		defer timer.Stop()
	}
	cancel := context.AfterFunc(ctx, func() { r.stop.Store(true) })
	defer cancel()
	ended := make(chan struct{})
	var progress, clients sync.WaitGroup
	if r.o.Progress != nil {
		progress.Go(func() { r.report(start, ended) })
	}
	for i, c := range conns {
		clients.Go(func() {
			if err := r.client(c, r.recorders[i%len(r.recorders)], uint64(i)); err != nil {
				r.fail(err)
			}
		})
	}
	clients.Wait()
	elapsed := time.Since(start)
	close(ended)
	progress.Wait()
	return elapsed
}

func (r *run) fail(err error) {
	r.once.Do(func() { r.failure = err })
	r.stop.Store(true)
}

// client sends batches until there is nothing left to do.
func (r *run) client(c *connection, rec *recorder, number uint64) error {
	defer func() { _ = c.Close() }()
	rnd := rand.New(rand.NewPCG(r.o.Seed, number+2))
	var buf []byte
	for !r.stop.Load() {
		n := r.o.Pipeline
		if left := r.left.Add(-int64(n)); left < 0 {
			if n += int(left); n <= 0 {
				return nil
			}
		}
		replies := 0
		buf = buf[:0]
		for range n {
			var more int
			buf, more = r.program.appendOp(buf, rnd)
			replies += more
		}
		begin := time.Now()
		if _, err := c.Write(buf); err != nil {
			return err
		}
		for range replies {
			refused, err := c.skipReply(0)
			if err != nil {
				return err
			}
			if refused && r.errors.Add(1) == 1 {
				r.first = c.lastError
			}
		}
		rec.add(time.Since(begin), n)
		r.done.Add(int64(n))
	}
	return nil
}

func (r *run) report(start time.Time, ended <-chan struct{}) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	last, lastAt := int64(0), start
	for {
		select {
		case <-ended:
			return
		case now := <-tick.C:
			n := r.done.Load()
			r.o.Progress(Progress{Test: r.name(), Operations: n, Elapsed: now.Sub(start),
				PerSecond: float64(n-last) / now.Sub(lastAt).Seconds()})
			last, lastAt = n, now
		}
	}
}

func (r *run) name() string {
	if len(r.o.Command) > 0 {
		return r.o.Command[0]
	}
	return r.o.Test
}

func (r *run) result(elapsed time.Duration) Result {
	h := r.recorders[0].h
	for _, other := range r.recorders[1:] {
		h.Merge(other.h)
	}
	ms := func(micros int64) float64 { return float64(micros) / 1000 }
	n := r.done.Load()
	return Result{
		Test: r.name(), Clients: r.o.Clients, Pipeline: r.o.Pipeline, Size: r.o.Size,
		Operations: n, Errors: r.errors.Load(), FirstError: r.first,
		Seconds: elapsed.Seconds(), PerSecond: float64(n) / elapsed.Seconds(),
		MeanMs: h.Mean() / 1000, P50Ms: ms(h.ValueAtQuantile(50)), P95Ms: ms(h.ValueAtQuantile(95)),
		P99Ms: ms(h.ValueAtQuantile(99)), P999Ms: ms(h.ValueAtQuantile(99.9)), MaxMs: ms(h.Max()),
	}
}
