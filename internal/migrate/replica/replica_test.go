package replica

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/wire/resp"
)

// source is a server with a script: for each of its lines it reads a command, and answers.
func source(t *testing.T, answers ...string) *peer.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		d := resp.NewDecoder(c, resp.DecoderLimits{})
		for _, answer := range answers {
			if _, err := d.Decode(); err != nil {
				return
			}
			for i := range len(answer) { // as it comes
				if _, err := c.Write([]byte{answer[i]}); err != nil {
					return
				}
			}
		}
		_, _ = io.Copy(io.Discard, c)
	}()
	return &peer.Server{Addr: l.Addr().String(), Timeout: time.Minute}
}

const greeting = "+PONG\r\n|+OK\r\n|+OK\r\n"

func temporary(t *testing.T) File {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFull: the file is what the server says it is, whether it tells its length or its end, and the
// commands behind it have offsets that do not depend on how they arrive.
func TestFull(t *testing.T) {
	mark := strings.Repeat("0123456789", 4)
	commands := "*1\r\n$4\r\nPING\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n"
	for name, file := range map[string]string{"length": "\n\n$7\r\nRE\nDIS0", "mark": "\n$EOF:" + mark + "\r\nRE\nDIS0" + mark} {
		t.Run(name, func(t *testing.T) {
			behind := commands
			answers := append(strings.Split(greeting, "|"), "\n+FULLRESYNC abc 1000\r\n"+file)
			if name == "length" {
				answers[3] += behind
				behind = ""
			}
			l, err := Dial(context.Background(), source(t, append(answers, behind)...), Position{})
			if err != nil || !l.Full || l.From != (Position{"abc", 1000}) {
				t.Fatalf("%+v, %v", l, err)
			}
			defer l.Release()
			var got bytes.Buffer
			if err := l.Snapshot(&got); err != nil || got.String() != "RE\nDIS0" {
				t.Fatalf("%q, %v", got.String(), err)
			}
			l.Stream(temporary(t))
			var said []string
			for range 3 {
				args, offset, err := l.Next()
				if err != nil {
					t.Fatal(err)
				}
				said = append(said, fmt.Sprintf("%d %q", offset, bytes.Join(args, []byte(" "))))
			}
			if text := strings.Join(said, ", "); text != `1014 "PING", 1037 "SELECT 3", 1067 "SET k a\r\nb"` {
				t.Error(text)
			}
		})
	}
}

// TestGoesOn: who knows a position is sent what comes behind it, under the name that the history has
// now; other answers are errors.
func TestGoesOn(t *testing.T) {
	greet := strings.Split(greeting, "|")
	l, err := Dial(context.Background(), source(t, append(greet, "+CONTINUE def\r\n*1\r\n$4\r\nPING\r\n")...), Position{"abc", 7})
	if err != nil || l.Full || l.From != (Position{"def", 7}) {
		t.Fatalf("%+v, %v", l, err)
	}
	l.Stream(temporary(t))
	if _, offset, err := l.Next(); offset != 21 || err != nil {
		t.Errorf("%d, %v", offset, err)
	}
	closed := make(chan error)
	go func() {
		_, _, err := l.Next()
		closed <- err
	}()
	l.Close()
	if err := <-closed; err == nil {
		t.Error("a command from a link that is closed")
	}
	l.Release()
	for _, answer := range []string{"-NOMASTERLINK Can't SYNC\r\n", "+FULLRESYNC abc x\r\n", "+OK\r\n"} {
		if _, err := Dial(context.Background(), source(t, append(greet, answer)...), Position{}); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

// TestSpool: it gives back what it was given, in pieces of other sizes.
func TestSpool(t *testing.T) {
	f := temporary(t)
	s := newSpool(f)
	defer s.close()
	const lines = 50_000
	go func() {
		w := bufio.NewWriterSize(s, 4096)
		for i := range lines {
			if _, err := fmt.Fprintf(w, "%0200d\n", i); err != nil {
				t.Error(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
		s.end(io.EOF)
	}()
	n := 0
	for in := bufio.NewScanner(s); in.Scan(); n++ {
		if in.Text() != fmt.Sprintf("%0200d", n) {
			t.Fatalf("line %d is %s", n, in.Text())
		}
	}
	if waiting, _ := s.waiting(); n != lines || waiting != 0 {
		t.Errorf("%d lines, %d bytes are left", n, waiting)
	}
}
