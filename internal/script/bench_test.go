package script

import (
	"testing"

	"github.com/stratadb/strata/internal/wire/resp"
)

// bench is a host whose replies are short.
type bench struct{ calls int }

func (b *bench) Call([][]byte, int) ([]byte, error) {
	b.calls++
	switch b.calls % 3 {
	case 1:
		return []byte("$3\r\n123\r\n"), nil
	case 2:
		return []byte(":124\r\n"), nil
	}
	return []byte("+OK\r\n"), nil
}
func (b *bench) Tick() error                            { return nil }
func (b *bench) Allowed([][]byte) (allowed, known bool) { return true, true }
func (b *bench) Log(int, string)                        {}

// BenchmarkThreeCalls is a typical script: what it costs beside its commands.
func BenchmarkThreeCalls(b *testing.B) {
	e := NewEngine("7.2.4")
	s, err := e.Compile(0, []byte(`local v = redis.call('GET', KEYS[1]) local n = redis.call('INCRBY', KEYS[1], ARGV[1]) redis.call('EXPIRE', KEYS[1], 100) return n`))
	if err != nil {
		b.Fatal(err)
	}
	w := resp.Writer{}
	r := Run{Host: new(bench), Keys: [][]byte{[]byte("key")}, Args: [][]byte{[]byte("1")}, W: &w}
	b.ReportAllocs()
	for b.Loop() {
		w.Buf = w.Buf[:0]
		if err := e.Eval(s, &r); err != nil {
			b.Fatal(err)
		}
	}
}
