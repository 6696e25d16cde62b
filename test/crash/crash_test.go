package crash

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/test/process"
)

var rounds = flag.Int("rounds", 3, "how often the node is killed")

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

const (
	clients     = 16
	pipelineMax = 8
	// checkEvery is after how many crashes the stopped store is verified as a whole.
	checkEvery = 5
	sampleKeys = 2000
)

// kind is a kind of operation.
type kind int

const (
	list kind = iota
	counter
	unique
	multi
	interactive
	kinds
)

func (k kind) String() string {
	return [...]string{"list", "counter", "unique", "multi", "interactive"}[k]
}

// encode is the commands of the operation with the given number, and how many
// replies they have. All of a client's keys hold its name.
func (k kind) encode(dst []byte, client string, number int) ([]byte, int) {
	n := strconv.Itoa(number)
	add := func(args ...string) { dst = resp.AppendCommand(dst, args...) }
	switch k {
	case list:
		add("APPEND", "list:"+client, n+";")
		return dst, 1
	case counter:
		add("INCR", "counter:"+client)
		add("HINCRBY", "shared", "counter", "1")
		return dst, 2
	case unique:
		add("SET", "unique:"+client+":"+n, value(client, n))
		return dst, 1
	case multi:
		add("MULTI")
		add("APPEND", "multi:"+client, n+";")
		add("HSET", "multi-hash:"+client, n, value(client, n))
		add("SET", "multi-last:"+client, n)
		add("EXEC")
		return dst, 5
	}
	add("BEGIN")
	add("APPEND", "tx:"+client, n+";")
	add("HSET", "tx-hash:"+client, n, value(client, n))
	add("ZSET", "tx:"+client, n)
	add("COMMIT")
	return dst, 5
}

func value(client, n string) string { return strings.Repeat(client+"/"+n+" ", 8) }

// writer is a connection's side of the story.
type writer struct {
	name           string
	pipeline       int
	rnd            *rand.Rand
	verified       [kinds]int // number up to which the last check has looked
	sent, acked    [kinds]int // highest numbers
	history        [kinds][]int
	countedLow     int // the counter as last read
	unexpected     string
	acknowledgedOK int
}

// run writes until the connection breaks.
func (w *writer) run(conn *process.Conn) {
	w.unexpected = ""
	defer func() { _ = conn.Close() }()
	type op struct {
		kind    kind
		number  int
		replies int
	}
	var buf []byte
	for {
		buf = buf[:0]
		ops := make([]op, 0, pipelineMax)
		for range 1 + w.rnd.IntN(w.pipeline) {
			o := op{kind: kind(w.rnd.IntN(int(kinds)))}
			w.sent[o.kind]++
			o.number = w.sent[o.kind]
			buf, o.replies = o.kind.encode(buf, w.name, o.number)
			ops = append(ops, o)
		}
		if _, err := conn.Write(buf); err != nil {
			return
		}
		for _, o := range ops {
			for range o.replies {
				v, err := conn.Decoder.Decode()
				if err != nil {
					return // the crash
				}
				if refusal := firstError(v); refusal != "" {
					w.unexpected = fmt.Sprintf("%v %d: %s", o.kind, o.number, refusal)
					return
				}
			}
			w.acked[o.kind] = o.number
			w.acknowledgedOK++
		}
	}
}

// firstError finds an error in a reply, inside EXEC's array, too.
func firstError(v resp.Value) string {
	if v.Err() != nil {
		return string(v.Str)
	}
	for _, e := range v.Array {
		if s := firstError(e); s != "" {
			return s
		}
	}
	return ""
}

func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d rounds, seed %d", *rounds, seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	writers := make([]*writer, clients)
	for i := range writers {
		writers[i] = &writer{name: fmt.Sprintf("c%d", i), pipeline: 1 + i%2*(pipelineMax-1), rnd: rand.New(rand.NewPCG(seed, uint64(i)+1))}
	}
	shared := 0
	for round := range *rounds {
		began := time.Now()
		n := process.Start(t, process.Options{Dir: dir})
		t.Logf("round %d: ready after %v", round, time.Since(began))
		shared = verify(t, n.RESP, writers, round, shared)
		t.Logf("round %d: verified after %v", round, time.Since(began))
		load(t, n, writers, round, time.Duration(100+rnd.IntN(900))*time.Millisecond)
		if t.Failed() {
			t.Fatalf("round %d\n%s", round, n.Log())
		}
		t.Logf("round %d: killed after %v", round, time.Since(began))
		if round%checkEvery == 0 {
			if code, out, log := process.Run(t, "check", dir); code != 0 {
				t.Fatalf("round %d: strata check exits with %d\n%s%s", round, code, out, log)
			}
		}
	}
	n := process.Start(t, process.Options{Dir: dir})
	verify(t, n.RESP, writers, *rounds, shared)
	everything(t, n.RESP, writers)
	total := 0
	for _, w := range writers {
		total += w.acknowledgedOK
	}
	t.Logf("%d operations were acknowledged", total)
	if code := n.Stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d\n%s", code, n.Log())
	}
}

// load lets the writers write and kills the node under them.
func load(t *testing.T, n *process.Node, writers []*writer, round int, d time.Duration) {
	t.Helper()
	open, err := process.Dial(n.RESP)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	name := strconv.Itoa(round)
	for _, args := range [][]string{{"BEGIN"}, {"SET", "open:" + name, "x"}, {"HSET", "open-hash", name, "x"}, {"ZSET", "open:" + name, "x"}} {
		if v, err := open.Do(args...); err != nil || v.Err() != nil {
			t.Fatalf("%v: %s, %v", args, v.Str, err)
		}
	}
	var wg sync.WaitGroup
	for _, w := range writers {
		conn, err := process.Dial(n.RESP)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { w.run(conn) })
	}
	time.Sleep(d)
	n.Kill()
	wg.Wait()
	for _, w := range writers {
		if w.unexpected != "" {
			t.Errorf("%s: %s", w.name, w.unexpected)
		}
	}
}
