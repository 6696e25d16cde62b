package blocking

import (
	"math"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/redisnum"
)

// seconds reads a timeout in seconds; zero means for ever.
func seconds(arg []byte) (time.Duration, error) {
	f, ok := redisnum.ParseLongDouble(arg)
	if !ok {
		return 0, errTimeoutFloat
	}
	ms := math.Ceil(f.Float64() * 1000)
	switch {
	case math.IsNaN(ms):
		return 0, errTimeoutFloat
	case ms > float64(math.MaxInt64-time.Now().UnixMilli()):
		return 0, errTimeoutTooLong
	case ms < 0:
		return 0, errTimeoutNegative
	case ms > float64(math.MaxInt64/time.Millisecond):
		return math.MaxInt64, nil
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// millis reads a timeout in milliseconds; zero means for ever.
func millis(arg []byte) (time.Duration, error) {
	ms, ok := redisnum.ParseInt(arg)
	switch {
	case !ok:
		return 0, command.ErrTimeout
	case ms < 0:
		return 0, errTimeoutNegative
	case ms > int64(1<<63-1)-time.Now().UnixMilli():
		return 0, errTimeoutTooLong
	}
	return time.Duration(min(ms, int64(1<<63-1)/int64(time.Millisecond))) * time.Millisecond, nil
}
