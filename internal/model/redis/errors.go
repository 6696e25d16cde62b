package redis

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Error is a mistake of the caller. Its text is Redis's, error code included, so
// a door writes it out as it stands.
type Error struct{ text string }

// Error is the full text of the reply.
func (e *Error) Error() string { return e.text }

// NewError is a mistake with its full text.
func NewError(text string) *Error { return &Error{text} }

// Is makes errors whose text holds an argument comparable by their text.
func (e *Error) Is(target error) bool {
	o, ok := target.(*Error)
	return ok && o.text == e.text
}

// The caller's errors.
var (
	// ErrWrongType: the key holds another type than the command works on.
	ErrWrongType = &Error{"WRONGTYPE Operation against a key holding the wrong kind of value"}
	// ErrNotInteger: the stored string is not a 64-bit integer.
	ErrNotInteger = &Error{"ERR value is not an integer or out of range"}
	// ErrOverflow: an increment would leave the 64-bit range.
	ErrOverflow = &Error{"ERR increment or decrement would overflow"}
	// ErrDecrementOverflow: DECRBY by the smallest integer.
	ErrDecrementOverflow = &Error{"ERR decrement would overflow"}
	// ErrNotFloat: the stored string or the increment is not a number.
	ErrNotFloat = &Error{"ERR value is not a valid float"}
	// ErrNaNOrInfinity: the sum is not finite.
	ErrNaNOrInfinity = &Error{"ERR increment would produce NaN or Infinity"}
	// ErrInfiniteIncrement: HINCRBYFLOAT by something that is not finite.
	ErrInfiniteIncrement = &Error{"ERR value is NaN or Infinity"}
	// ErrHashNotInteger: the stored field is not a 64-bit integer.
	ErrHashNotInteger = &Error{"ERR hash value is not an integer"}
	// ErrHashNotFloat: the stored field is not a number.
	ErrHashNotFloat = &Error{"ERR hash value is not a float"}
	// ErrStringTooLong: the result would exceed limits.RESPBulkBytes.
	ErrStringTooLong = &Error{"ERR string exceeds maximum allowed size (proto-max-bulk-len)"}
	// ErrDelExNotString: DELEX compares a key that is not a string.
	ErrDelExNotString = &Error{"ERR Key should be of string type if conditions are specified"}
	// ErrNaNScore: an increment of a score whose sum is no number.
	ErrNaNScore = &Error{"ERR resulting score is not a number (NaN)"}
	// ErrOffset: a negative offset.
	ErrOffset = &Error{"ERR offset is out of range"}
	// ErrNoSuchKey: the command needs a key that is absent.
	ErrNoSuchKey = &Error{"ERR no such key"}
	// ErrSameObject: source and destination are the same key of the same database.
	ErrSameObject = &Error{"ERR source and destination objects are the same"}
	// ErrIndex: an index outside of the value.
	ErrIndex = &Error{"ERR index out of range"}
	// ErrDBIndex: a database number that does not exist.
	ErrDBIndex = &Error{"ERR DB index is out of range"}
	// ErrSyntax: options that exclude one another.
	ErrSyntax = &Error{"ERR syntax error"}
	// ErrOutOfRange: a count outside of its range.
	ErrOutOfRange = &Error{"ERR value is out of range"}
	// ErrCursor: a cursor that no SCAN can have returned.
	ErrCursor = &Error{"ERR invalid cursor"}
	// ErrLCSNotStrings: LCS of something else than strings.
	ErrLCSNotStrings = &Error{"ERR The specified keys must contain string values"}
	// ErrLCSTooLarge: the table of the comparison would exceed LCSTableBytes.
	ErrLCSTooLarge = &Error{"ERR Insufficient memory, failed allocating transient memory for LCS"}
	// ErrNXAndOthers: EXPIRE with NX and another condition.
	ErrNXAndOthers = &Error{"ERR NX and XX, GT or LT options at the same time are not compatible"}
	// ErrGTAndLT: EXPIRE with GT and LT.
	ErrGTAndLT = &Error{"ERR GT and LT options at the same time are not compatible"}
	// ErrFieldExpireNegative: HEXPIRE and its kin with a negative time.
	ErrFieldExpireNegative = &Error{"ERR invalid expire time, must be >= 0"}
	// ErrKeyTooLong: a key, or a key with a field, exceeds what one row can be
	// named by. Redis has no such limit; see limits.KeyBytes.
	ErrKeyTooLong = &Error{"ERR key or field exceeds the maximum length"}
	// ErrFieldValueTooLong: a value in a collection exceeds what one row holds.
	// Redis has no such limit; see limits.PairBytes.
	ErrFieldValueTooLong = &Error{"ERR value exceeds the maximum length of a collection's element"}
	// ErrLFU: OBJECT IDLETIME with an LFU policy.
	ErrLFU = &Error{"ERR An LFU maxmemory policy is selected, idle time not tracked. " +
		"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."}
	// ErrNoLFU: OBJECT FREQ without an LFU policy.
	ErrNoLFU = &Error{"ERR An LFU maxmemory policy is not selected, access frequency not tracked. " +
		"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."}
)

// InvalidExpire is the error of a command whose expiry time is not positive or
// does not fit.
func InvalidExpire(command string) *Error {
	return &Error{"ERR invalid expire time in '" + command + "' command"}
}

// Corrupt is the error of stored data that cannot be.
func Corrupt(format string, args ...any) error {
	return errors.Wrapf(base.ErrCorruption, "redis: "+format, args...)
}
