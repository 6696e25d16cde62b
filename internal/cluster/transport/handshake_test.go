package transport

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

func TestHandshakeRefusals(t *testing.T) {
	only := func(node base.NodeID) func(*Options) {
		return func(o *Options) {
			o.Admit = func(p Peer) error {
				if p.Node != node || p.Store != (base.StoreID{byte(node)}) {
					return errors.New("removed")
				}
				return nil
			}
		}
	}
	for _, c := range []struct {
		name           string
		dialler, taker func(*Options)
		to             base.NodeID
		want           error
		log            string // of the side that accepts
	}{
		{"foreign cluster", func(o *Options) { o.Cluster[0]++ }, nil, 2, ErrForeignCluster, "node 1 of cluster"},
		{"wrong node", nil, nil, 3, ErrWrongNode, "looks for node 3, this is node 2"},
		{"not admitted there", nil, only(5), 2, ErrNotAdmitted, "removed"},
		{"not admitted here", only(5), nil, 2, ErrNotAdmitted, "removed"},
		{"no room", nil, func(o *Options) { o.Connections = -1 }, 2, io.EOF, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCluster(t)
			var ds faults
			var dismissed atomic.Bool
			changes := []func(*Options){ds.use, func(o *Options) { o.Dismissed = func() { dismissed.Store(true) } }}
			if c.dialler != nil {
				changes = append(changes, c.dialler)
			}
			taker := func(*Options) {}
			if c.taker != nil {
				taker = c.taker
			}
			b := cl.start(2, withEcho, taker)
			address, err := cl.addresses.Resolve(2)
			if err != nil {
				t.Fatal(err)
			}
			cl.addresses.set(3, address)
			a := cl.start(1, nil, changes...)
			for range 100 { // the dialler does not hammer
				_, err := a.Call(contextFor(t, patience), c.to, kindEcho, nil)
				if !errors.Is(err, base.ErrUnavailable) || errors.Is(err, base.ErrUnknownOutcome) {
					t.Fatalf("call: %v", err)
				}
				if c.want != io.EOF && !errors.Is(err, c.want) {
					t.Fatalf("call: %v, want %v", err, c.want)
				}
			}
			if n := ds.count(); c.want != io.EOF && n != 1 {
				t.Errorf("dialled %d times", n)
			}
			if a.Send(c.to, kindEcho, nil) && c.want != io.EOF {
				t.Error("message was taken")
			}
			cl.says(c.log)
			if dismissed.Load() != (c.name == "not admitted there") {
				t.Errorf("dismissed: %v", dismissed.Load())
			}
			if c.name != "not admitted here" {
				eventually(t, "the refusal is counted", func() bool { return b.Metrics().Refused > 0 })
			}
		})
	}
}

// rawDial is a connection to node 2 on which the test speaks itself.
func (c *cluster) rawDial() net.Conn {
	c.t.Helper()
	address, err := c.addresses.Resolve(2)
	if err != nil {
		c.t.Fatal(err)
	}
	nc, err := net.Dial("tcp", address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	return nc
}

func rawHello() hello {
	return hello{version: protocolVersion, oldest: protocolOldest, cluster: testCluster, from: Peer{Node: 9}, to: 2}
}

// greeted is a raw connection after its handshake.
func (c *cluster) greeted() net.Conn {
	c.t.Helper()
	nc := c.rawDial()
	if _, err := greet(nc, rawHello(), nil); err != nil {
		c.t.Fatal(err)
	}
	return nc
}

func TestHandshakeVersions(t *testing.T) {
	c := newCluster(t)
	c.start(2, withEcho)
	for _, v := range []struct {
		oldest, version uint16
		want            error
	}{{1, 1, nil}, {1, 9, nil}, {2, 9, ErrIncompatible}, {0, 0, ErrIncompatible}} {
		h := rawHello()
		h.oldest, h.version = v.oldest, v.version
		from, err := greet(c.rawDial(), h, nil)
		if !errors.Is(err, v.want) || from.Node != 2 {
			t.Errorf("versions %d to %d: %v, want %v", v.oldest, v.version, err, v.want)
		}
	}
	c.says("speaks versions 2 to 9, this binary 1 to 1")
}

func TestHandshakeGarbage(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, nil)
	c.start(2, withEcho, func(o *Options) { o.DialTimeout = 20 * time.Millisecond })
	damaged := rawHello().encode()
	damaged[40] ^= 1
	class := rawHello().encode()
	class[12] = classCount
	binary.LittleEndian.PutUint32(class[helloBytes-4:], crc32.Checksum(class[:helloBytes-4], castagnoli))
	for _, b := range [][]byte{make([]byte, helloBytes), damaged, class, damaged[:10], nil} {
		nc := c.rawDial()
		if _, err := nc.Write(b); err != nil {
			t.Fatal(err)
		}
		// The last two say too little: they are not waited for longer than the
		// handshake may take.
		if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%x was answered", b)
		}
	}
	eventually(t, "who greets in time is answered", func() bool {
		_, err := a.Call(contextFor(t, patience), 2, kindEcho, nil)
		return err == nil
	})
}

// TestDiallerMeetsStranger: what answers is not a node, or refuses in words that
// this binary does not know.
func TestDiallerMeetsStranger(t *testing.T) {
	strange := welcome{version: 1, from: Peer{Node: 2}}.encode()
	strange[10] = 99
	binary.LittleEndian.PutUint32(strange[welcomeBytes-4:], crc32.Checksum(strange[:welcomeBytes-4], castagnoli))
	for _, c := range []struct {
		answer []byte
		want   error
	}{
		{make([]byte, welcomeBytes), ErrProtocol},
		{strange, ErrProtocol},
		{welcome{version: 1, from: Peer{Node: 3}}.encode(), ErrWrongNode},
		{welcome{version: 7, from: Peer{Node: 2}}.encode(), ErrIncompatible},
		{welcome{version: 1, refusal: ErrTooManyConnections, from: Peer{Node: 2}}.encode(), ErrTooManyConnections},
	} {
		here, there := net.Pipe()
		answered := make(chan error, 1)
		go func() {
			_, err := receive(there)
			if err == nil {
				_, err = there.Write(c.answer)
			}
			answered <- err
		}()
		if _, err := greet(here, rawHello(), nil); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
		if err := errors.CombineErrors(<-answered, errors.CombineErrors(here.Close(), there.Close())); err != nil {
			t.Error(err)
		}
	}
}

// TestViolationsEndTheConnection: and nothing else.
func TestViolationsEndTheConnection(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, nil)
	c.start(2, withEcho)
	request := encoded(header{typ: typeRequest, kind: kindEcho, stream: 1}, []byte("x"))
	flipped := append(request[:len(request)-1:len(request)-1], 'y')
	for _, v := range []struct {
		bytes []byte
		log   string
	}{
		{append(request[:len(request):len(request)], request...), "exchange 1 begins after exchange 1"},
		{flipped, "frame payload fails its checksum"},
		{make([]byte, headerBytes), "frame header fails its checksum"},
		{forged(77, 0, 0), "unknown frame type 77"},
		{forged(byte(typeRequest), 0, 1<<31), "announces 2147483648 bytes"},
		{encoded(header{typ: typeResponse, stream: 1}, nil), "a frame of type 3 from the side that asks"},
	} {
		nc := c.greeted()
		if _, err := nc.Write(v.bytes); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, nc); errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		c.says(v.log)
	}
	if _, err := a.Call(contextFor(t, patience), 2, kindEcho, nil); err != nil {
		t.Error(err)
	}
}

// TestNewConnectionDisplacesOldOne: and waits until its reader has left the
// handler, so that no two messages of a node are handled at once.
func TestNewConnectionDisplacesOldOne(t *testing.T) {
	c := newCluster(t)
	handling, release := make(chan string, 10), make(chan struct{}, 10)
	c.start(2, func(r Registrar) {
		r.HandleMessage(kindEcho, func(_ base.NodeID, payload []byte, _ bool) {
			handling <- string(payload)
			<-release
		})
	})
	first := c.greeted()
	if _, err := first.Write(encoded(header{typ: typeMessage, kind: kindEcho}, []byte("first"))); err != nil {
		t.Fatal(err)
	}
	if got := <-handling; got != "first" {
		t.Fatal(got)
	}
	second := c.rawDial()
	if _, err := second.Write(append(rawHello().encode(),
		encoded(header{typ: typeMessage, kind: kindEcho}, []byte("second"))...)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, first); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Logf("the first connection ended: %v", err) // a reset is as good as an end
	}
	select {
	case got := <-handling:
		t.Fatalf("%q is handled at the same time", got)
	default:
	}
	release <- struct{}{}
	release <- struct{}{}
	if got := <-handling; got != "second" {
		t.Fatal(got)
	}
	r := bufio.NewReader(second)
	var b [welcomeBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		t.Fatal(err)
	}
	if w, err := decodeWelcome(b[:]); err != nil || w.refusal != nil {
		t.Fatalf("%+v, %v", w, err)
	}
}
