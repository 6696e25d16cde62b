package catalog

import (
	"encoding/json"
	"slices"

	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/kv"
)

// ShardRoute is what operators want of the hash slots from First to Last: Primary should
// lead them, and Standbys hold them, too. All are members' ids.
type ShardRoute struct {
	First, Last uint16
	Primary     string
	Standbys    []string
}

// ShardVersion is another string whenever a shard's row has changed.
func ShardVersion(t kv.Reader) (string, error) {
	value, err := t.Get(ShardVersionKey())
	return string(value), err
}

// ShardRoutes are those of the REDIS shards that an operator has routed, in the order of
// their slots; neighbours that are routed in the same way are one.
func ShardRoutes(t kv.Reader) (list []ShardRoute, err error) {
	var counts ShardCounts
	value, err := t.Get(settingKey("shards"))
	if err != nil || value == nil {
		return nil, err
	}
	if err := json.Unmarshal(value, &counts); err != nil {
		return nil, corrupt("shard counts %q: %v", value, err)
	}
	for id := range counts.Redis {
		s, err := ReadShard(t, ShardRedis, id, "")
		if err != nil {
			return nil, err
		}
		if !s.Routed {
			continue
		}
		r := ShardRoute{First: counts.firstSlot(id), Last: counts.firstSlot(id+1) - 1, Primary: s.Primary, Standbys: s.Standbys}
		if n := len(list) - 1; n >= 0 && list[n].Last+1 == r.First && list[n].Primary == r.Primary && slices.Equal(list[n].Standbys, r.Standbys) {
			list[n].Last = r.Last
			continue
		}
		list = append(list, r)
	}
	return list, nil
}

// firstSlot is the first hash slot of a REDIS shard; see ShardOfSlot.
func (c ShardCounts) firstSlot(id int) uint16 {
	return uint16((id*hashslot.Slots + c.Redis - 1) / c.Redis)
}
