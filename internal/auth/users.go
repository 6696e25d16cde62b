package auth

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Change is what has become of a user.
type Change struct {
	Account *Account
	// After is the user from now on; nil: it was deleted.
	After *User
}

// Users are the users of a database, as a process knows them. It is safe for concurrent use.
type Users struct {
	db       *kv.DB
	commands *Commands
	changed  func([]Change)
	table    atomic.Pointer[table]
	mu       struct {
		sync.Mutex
		session *kv.Session
	}
}

// table is what the rows of one version say.
type table struct {
	version  uint64
	watch    kv.Watch
	accounts map[string]*Account
	standard *Account
}

// Alone are users that are stored nowhere and cannot be changed: the default user, with a
// password unless it is empty.
func Alone(c *Commands, password string) *Users {
	u := &Users{commands: c}
	user := DefaultUser(c)
	if password != "" {
		var err error
		if user, err = user.With(c, "resetpass", ">"+password); err != nil {
			panic(err)
		}
	}
	a := &Account{name: Default}
	a.become(user)
	u.table.Store(&table{accounts: map[string]*Account{Default: a}, standard: a})
	return u
}

// Open reads the users. changed is told whenever some of them have changed; what it is told of
// is in force by then. With a password the process makes it the default user's (Edit.Begin).
func Open(db *kv.DB, c *Commands, password string, changed func([]Change)) (*Users, error) {
	u := Alone(c, "")
	u.db, u.changed, u.mu.session = db, changed, db.NewSession()
	if password != "" {
		return u, u.Change(func(e *Edit) error { return e.Begin(password) })
	}
	return u, u.Refresh()
}

// Close gives the watch back.
func (u *Users) Close() {
	if w := u.table.Load().watch; w != nil {
		w.Close()
	}
}

// Stored reports whether the users can be changed.
func (u *Users) Stored() bool { return u.db != nil }

// Default is the account of the default user.
func (u *Users) Default() *Account { return u.table.Load().standard }

// Find is the account of a user; nil if there is none.
func (u *Users) Find(name string) *Account { return u.table.Load().accounts[name] }

// All are the users in the order of their names.
func (u *Users) All() (list []*User) {
	for _, a := range u.table.Load().accounts {
		list = append(list, a.User())
	}
	slices.SortFunc(list, func(a, b *User) int { return strings.Compare(a.name, b.name) })
	return list
}

// Commands is the table that the rules are about.
func (u *Users) Commands() *Commands { return u.commands }

// Change changes users in one transaction, fn may run several times. It returns when that is
// committed and in force in this process (A3).
func (u *Users) Change(fn func(e *Edit) error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.mu.session.RunAndWait(kv.Func(func(t kv.Txn) error {
		version, err := readVersion(t)
		if err != nil {
			return err
		}
		if err := fn(&Edit{t: t, commands: u.commands, version: version + 1}); err != nil {
			return err
		}
		t.Atomic(base.OpAdd, key(rowVersion), []byte{1, 0, 0, 0, 0, 0, 0, 0})
		return nil
	})); err != nil {
		return err
	}
	return u.readLocked()
}

// Refresh reads the users again if they may have changed.
func (u *Users) Refresh() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if w := u.table.Load().watch; w != nil {
		if dirty, _ := w.Dirty(); !dirty {
			return nil
		}
	}
	return u.readLocked()
}

func (u *Users) readLocked() error {
	old := u.table.Load()
	next := &table{watch: u.db.Watch(key(rowVersion))}
	rows := map[string]row{}
	err := u.mu.session.RunAndWait(kv.Func(func(t kv.Txn) (err error) {
		clear(rows)
		if next.version, err = readVersion(t); err != nil {
			return err
		}
		var bad error
		err = t.Scan(base.PrefixSpan(key(rowUser)), kv.ScanOptions{}, func(k, value []byte) bool {
			rows[string(k[len(key(rowUser)):])], bad = decodeRow(value)
			return bad == nil
		})
		if err == nil {
			err = bad
		}
		return err
	}))
	var changes []Change
	if err == nil {
		changes, err = u.adopt(old, next, rows)
	}
	if err != nil {
		next.watch.Close()
		return err
	}
	u.table.Store(next)
	if old.watch != nil {
		old.watch.Close()
	}
	if len(changes) > 0 && u.changed != nil {
		u.changed(changes)
	}
	return nil
}

// adopt makes the accounts of next out of rows, and brings those of old up to date. All rows are
// understood before anything is in force.
func (u *Users) adopt(old, next *table, rows map[string]row) (changes []Change, err error) {
	users := map[string]*User{}
	for name, r := range rows {
		if users[name], err = r.user(u.commands, name); err != nil {
			return nil, err
		}
	}
	if users[Default] == nil {
		users[Default] = DefaultUser(u.commands)
	}
	next.accounts = make(map[string]*Account, len(users))
	for name, user := range users {
		made := rows[name].made
		a := old.accounts[name]
		switch {
		case a == nil || a.made != made && name != Default:
			a = &Account{name: name, made: made}
			a.become(user)
		case a.User().String() != user.String():
			a.become(user)
			changes = append(changes, Change{Account: a, After: user})
		}
		next.accounts[name] = a
	}
	next.standard = next.accounts[Default]
	for name, a := range old.accounts {
		if next.accounts[name] != a {
			a.end(u.commands)
			changes = append(changes, Change{Account: a})
		}
	}
	return changes, nil
}

// refreshPause is how long Watch waits after an error.
const refreshPause = 250 * time.Millisecond

// Watch keeps the users up to date with what other processes change, until stop is closed.
// failed is told about errors.
func (u *Users) Watch(stop <-chan struct{}, failed func(error)) {
	for {
		var changed <-chan struct{}
		if w := u.table.Load().watch; w != nil {
			changed = w.Changed()
		}
		select {
		case <-stop:
			return
		case <-changed:
		}
		if err := u.Refresh(); err != nil {
			failed(err)
			select {
			case <-stop:
				return
			case <-time.After(refreshPause):
			}
		}
	}
}

// Area is where the users are.
func Area() base.Span { return base.PrefixSpan([]byte{keyspace.Sys, keyspace.SysUser}) }
