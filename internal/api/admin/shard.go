package admin

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/wire/resp"
)

var (
	errShardKind        = catalog.Mistake("invalid shard kind")
	errShardID          = catalog.Mistake("invalid shard id")
	errMemberNotFound   = catalog.Mistake("member not found")
	errNoPrimary        = catalog.Mistake("no primary member assigned yet")
	errPrimaryAsStandby = catalog.Mistake("primary cannot be assigned as a standby")
	errAlreadyStandby   = catalog.Mistake("already assigned as a standby")
	errNotStandby       = catalog.Mistake("member is not a standby")
	errUnsetPrimary     = catalog.Mistake("UNSET PRIMARY is not supported")
	errReadWrite        = catalog.Mistake("Shard status must not be READWRITE")
)

// echo is an argument as an error repeats it.
func echo(arg []byte) string { return string(arg[:min(len(arg), 128)]) }

// shards reads the kind and number of one shard, or of all ("*").
func (a *Admin) shards(kindArg, idArg []byte) (kind catalog.ShardKind, ids []int, err error) {
	kind, valid := catalog.ParseShardKind(string(kindArg))
	if !valid {
		return 0, nil, errShardKind
	}
	count := a.o.Shards.Counts().Of(kind)
	if string(idArg) == "*" {
		for id := range count {
			ids = append(ids, id)
		}
		return kind, ids, nil
	}
	id, err := strconv.Atoi(string(idArg))
	if err != nil || id < 0 || id >= count {
		return 0, nil, errShardID
	}
	return kind, []int{id}, nil
}

const shardFields = 4

func writeShard(w *resp.Writer, kind catalog.ShardKind, id int, s catalog.Shard) {
	w.Map(shardFields)
	w.BulkString("primary")
	w.BulkString(s.Primary)
	w.BulkString("standbys")
	w.Array(len(s.Standbys))
	for _, member := range s.Standbys {
		w.BulkString(member)
	}
	w.BulkString("status")
	w.BulkString(string(s.Status))
	w.BulkString("linked_volumes")
	w.Array(1)
	w.BulkString(strings.ToLower(kind.String()) + "-shard-" + strconv.Itoa(id))
}

func (a *Admin) describeShard(c *redis.Call) error {
	if len(c.Args) != 4 {
		return errParameters
	}
	kind, ids, err := a.shards(c.Args[2], c.Args[3])
	if err != nil {
		return err
	}
	if string(c.Args[3]) == "*" {
		return errShardID
	}
	var s catalog.Shard
	err = c.Transact(func(t kv.Txn) error {
		s, err = catalog.ReadShard(t, kind, ids[0], a.self.ID)
		return err
	})
	if err != nil {
		return err
	}
	writeShard(c.W, kind, ids[0], s)
	return nil
}

// metadataVersion is the version of what DESCRIBE-CLUSTER replies.
const metadataVersion = "1.0.0"

func (a *Admin) describeCluster(c *redis.Call) error {
	if len(c.Args) != 2 {
		return errParameters
	}
	kinds := []catalog.ShardKind{catalog.ShardRedis, catalog.ShardBucket}
	rows := map[catalog.ShardKind][]catalog.Shard{}
	err := c.Transact(func(t kv.Txn) error {
		for _, kind := range kinds {
			rows[kind] = nil
			for id := range a.o.Shards.Counts().Of(kind) {
				s, err := catalog.ReadShard(t, kind, id, a.self.ID)
				if err != nil {
					return err
				}
				rows[kind] = append(rows[kind], s)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	w := c.W
	w.Map(2 + len(kinds))
	w.BulkString("metadata_version")
	w.BulkString(metadataVersion)
	w.BulkString("cluster_name")
	w.BulkString(a.o.ClusterName)
	for _, kind := range kinds {
		w.BulkString(strings.ToLower(kind.String()))
		w.Map(len(rows[kind]))
		for id, s := range rows[kind] {
			w.Int(int64(id))
			writeShard(w, kind, id, s)
		}
	}
	return nil
}

// change rewrites shards in one transaction and refreshes the table of statuses.
func (a *Admin) change(c *redis.Call, kind catalog.ShardKind, ids []int, edit func(t kv.Txn, s *catalog.Shard) error) error {
	err := c.Transact(func(t kv.Txn) error {
		for _, id := range ids {
			s, err := catalog.ReadShard(t, kind, id, a.self.ID)
			if err != nil {
				return err
			}
			if err := edit(t, &s); err != nil {
				return err
			}
			if err := catalog.WriteShard(t, kind, id, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		_, err = a.o.Shards.Refresh()
	}
	return ok(c, err)
}

func (a *Admin) setShardStatus(c *redis.Call) error {
	if len(c.Args) != 5 {
		return errParameters
	}
	kind, ids, err := a.shards(c.Args[2], c.Args[3])
	if err != nil {
		return err
	}
	status, valid := catalog.ParseShardStatus(string(c.Args[4]))
	if !valid {
		return catalog.Mistake("Invalid shard status " + echo(c.Args[4]))
	}
	return a.change(c, kind, ids, func(_ kv.Txn, s *catalog.Shard) error {
		s.Status = status
		return nil
	})
}

// routeChange is what KR.ADMIN ROUTE asks for.
type routeChange struct {
	unset, standby bool
	member         string
}

func parseRoute(args [][]byte) (r routeChange, err error) {
	switch strings.ToUpper(string(args[2])) {
	case "SET":
	case "UNSET":
		r.unset = true
	default:
		return r, catalog.Mistake("Invalid operation kind: " + echo(args[2]))
	}
	switch strings.ToUpper(string(args[3])) {
	case "PRIMARY":
	case "STANDBY":
		r.standby = true
	default:
		return r, catalog.Mistake("Invalid route kind: " + echo(args[3]))
	}
	return r, nil
}

func (a *Admin) route(c *redis.Call) error {
	if len(c.Args) != 7 {
		return errParameters
	}
	r, err := parseRoute(c.Args)
	if err != nil {
		return err
	}
	kind, ids, err := a.shards(c.Args[4], c.Args[5])
	if err != nil {
		return err
	}
	return a.change(c, kind, ids, func(t kv.Txn, s *catalog.Shard) error {
		if r.member, err = memberID(t, string(c.Args[6])); err != nil {
			return err
		}
		if _, found, err := catalog.ReadMember(t, r.member); err != nil || !found {
			if err == nil {
				err = errMemberNotFound
			}
			return err
		}
		s.Routed = true
		return r.apply(s)
	})
}

// apply changes the routes of one shard.
func (r routeChange) apply(s *catalog.Shard) error {
	at := slices.Index(s.Standbys, r.member)
	switch {
	case !r.standby && r.unset:
		return errUnsetPrimary
	case !r.standby:
		return r.setPrimary(s, at)
	case s.Primary == "":
		return errNoPrimary
	case r.unset && at < 0:
		return errNotStandby
	case r.unset:
		s.Standbys = slices.Delete(s.Standbys, at, at+1)
	case s.Primary == r.member:
		return errPrimaryAsStandby
	case at >= 0:
		return errAlreadyStandby
	default:
		s.Standbys = append(s.Standbys, r.member)
	}
	return nil
}

// setPrimary moves a shard to one of its standbys, which must not happen while
// clients write. Setting what is set already changes nothing.
func (r routeChange) setPrimary(s *catalog.Shard, standby int) error {
	switch {
	case s.Primary == "" || s.Primary == r.member:
	case s.Status == catalog.ShardReadWrite:
		return errReadWrite
	case standby < 0:
		return catalog.Mistake("Member id: " + r.member + " is not a standby")
	}
	s.Primary = r.member
	if standby >= 0 {
		s.Standbys = slices.Delete(s.Standbys, standby, standby+1)
	}
	return nil
}
