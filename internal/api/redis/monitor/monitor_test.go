package monitor

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestRedacted: no password is shown, and nothing else is hidden.
func TestRedacted(t *testing.T) {
	for _, x := range []struct{ name, args, want string }{
		{"auth", "AUTH user secret", "AUTH (redacted) (redacted)"},
		{"auth", "AUTH secret", "AUTH (redacted)"},
		{"acl|setuser", "ACL SETUSER ann on >secret", "ACL SETUSER (redacted) (redacted) (redacted)"},
		{"hello", "HELLO 3 SETNAME auth AUTH user secret", "HELLO 3 SETNAME auth AUTH (redacted) (redacted)"},
		{"hello", "HELLO 3 AUTH user secret SETNAME me", "HELLO 3 AUTH (redacted) (redacted) SETNAME me"},
		{"hello", "HELLO 3 auth", "HELLO 3 auth"},
		{"config|set", "CONFIG SET timeout 1 REQUIREPASS secret maxclients 2 requirepass secret", "CONFIG SET timeout 1 REQUIREPASS (redacted) maxclients 2 requirepass (redacted)"},
		{"config|set", "CONFIG SET timeout requirepass", "CONFIG SET timeout requirepass"},
		{"get", "GET auth", "GET auth"},
	} {
		args := bytes.Fields([]byte(x.args))
		if got := string(bytes.Join(Redacted(x.name, args), []byte(" "))); got != x.want {
			t.Errorf("%s\n  got  %s\n  want %s", x.args, got, x.want)
		}
		if got := string(bytes.Join(args, []byte(" "))); got != x.args {
			t.Errorf("%s became %s", x.args, got)
		}
	}
}

// TestHub: who listens is told every line from its beginning on.
func TestHub(t *testing.T) {
	some := 0
	h := Hub{Some: func(is bool) {
		some = 0
		if is {
			some = 1
		}
	}}
	a, b := &ear{}, &ear{}
	tell := func(word string) { h.Tell(time.UnixMicro(1234567000089), 3, "here", [][]byte{[]byte(word)}) }
	tell("nobody")
	h.Add(a, func() { a.WriteString("begin ") })
	tell("one")
	h.Add(b, func() {})
	tell("both")
	h.Remove(a)
	tell("b")
	if some != 1 {
		t.Error("somebody listens, and nobody knows")
	}
	h.Remove(b)
	tell("nobody")
	line := func(word string) string { return "+1234567.000089 [3 here] \"" + word + "\"\r\n" }
	if a.String() != "begin "+line("one")+line("both") || b.String() != line("both")+line("b") || some != 0 {
		t.Errorf("%q, %q, %d", a, b, some)
	}
}

type ear struct{ strings.Builder }

func (e *ear) Tell(line []byte) { e.Write(line) }

type noListener struct{}

func (noListener) Tell([]byte) {}

// TestBeginComesWhenItIsKnown: whoever hears that there is a listener can rely on its being told.
func TestBeginComesWhenItIsKnown(t *testing.T) {
	var known, then bool
	h := Hub{Some: func(some bool) { known = some }}
	h.Add(noListener{}, func() { then = known })
	if !then {
		t.Error("the listener begins before anybody knows that there is one")
	}
	if h.Remove(noListener{}); known {
		t.Error("nobody listens, and nobody was told")
	}
}
