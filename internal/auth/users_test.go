package auth

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

func database() *kv.DB {
	return kv.New(kvmem.New(func() base.Stamp { return base.Stamp(time.Now().UnixMicro()) }), time.Now)
}

// process is one that keeps users up to date.
type process struct {
	*Users
	told chan []Change
}

func open(t *testing.T, db *kv.DB, password string) *process {
	t.Helper()
	p := &process{told: make(chan []Change, 100)}
	var err error
	if p.Users, err = Open(db, few(), password, func(c []Change) { p.told <- c }); err != nil {
		t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		p.Watch(stop, func(err error) { t.Error(err) })
	}()
	t.Cleanup(func() {
		close(stop)
		<-ended
		p.Close()
	})
	return p
}

func (p *process) set(t *testing.T, name string, rules ...string) {
	t.Helper()
	if err := p.Change(func(e *Edit) error { return e.Set(name, rules...) }); err != nil {
		t.Fatal(err)
	}
}

func (p *process) list() string {
	var b strings.Builder
	for _, u := range p.All() {
		b.WriteString(u.String() + "\n")
	}
	return b.String()
}

// hears waits until the process knows what others have changed.
func (p *process) hears(t *testing.T, o *process) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); p.list() != o.list(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("here\n%sthere\n%s", p.list(), o.list())
		}
	}
}

// TestUsersAreShared: a change is in force where it was made at once, elsewhere soon, and after
// a restart.
func TestUsersAreShared(t *testing.T) {
	db := database()
	a, b := open(t, db, ""), open(t, db, "")
	if got := a.list(); got != "user default on nopass sanitize-payload ~* &* +@all\n" {
		t.Fatal(got)
	}
	a.set(t, "ann", "on", ">x", "+get", "~a*")
	a.set(t, "bob", "on", "nopass", "+@read", "(+set %W~b)")
	if a.Find("ann") == nil || a.Find("bob").Limits() == nil || a.Default().Limits() != nil {
		t.Fatal(a.list())
	}
	b.hears(t, a)
	ann := b.Find("ann")
	b.set(t, "ann", "+set")
	if b.Find("ann") != ann {
		t.Error("a changed user is another account")
	}
	a.hears(t, b)
	if c := open(t, db, ""); c.list() != a.list() {
		t.Errorf("after a restart\n%s", c.list())
	}
	if err := a.Change(func(e *Edit) error { return e.Set("ann", "off", "+nope") }); err == nil || a.list() != b.list() {
		t.Error(err, a.list())
	}
}

// TestUsersEnd: a user that is deleted may do nothing from then on, also if another one has its
// name before anybody looks.
func TestUsersEnd(t *testing.T) {
	db := database()
	a, b := open(t, db, ""), open(t, db, "")
	a.set(t, "ann", "on", "nopass", "+@all", "~*", "&*")
	b.hears(t, a)
	here, there := a.Find("ann"), b.Find("ann")
	if here.Limits() != nil {
		t.Fatal("ann has limits")
	}
	remake := func(e *Edit) error {
		if found, err := e.Delete("ann"); !found || err != nil {
			return fmt.Errorf("deleted: %v, %w", found, err)
		}
		return e.Set("ann", "on", "nopass", "+get")
	}
	if err := a.Change(remake); err != nil {
		t.Fatal(err)
	}
	b.hears(t, a)
	call := Call{Command: 0, Args: [][]byte{[]byte("get")}}
	for _, old := range []*Account{here, there} {
		if denial, _ := old.User().Check(&call); !old.Ended() || denial != DeniedCommand || old.Limits() == nil {
			t.Error("the account of the one before may still do something")
		}
	}
	if a.Find("ann") == here || a.Find("ann").Ended() {
		t.Error("the new user has the account of the one before")
	}
	changes := <-b.told // ann ended; her making was nobody's change
	for ; changes[0].After != nil; changes = <-b.told {
	}
	if changes[0].Account != there {
		t.Errorf("told of %q", changes[0].Account.Name())
	}
}

// TestBegin: the password of a process that starts is the default user's, unless the one before
// had the same and somebody has changed it since.
func TestBegin(t *testing.T) {
	db := database()
	accepts := func(u *process, password string) bool { return u.Default().User().Accepts([]byte(password)) }
	a := open(t, db, "one")
	if !accepts(a, "one") || accepts(a, "two") || a.Default().User().Open() {
		t.Error("the first password is not in force")
	}
	if b := open(t, db, ""); !accepts(b, "one") || b.Default().User().Open() {
		t.Error("no password has opened the database")
	}
	a.set(t, Default, "resetpass", ">two", "-set")
	if b := open(t, db, "one"); !accepts(b, "two") || accepts(b, "one") {
		t.Error("a restart has brought an old password back")
	}
	if b := open(t, db, "three"); !accepts(b, "three") || accepts(b, "two") || b.Default().Limits() == nil {
		t.Error("the third password is not in force, or rules were lost")
	}
	if err := a.Change(func(e *Edit) error { return e.SetDefaultPassword("") }); err != nil || !a.Default().User().Open() {
		t.Error("a password that was taken away is asked for", err)
	}
}

// TestUnknownCommandsStay: a node that does not know a command keeps its rule.
func TestUnknownCommandsStay(t *testing.T) {
	db := database()
	a := open(t, db, "")
	a.set(t, "ann", "on", "nopass", "+@all", "-set", "(+@read +get ~a)")
	old := NewCommands([]Command{{Name: "set", Container: -1, Categories: []string{"write"}}}, []string{"write"})
	o, err := Open(db, old, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if got, want := o.Find("ann").User().String(), a.Find("ann").User().String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := o.Change(func(e *Edit) error { return e.Set("ann", "+set") }); err != nil {
		t.Fatal(err)
	}
	if err := a.Refresh(); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(a.Find("ann").User().Rules(), " "), "on nopass sanitize-payload resetchannels +@all +set (~a resetchannels -@all +@read +get)"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestRowsAreChecked(t *testing.T) {
	db := database()
	a := open(t, db, "secret")
	a.set(t, "ann", "on", "+get", "(+set ~x)")
	rows := 0
	if err := db.NewSession().RunAndWait(kv.Func(func(tx kv.Txn) error {
		return tx.Scan(Area(), kv.ScanOptions{}, func(k, v []byte) bool {
			rows++
			if err := CheckRow(k, v); err != nil {
				t.Error(err)
			}
			for _, broken := range [][]byte{append(bytes.Clone(v), 200), v[:len(v)-1]} {
				if err := CheckRow(k, broken); !errors.Is(err, base.ErrCorruption) {
					t.Errorf("row %q with %q: %v", k, broken, err)
				}
			}
			return true
		})
	})); err != nil || rows != 4 {
		t.Error(rows, err)
	}
	for _, k := range [][]byte{key(9), append(key(rowVersion), 'x'), key(rowVersion)[:2]} {
		if CheckRow(k, make([]byte, 8)) == nil {
			t.Errorf("row %q", k)
		}
	}
}

// calls are all that few's commands can be about a few keys and channels.
func calls(r *rand.Rand) (list []Call) {
	for number := range few().list {
		for range 8 {
			word := []byte([]string{"a", "ab", "b", "news", "*", "1"}[r.IntN(6)])
			list = append(list, Call{
				Command: number, Args: [][]byte{nil, word}, First: word, Keys: []Use{{1, r.IntN(2) == 0, r.IntN(2) == 0}}[:r.IntN(2)],
				Channels: []int{1}[:r.IntN(2)], Patterns: r.IntN(2) == 0, Whole: r.IntN(4) == 0,
			})
		}
	}
	return list
}

// same fails unless a user is what its rules make of nothing (A2).
func same(t *testing.T, u *User, r *rand.Rand) {
	t.Helper()
	stored, err := decodeRow(row{made: 7, rules: u.Rules()}.encode())
	if err != nil {
		t.Fatal(err)
	}
	again, err := stored.user(few(), u.name)
	if err != nil {
		t.Fatalf("%s: %v", u, err)
	}
	if again.String() != u.String() || again.Open() != u.Open() {
		t.Fatalf("%s\nbecame %s", u, again)
	}
	for _, c := range calls(r) {
		want, at := u.Check(&c)
		if got, where := again.Check(&c); got != want || where != at {
			t.Fatalf("%s: %+v: %v, and of what it prints %v", u, c, want, got)
		}
	}
}

// FuzzRules: whatever rules are accepted, the user that they make is the one that it prints.
func FuzzRules(f *testing.F) {
	for _, rules := range []string{"on\n>x\n+get\n~a*", "+@all\n-@slow\n(+config|get ~b)\n&news", "%R~a\n%W~a\n+select|1\n-select\n+@fast", "(~a) +get)", "+get|)\n+select|(", "reset\nallkeys\nnopass"} {
		f.Add(rules, uint64(1))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		u, c := NewUser(few(), "u"), few()
		for _, rule := range strings.Split(text, "\n") {
			if next, err := u.With(c, rule); err == nil {
				u = next
			}
		}
		same(t, u, rand.New(rand.NewPCG(seed, 1)))
	})
}

// TestRandomRules is FuzzRules for rules that are mostly accepted.
func TestRandomRules(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"on", "off", "nopass", "resetpass", ">x", ">y", "<x", "~a*", "~b", "%R~a", "%W~a", "%R~*", "%W~*", "allkeys", "resetkeys", "&news", "&n*", "allchannels",
		"resetchannels", "+get", "-get", "+set", "-set", "+config", "-config", "+config|get", "-config|get", "+@read", "-@read", "+@slow", "-@slow", "+@dangerous",
		"-@dangerous", "+select|1", "+get|a", "-select", "+@all", "-@all", "reset", "clearselectors", "skip-sanitize-payload", "sanitize-payload"}
	for range 3000 {
		u := NewUser(few(), "u")
		for range 1 + r.IntN(12) {
			rule := words[r.IntN(len(words))]
			if r.IntN(5) == 0 {
				rule = "(" + rule + " " + words[r.IntN(len(words))] + " " + words[r.IntN(len(words))] + ")"
			}
			if next, err := u.With(few(), rule); err == nil {
				u = next
			}
		}
		same(t, u, r)
	}
}
