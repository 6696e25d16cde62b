package proxy

import "github.com/cockroachdb/errors"

// Side is one of the two servers.
type Side uint8

// The sides.
const (
	Primary   Side = iota // the Redis server
	Secondary             // Strata
)

func (s Side) String() string { return [...]string{"primary", "secondary"}[s] }

// Mode says who decides and who follows.
type Mode string

// The modes, in the order in which a migration passes them.
const (
	RedisOnly       Mode = "redis-only"
	DualWrite       Mode = "dual-write"
	DualWriteShadow Mode = "dual-write-shadow"
	StrataPrimary   Mode = "strata-primary"
	StrataOnly      Mode = "strata-only"
)

// ErrMode says that a mode is none.
var ErrMode = errors.New("the mode is none of redis-only, dual-write, dual-write-shadow, strata-primary, strata-only")

// ParseMode reads a mode.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case RedisOnly, DualWrite, DualWriteShadow, StrataPrimary, StrataOnly:
		return m, nil
	}
	return "", errors.Wrapf(ErrMode, "%q", s)
}

// decider is whose replies are the clients'.
func (m Mode) decider() Side {
	if m == StrataPrimary || m == StrataOnly {
		return Secondary
	}
	return Primary
}

// follows reports whether the other side gets the writes.
func (m Mode) follows() bool { return m == DualWrite || m == DualWriteShadow || m == StrataPrimary }

func (s Side) other() Side { return 1 - s }
