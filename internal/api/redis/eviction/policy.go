package eviction

import "slices"

// Policy says which keys go, as maxmemory-policy names them.
type Policy uint8

// Policies.
const (
	NoEviction Policy = iota
	AllKeysLRU
	AllKeysLFU
	AllKeysRandom
	VolatileLRU
	VolatileLFU
	VolatileRandom
	VolatileTTL
)

var policyNames = []string{"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"}

func (p Policy) String() string { return policyNames[p] }

// ParsePolicy reads a policy's name.
func ParsePolicy(name string) (Policy, bool) {
	i := slices.Index(policyNames, name)
	return Policy(max(i, 0)), i >= 0
}

// LFU reports whether how often keys are used counts.
func (p Policy) LFU() bool { return p == AllKeysLFU || p == VolatileLFU }

// LRU reports whether it counts when they were used last.
func (p Policy) LRU() bool { return p == AllKeysLRU || p == VolatileLRU }

// Volatile reports whether only keys go that have a time to live.
func (p Policy) Volatile() bool { return p >= VolatileLRU }
