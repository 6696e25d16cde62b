package redis

import "math"

// ExpiryKind says what a command does to the expiry of what it writes or reads.
type ExpiryKind uint8

// Expiry kinds, named after the options. ExpiryNone is for SET "no expiry" and
// for GETEX "as it is".
const (
	ExpiryNone    ExpiryKind = iota
	ExpirySeconds            // EX: seconds from now
	ExpiryMillis             // PX: milliseconds from now
	ExpiryAt                 // EXAT: seconds of the Unix epoch
	ExpiryAtMilli            // PXAT: milliseconds of the Unix epoch
	ExpiryKeep               // KEEPTTL
	ExpiryPersist            // PERSIST
)

// Expiry is an expiry option with its number.
type Expiry struct {
	Kind ExpiryKind
	N    int64
}

func (x Expiry) timed() bool { return x.Kind >= ExpirySeconds && x.Kind <= ExpiryAtMilli }

func (x Expiry) relative() bool { return x.Kind == ExpirySeconds || x.Kind == ExpiryMillis }

// millis is the time in ms of the Unix epoch, 0 where there is none. ok is false
// when it does not fit.
func (x Expiry) millis(now int64) (at int64, ok bool) {
	if !x.timed() {
		return 0, true
	}
	at = x.N
	if x.Kind == ExpirySeconds || x.Kind == ExpiryAt {
		if at > math.MaxInt64/1000 || at < math.MinInt64/1000 {
			return 0, false
		}
		at *= 1000
	}
	if x.relative() {
		if at > math.MaxInt64-now {
			return 0, false
		}
		at += now
	}
	return at, true
}

// positive is millis for commands that refuse times that are not positive.
func (x Expiry) positive(now int64, command string) (int64, error) {
	if !x.timed() {
		return 0, nil
	}
	at, ok := x.millis(now)
	if !ok || x.N <= 0 {
		return 0, InvalidExpire(command)
	}
	return at, nil
}
