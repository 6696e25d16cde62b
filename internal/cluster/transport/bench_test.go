package transport

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
)

// cpu is the processor time of this process: both ends are in it.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportCPU reports the processor time per operation.
func reportCPU(b *testing.B, begin time.Duration) {
	b.ReportMetric(float64((cpu(b)-begin).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func BenchmarkCall(b *testing.B) {
	for _, callers := range []struct {
		name string
		n    int
	}{{"callers=1", 1}, {"callers=16", 16}, {"callers=256", 256}} {
		b.Run(callers.name, func(b *testing.B) {
			c := newCluster(b)
			a := c.start(1, nil)
			c.start(2, withEcho)
			ctx, request := contextFor(b, time.Hour), make([]byte, 100)
			if _, err := a.Call(ctx, 2, kindEcho, request); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			begin := cpu(b)
			var next atomic.Int64
			var wg sync.WaitGroup
			for range callers.n {
				wg.Go(func() {
					for next.Add(1) <= int64(b.N) {
						if _, err := a.Call(ctx, 2, kindEcho, request); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			reportCPU(b, begin)
		})
	}
}

// benchmarkSend sends until b.N messages have come.
func benchmarkSend(b *testing.B, kind Kind, size int) {
	c := newCluster(b)
	var came atomic.Int64
	progress := make(chan struct{}, 1)
	a := c.start(1, nil)
	c.start(2, func(r Registrar) {
		r.HandleMessage(kind, func(base.NodeID, []byte, bool) {
			came.Add(1)
			token(progress)
		})
	})
	payload := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	begin := cpu(b)
	for sent := 0; sent < b.N; {
		if a.Send(2, kind, payload) {
			sent++
		} else {
			<-progress
		}
	}
	for came.Load() < int64(b.N) {
		<-progress
	}
	reportCPU(b, begin)
}

func BenchmarkSendSmall(b *testing.B) { benchmarkSend(b, kindNumber, 100) }

func BenchmarkSendBulk(b *testing.B) { benchmarkSend(b, kindNumber|Bulk, 1<<20) }

func BenchmarkStream(b *testing.B) {
	const size = 128 << 10
	c := newCluster(b)
	var h streams
	a := c.start(1, nil)
	c.start(2, h.register)
	s, err := a.OpenStream(contextFor(b, time.Hour), 2, kindDown, down(b.N, size))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.SetBytes(size)
	b.ReportAllocs()
	b.ResetTimer()
	begin := cpu(b)
	for range b.N {
		if _, err := s.Recv(); err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, begin)
}
