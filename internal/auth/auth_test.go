package auth

import (
	"strings"
	"testing"
	"time"
)

// few is a small table of commands.
func few() *Commands {
	return NewCommands([]Command{
		{Name: "get", Categories: []string{"read", "string", "fast"}, Container: -1},
		{Name: "set", Categories: []string{"write", "string", "slow"}, Container: -1},
		{Name: "config", Categories: []string{"slow"}, Container: -1},
		{Name: "config|get", Categories: []string{"admin", "dangerous", "slow"}, Container: 2},
		{Name: "config|set", Categories: []string{"admin", "dangerous", "slow"}, Container: 2},
		{Name: "select", Categories: []string{"connection", "fast"}, Container: -1},
		{Name: "publish", Categories: []string{"pubsub", "fast"}, Container: -1},
	}, []string{"read", "write", "string", "admin", "dangerous", "fast", "slow", "connection", "pubsub"})
}

func with(t *testing.T, rules ...string) *User {
	t.Helper()
	u, err := NewUser(few(), "u").With(few(), rules...)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestRules: what rules make of a new user, as ACL LIST prints it.
func TestRules(t *testing.T) {
	secret := Digest([]byte("secret"))
	for _, c := range []struct{ rules, want string }{
		{"", "off sanitize-payload resetchannels -@all"},
		{"on nopass allkeys allchannels allcommands", "on nopass sanitize-payload ~* &* +@all"},
		{"ON >secret", "on sanitize-payload #" + secret + " resetchannels -@all"},
		{">secret >secret #" + secret, "off sanitize-payload #" + secret + " resetchannels -@all"},
		{">secret <secret", "off sanitize-payload resetchannels -@all"},
		{">secret !" + secret, "off sanitize-payload resetchannels -@all"},
		{">secret nopass", "off nopass sanitize-payload resetchannels -@all"},
		{"nopass >secret", "off sanitize-payload #" + secret + " resetchannels -@all"},
		{">secret resetpass", "off sanitize-payload resetchannels -@all"},
		{"skip-sanitize-payload", "off skip-sanitize-payload resetchannels -@all"},
		{"~a ~b ~a %R~c %W~c %r~d %W~e %RW~f %WR~g", "off sanitize-payload ~a ~b ~c %R~d %W~e ~f ~g resetchannels -@all"},
		{"~a allkeys", "off sanitize-payload ~* resetchannels -@all"},
		{"~a resetkeys ~b", "off sanitize-payload ~b resetchannels -@all"},
		{"&a &b &a", "off sanitize-payload resetchannels &a &b -@all"},
		{"&a resetchannels &b", "off sanitize-payload resetchannels &b -@all"},
		{"+get +set -get", "off sanitize-payload resetchannels -@all +set -get"},
		{"+@all -@dangerous +CONFIG|Get", "off sanitize-payload resetchannels +@all -@dangerous +config|get"},
		{"+config|get +config", "off sanitize-payload resetchannels -@all +config"},
		{"+config -config|get", "off sanitize-payload resetchannels -@all +config -config|get"},
		{"+select|1 +select|A", "off sanitize-payload resetchannels -@all +select|1 +select|a"},
		{"+select|1 -select", "off sanitize-payload resetchannels -@all -select"},
		{"+get +@all", "off sanitize-payload resetchannels +@all"},
		{"+@all nocommands", "off sanitize-payload resetchannels -@all"},
		{"on ~a (+get ~b) ( +set %W~c )", "on sanitize-payload ~a resetchannels -@all (~b resetchannels -@all +get) (%W~c resetchannels -@all +set)"},
		{"() clearselectors", "off sanitize-payload resetchannels -@all"},
		{"on nopass ~* +@all &x (+get) reset", "off sanitize-payload resetchannels -@all"},
	} {
		merged, _, ok := Merge(words(c.rules))
		if !ok {
			t.Fatal(c.rules)
		}
		if got := strings.Join(with(t, merged...).Rules(), " "); got != c.want {
			t.Errorf("%s\n  got  %s\n  want %s", c.rules, got, c.want)
		}
	}
}

// TestRefusedRules: a rule that is refused changes nothing, and says why.
func TestRefusedRules(t *testing.T) {
	c := few()
	u := with(t, "on", "~*", "&*")
	before := u.String()
	for _, x := range []struct {
		rule string
		want error
	}{
		{"+nope", errUnknown}, {"-nope", errUnknown}, {"+@nope", errUnknown}, {"-@nope", errUnknown}, {"+config|nope", errUnknown},
		{"-get|x", errUnknown}, {"+nope|x", errUnknown}, {"+config|get|x", errFirstArg}, {"+get|", errSyntax}, {"nope", errSyntax}, {"+get x", errSyntax}, {" ", errSyntax},
		{"~x", errAllKeys}, {"%R~x", errAllKeys}, {"&x", errAllChannels}, {"<nope", errNoPassword}, {"#12", errHash},
		{"#" + strings.Repeat("A", 64), errHash}, {"!12", errHash}, {"(+nope)", errUnknown}, {"(~a x)", errSyntax}, {"((+get)", errSyntax},
		{"(on)", errSyntax}, {"(%~a)", errSyntax}, {"(%X~a)", errSyntax}, {"(%RR~a)", errSyntax}, {"(%)", errSyntax}, {"(&a ~* ~b)", errAllKeys},
	} {
		_, err := u.With(c, "off", x.rule)
		r, ok := err.(*RefusedError)
		if !ok || r.Why != x.want || r.Rule != x.rule {
			t.Errorf("%s: %v, want %v", x.rule, err, x.want)
		}
	}
	if got := u.String(); got != before {
		t.Errorf("%s became %s", before, got)
	}
	if _, at, ok := Merge([]string{"on", "(+get", "~a"}); ok || at != 1 {
		t.Error("an open parenthesis at", at, ok)
	}
	if _, at, ok := Merge([]string{"(+get", "(~a", ")"}); ok || at != 0 {
		t.Error("a parenthesis in another one at", at, ok)
	}
}

// TestCheck: who may do what.
func TestCheck(t *testing.T) {
	c := few()
	call := func(name string, keys []Use, args ...string) Call {
		number, _ := c.find(name)
		call := Call{Command: number, Keys: keys}
		for _, a := range append([]string{name}, args...) {
			call.Args = append(call.Args, []byte(a))
		}
		if len(args) > 0 {
			call.First = call.Args[1]
		}
		return call
	}
	read, write, both, seen := []Use{{1, true, false}}, []Use{{1, false, true}}, []Use{{1, true, true}}, []Use{{At: 1}}
	channel := call("publish", nil, "news")
	channel.Channels = []int{1}
	pattern := call("publish", nil, "n*")
	pattern.Channels, pattern.Patterns = []int{1}, true
	whole := call("get", read, "*")
	whole.Whole = true
	free := call("set", nil)
	free.Free = true
	for _, x := range []struct {
		rules string
		call  Call
		want  Denial
		at    int
	}{
		{"+get ~a*", call("get", read, "ab"), Allowed, 0},
		{"+get ~a*", call("get", read, "b"), DeniedKey, 1},
		{"+set ~a*", call("get", read, "ab"), DeniedCommand, 0},
		{"+get %R~a", call("get", read, "a"), Allowed, 0},
		{"+set %R~a", call("set", write, "a"), DeniedKey, 1},
		{"+set %W~a", call("set", write, "a"), Allowed, 0},
		{"+set %W~a", call("set", both, "a"), DeniedKey, 1},
		{"+set %W~a %R~a", call("set", both, "a"), Allowed, 0},
		{"+set %W~a* %R~a", call("set", both, "a"), DeniedKey, 1}, // by two patterns together it is not allowed
		{"+get %W~a", call("get", seen, "a"), Allowed, 0},
		{"+get %W~a", call("get", seen, "b"), DeniedKey, 1},
		{"+get", call("get", nil), Allowed, 0},
		{"+publish &news", channel, Allowed, 0},
		{"+publish &n*", channel, Allowed, 0},
		{"+publish &x", channel, DeniedChannel, 1},
		{"+publish &n*", pattern, Allowed, 0},
		{"+publish &*s &news", pattern, DeniedChannel, 1},
		{"+publish &* resetchannels", pattern, DeniedChannel, 1},
		{"+publish &*", pattern, Allowed, 0},
		{"+select|1", call("select", nil, "1"), Allowed, 0},
		{"+select|1", call("select", nil, "2"), DeniedCommand, 0},
		{"+select|a", call("select", nil, "A"), Allowed, 0},
		{"+select|1", call("select", nil), DeniedCommand, 0},
		{"+config|get", call("config|get", nil, "x"), Allowed, 0},
		{"+config|get", call("config|set", nil, "x"), DeniedCommand, 0},
		{"+@slow", call("config|set", nil, "x"), Allowed, 0},
		{"+config -@dangerous", call("config|set", nil), DeniedCommand, 0},
		{"+@all -get", call("get", nil), DeniedCommand, 0},
		{"+@all -get +get", call("get", nil), Allowed, 0},
		{"(+get ~a) (+set ~b)", call("get", read, "a"), Allowed, 0},
		{"(+get ~a) (+set ~b)", call("set", read, "b"), Allowed, 0},
		{"(+get ~a) (+set ~b)", call("get", read, "b"), DeniedKey, 1},
		{"+publish (+get ~a) (+publish &x)", channel, DeniedChannel, 1},
		{"", free, Allowed, 0},
		{"+get ~a*", whole, DeniedKey, 1},
		{"+get ~a* %R~**", whole, Allowed, 0},
		{"+get %W~*", whole, DeniedKey, 1},
		{"+get ~*", whole, Allowed, 0},
	} {
		merged, _, _ := Merge(words(x.rules))
		if denial, at := with(t, merged...).Check(&x.call); denial != x.want || at != x.at {
			t.Errorf("%s: %q: %v at %d, want %v at %d", x.rules, x.call.Args, denial, at, x.want, x.at)
		}
	}
}

// TestReadsAnyKey: the selector that allows the call has to allow all keys to be read.
func TestReadsAnyKey(t *testing.T) {
	for rules, want := range map[string]bool{
		"+get ~*": true, "+get %R~*": true, "+get %W~*": false, "+get ~a": false, "+get ~a (+set ~*)": false, "+get ~a (+get ~*)": true,
	} {
		merged, _, _ := Merge(words(rules))
		call := Call{Command: 0, Args: [][]byte{[]byte("get"), []byte("a")}}
		if got := with(t, merged...).ReadsAnyKey(&call); got != want {
			t.Errorf("%s: %v", rules, got)
		}
	}
}

// TestPasswords: who may log in.
func TestPasswords(t *testing.T) {
	for _, x := range []struct {
		rules, password string
		want            bool
	}{
		{"on >a >b", "a", true}, {"on >a >b", "b", true}, {"on >a >b", "c", false}, {"on >a <a", "a", false}, {"on", "", false},
		{"off >a", "a", false}, {"off nopass", "a", false}, {"on nopass", "anything", true}, {"on >", "", true},
	} {
		if got := with(t, words(x.rules)...).Accepts([]byte(x.password)); got != x.want {
			t.Errorf("%s, %q: %v", x.rules, x.password, got)
		}
	}
}

// TestUnlimited: a user without limits is recognised, one with any is not.
func TestUnlimited(t *testing.T) {
	for rules, want := range map[string]bool{
		"~* &* +@all": true, "&* +@all": false, "~* +@all": false, "~* &* +get": false, "~* &* +@all -get": false, "(~* &* +@all)": true,
		"~* +@all (&* +@all)": false, "": false,
	} {
		merged, _, _ := Merge(words(rules))
		if got := with(t, merged...).Unlimited(); got != want {
			t.Errorf("%s: %v", rules, got)
		}
	}
}

// TestLog: refusals of the same reason within a minute are one entry, the newest is first.
func TestLog(t *testing.T) {
	var l Log
	at := time.Unix(1000, 0)
	add := func(object string, after time.Duration) {
		at = at.Add(after)
		l.Add(Refusal{Reason: DeniedKey, Object: object, Client: at.String()}, at, 3)
	}
	shows := func(want ...string) {
		t.Helper()
		var got []string
		for _, e := range l.Entries(10) {
			got = append(got, e.Object+strings.Repeat("+", int(e.Count)-1))
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	add("a", 0)
	add("b", time.Second)
	add("a", time.Second)
	shows("a+", "b")
	first := l.Entries(1)[0]
	if first.ID != 0 || !first.Created.Equal(time.Unix(1000, 0)) || !first.Updated.Equal(at) || first.Client != at.String() {
		t.Errorf("%+v", first)
	}
	add("a", time.Minute)
	add("a", time.Minute+time.Millisecond)
	shows("a", "a++", "b")
	add("c", 0)
	shows("c", "a", "a++")
	if l.Entries(1)[0].ID != 3 {
		t.Error("entries are not numbered in their order")
	}
	l.Trim(1)
	shows("c")
	l.Reset()
	shows()
	add("d", 0)
	if e := l.Entries(-1); len(e) != 0 || l.Refused(DeniedKey) != 7 || l.Refused(DeniedCommand) != 0 {
		t.Error(e, l.Refused(DeniedKey))
	}
}
