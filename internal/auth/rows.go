package auth

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Rows of the table SysUser. The bytes are on disk.
const (
	rowVersion  byte = 0x00
	rowUser     byte = 0x01
	rowPassword byte = 0x02
)

func key(row byte) []byte { return []byte{keyspace.Sys, keyspace.SysUser, row} }

func userKey(name string) []byte { return append(key(rowUser), name...) }

// row is a user as it is stored.
type row struct {
	made  uint64 // the version at which the user was made
	rules []string
}

func (r row) encode() []byte {
	b := binary.AppendUvarint(nil, r.made)
	for _, rule := range r.rules {
		b = base.AppendBytes(b, []byte(rule))
	}
	return b
}

func decodeRow(value []byte) (r row, err error) {
	d := base.NewDecoder(value)
	r.made = d.Uvarint()
	for d.OK() && !d.Done() {
		r.rules = append(r.rules, string(d.Bytes()))
	}
	if !d.OK() {
		return row{}, errors.Wrapf(base.ErrCorruption, "auth: user %x", value)
	}
	return r, nil
}

// user is the user that the row's rules make.
func (r row) user(c *Commands, name string) (*User, error) {
	u := NewUser(c, name)
	for _, rule := range r.rules {
		if err := u.apply(c, rule, true); err != nil {
			return nil, errors.Wrapf(base.ErrCorruption, "auth: user %q: rule %q: %v", name, rule, err)
		}
	}
	return u, nil
}

// CheckRow reads a row below keyspace.SysUser.
func CheckRow(rowKey, value []byte) error {
	bad := errors.Wrapf(base.ErrCorruption, "auth: row %s: %x", keyspace.Pretty(rowKey), value)
	if len(rowKey) < 3 || rowKey[2] != rowUser && len(rowKey) > 3 {
		return bad
	}
	switch rowKey[2] {
	case rowVersion:
		if len(value) == 8 {
			return nil
		}
	case rowPassword:
		if len(value) == 2*sha256.Size {
			return nil
		}
	case rowUser:
		r, err := decodeRow(value)
		if err != nil {
			return err
		}
		_, err = r.user(NewCommands(nil, nil), string(rowKey[3:]))
		return err
	}
	return bad
}

func readVersion(t kv.Reader) (uint64, error) {
	value, err := t.Get(key(rowVersion))
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, errors.Wrapf(base.ErrCorruption, "auth: version %x", value)
	}
	return binary.LittleEndian.Uint64(value), nil
}

// Edit is a change of users, in a transaction.
type Edit struct {
	t        kv.Txn
	commands *Commands
	version  uint64
}

func (e *Edit) read(name string) (r row, found bool, err error) {
	value, err := e.t.Get(userKey(name))
	if err != nil || value == nil {
		return row{}, false, err
	}
	r, err = decodeRow(value)
	return r, true, err
}

// User is a user as it is stored; nil if there is none.
func (e *Edit) User(name string) (*User, error) {
	r, found, err := e.read(name)
	switch {
	case err != nil:
		return nil, err
	case found:
		return r.user(e.commands, name)
	case name == Default:
		return DefaultUser(e.commands), nil
	}
	return nil, nil
}

// Put stores a user, a new one or in place of the one that had its name.
func (e *Edit) Put(u *User) error {
	r, found, err := e.read(u.name)
	if err != nil {
		return err
	}
	if !found {
		r.made = e.version
	}
	r.rules = u.Rules()
	e.t.Set(userKey(u.name), r.encode())
	return nil
}

// Delete removes a user, and reports whether there was one.
func (e *Edit) Delete(name string) (bool, error) {
	_, found, err := e.read(name)
	if found && err == nil {
		e.t.Clear(userKey(name))
	}
	return found, err
}

// Set gives a user more rules, a new one if there is none.
func (e *Edit) Set(name string, rules ...string) error {
	u, err := e.User(name)
	if err != nil {
		return err
	}
	if u == nil {
		u = NewUser(e.commands, name)
	}
	if u, err = u.With(e.commands, rules...); err != nil {
		return err
	}
	return e.Put(u)
}

// SetDefaultPassword makes a password the only one of the default user; none means that none
// is asked for.
func (e *Edit) SetDefaultPassword(password string) error {
	if password == "" {
		return e.Set(Default, "resetpass", "nopass")
	}
	return e.Set(Default, "resetpass", ">"+password)
}

// Begin is for a node that starts with a password: it becomes the default user's, unless a node
// was started with the same one last. What was changed since then stays.
func (e *Edit) Begin(password string) error {
	digest := Digest([]byte(password))
	last, err := e.t.Get(key(rowPassword))
	if err != nil || password == "" || string(last) == digest {
		return err
	}
	e.t.Set(key(rowPassword), []byte(digest))
	return e.SetDefaultPassword(password)
}
