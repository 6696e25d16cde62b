package admin

import (
	"time"

	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/wire/resp"
)

// heartbeatEvery is the unit of latest_heartbeat.
const heartbeatEvery = time.Second

// uptimes are how long members have been running; those that are silent are missing.
type uptimes map[string]time.Duration

// heartbeat counts the intervals since a member was started; zero: nothing is heard of it.
func (u uptimes) heartbeat(id string) int64 {
	up, heard := u[id]
	if !heard {
		return 0
	}
	return int64(up/heartbeatEvery) + 1
}

// heard asks the members.
func (a *Admin) heard() uptimes {
	up := a.own()
	for _, n := range a.ask() {
		if n.Live {
			up[n.memberID()] = n.Uptime
		}
	}
	return up
}

// own is this member alone.
func (a *Admin) own() uptimes { return uptimes{a.self.ID: a.o.Now().Sub(a.started)} }

const memberFields = 7

// writeMember writes the fields of a member, after the map's header.
func (u uptimes) writeMember(w *resp.Writer, m catalog.Member) {
	w.BulkString("status")
	w.BulkString(string(m.Status))
	w.BulkString("process_id")
	w.BulkString(m.ProcessID)
	w.BulkString("external_host")
	w.BulkString(m.External.Host)
	w.BulkString("external_port")
	w.Int(int64(m.External.Port))
	w.BulkString("internal_host")
	w.BulkString(m.Internal.Host)
	w.BulkString("internal_port")
	w.Int(int64(m.Internal.Port))
	w.BulkString("latest_heartbeat")
	w.Int(u.heartbeat(m.ID))
}

func notRegistered(id string) error { return catalog.Mistake("Member: " + id + " not registered") }

// find reads a member that must exist.
func find(t kv.Reader, id string) (catalog.Member, error) {
	m, found, err := catalog.ReadMember(t, id)
	if err == nil && !found {
		err = notRegistered(id)
	}
	return m, err
}

// memberPrefixBytes is the length of an abbreviated id.
const memberPrefixBytes = 4

// memberID reads an id or its first digits.
func memberID(t kv.Reader, arg string) (string, error) {
	if len(arg) != memberPrefixBytes {
		if !catalog.ValidMemberID(arg) {
			return "", catalog.Mistake("Invalid memberId: " + arg[:min(len(arg), 2*catalog.MemberIDBytes)])
		}
		return arg, nil
	}
	members, err := catalog.Members(t, arg)
	switch {
	case err != nil:
		return "", err
	case len(members) == 0:
		return "", catalog.Mistake("no member found with prefix: " + arg)
	case len(members) > 1:
		return "", catalog.Mistake("more than one member found with prefix: " + arg)
	}
	return members[0].ID, nil
}

func (a *Admin) describeMember(c *redis.Call) error {
	if len(c.Args) != 2 {
		return errParameters
	}
	m := a.self
	err := c.Transact(func(t kv.Txn) error {
		row, found, err := catalog.ReadMember(t, a.self.ID)
		if found {
			m = row
		}
		return err
	})
	if err != nil {
		return err
	}
	c.W.Map(memberFields + 1)
	c.W.BulkString("member_id")
	c.W.BulkString(m.ID)
	a.own().writeMember(c.W, m)
	return nil
}

func (a *Admin) members(c *redis.Call) (members []catalog.Member, err error) {
	if len(c.Args) != 2 {
		return nil, errParameters
	}
	err = c.Transact(func(t kv.Txn) error {
		members, err = catalog.Members(t, "")
		return err
	})
	return members, err
}

func (a *Admin) listMembers(c *redis.Call) error {
	members, err := a.members(c)
	if err != nil {
		return err
	}
	up := a.heard()
	c.W.Map(len(members))
	for _, m := range members {
		c.W.BulkString(m.ID)
		c.W.Map(memberFields)
		up.writeMember(c.W, m)
	}
	return nil
}

// listSilentMembers lists the members that do not answer.
func (a *Admin) listSilentMembers(c *redis.Call) error {
	members, err := a.members(c)
	if err != nil {
		return err
	}
	up := a.heard()
	reply, n := c.W.DeferArray(), 0
	for _, m := range members {
		if _, heard := up[m.ID]; !heard {
			c.W.BulkString(m.ID)
			n++
		}
	}
	c.W.Close(reply, n)
	return nil
}

func (a *Admin) findMember(c *redis.Call) error {
	if len(c.Args) == 2 {
		return catalog.Mistake("member id is required")
	}
	if len(c.Args) != 3 {
		return errParameters
	}
	var m catalog.Member
	err := c.Transact(func(t kv.Txn) error {
		id, err := memberID(t, string(c.Args[2]))
		if err == nil {
			m, err = find(t, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	c.W.Map(memberFields)
	a.heard().writeMember(c.W, m)
	return nil
}

func (a *Admin) setMemberStatus(c *redis.Call) error {
	if len(c.Args) != 4 {
		return errParametersUpper
	}
	return ok(c, c.Transact(func(t kv.Txn) error {
		id, err := memberID(t, string(c.Args[2]))
		if err != nil {
			return err
		}
		status, valid := catalog.ParseMemberStatus(string(c.Args[3]))
		if !valid {
			return catalog.Mistake("Invalid member status " + string(c.Args[3][:min(len(c.Args[3]), 128)]))
		}
		m, err := find(t, id)
		if err != nil {
			return err
		}
		m.Status = status
		if err := settle(t, m); err != nil {
			return err
		}
		return catalog.WriteMember(t, m)
	}))
}

func (a *Admin) removeMember(c *redis.Call) error {
	if len(c.Args) != 3 {
		return errParameters
	}
	return ok(c, c.Transact(func(t kv.Txn) error {
		id, err := memberID(t, string(c.Args[2]))
		if err != nil {
			return err
		}
		m, err := find(t, id)
		if err != nil {
			return err
		}
		if m.Status == catalog.MemberRunning {
			return catalog.Mistake("Member in RUNNING status cannot be removed")
		}
		catalog.RemoveMember(t, id)
		return nil
	}))
}
