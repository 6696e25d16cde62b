package redis

import (
	"testing"

	"github.com/stratadb/strata/internal/api/redis/data"
)

// setTalk are commands whose replies are compared with a real server's, byte by byte: sets
// have no order, so what is listed has one member.
var setTalk = []string{
	"SADD", "SADD s", "SADD s a", "SADD s a", "SMEMBERS s", "SMEMBERS none", "SRANDMEMBER s", "SRANDMEMBER none", "SRANDMEMBER s 3", "SRANDMEMBER s -3", "SRANDMEMBER none 3",
	"SRANDMEMBER s 0", "SRANDMEMBER s x", "SRANDMEMBER s 1 2", "SRANDMEMBER s -9223372036854775808", "SSCAN s 0", "SSCAN none 0", "SSCAN s x", "SSCAN s 0 COUNT 0",
	"SSCAN s 0 MATCH b*", "SSCAN s 0 NOVALUES", "SSCAN s 0 TYPE set", "SPOP s 0", "SPOP s -1", "SPOP s x", "SPOP s 1 2", "SPOP none", "SPOP none 2", "SPOP s 5", "EXISTS s",
	"SADD s b", "SPOP s", "SADD s a b c 1 2 3", "SCARD s", "SCARD none", "SISMEMBER s a", "SISMEMBER s z", "SISMEMBER none a", "SMISMEMBER s a z 1", "SMISMEMBER none a", "SMISMEMBER s",
	"SREM s z", "SREM s a b", "SREM none a", "SREM s", "SMOVE s r c", "SMOVE s r c", "SMOVE r r c", "SMOVE r r zzz", "SMOVE none r c", "SMOVE s r", "SMEMBERS r",
	"SINTER s none", "SINTER r", "SINTER r r", "SUNION r none", "SDIFF r none", "SDIFF none r", "SINTER", "SINTERSTORE d r r", "SMEMBERS d", "SINTERSTORE d r none", "EXISTS d",
	"SUNIONSTORE d r", "SDIFFSTORE d r r", "SUNIONSTORE r r r", "SMEMBERS r", "SINTERSTORE", "SINTERCARD 0 r", "SINTERCARD x r", "SINTERCARD 2 r", "SINTERCARD 1 r", "SINTERCARD 2 s r",
	"SINTERCARD 1 s LIMIT 2", "SINTERCARD 1 s LIMIT 0", "SINTERCARD 1 s LIMIT -1", "SINTERCARD 1 s LIMIT x", "SINTERCARD 1 s LIMIT", "SINTERCARD 1 s FOO 1", "SINTERCARD 1 s LIMIT 1 LIMIT 2",
	"SET str v", "SADD str a", "SREM str a", "SCARD str", "SMEMBERS str", "SISMEMBER str a", "SMISMEMBER str a", "SPOP str", "SPOP str 1", "SPOP str 0", "SRANDMEMBER str", "SRANDMEMBER str 1",
	"SMOVE str s a", "SMOVE s str 1", "SMOVE s str zzz", "SMOVE none str a", "SSCAN str 0", "SINTER str none", "SINTER none str", "SUNION none str", "SDIFF none str", "SDIFF s str",
	"SINTERCARD 2 none str", "SDIFFSTORE d s str", "SINTERSTORE d none str", "SUNIONSTORE str r", "TYPE str", "OBJECT REFCOUNT str", "GET r", "HGET r f", "LPUSH r a",
	"EXPIREAT r 33000000000", "SUNIONSTORE r r", "EXPIRETIME r", "EXPIREAT r 33000000000", "SADD r q", "EXPIRETIME r", "SMOVE r gone q", "PERSIST r",
	"MULTI|SADD m a|SMEMBERS m|SPOP m|SCARD m|EXEC", "COMMAND GETKEYS SINTERCARD 2 a b", "COMMAND GETKEYS SINTERSTORE d a b", "COMMAND GETKEYS SMOVE a b c", "COMMAND GETKEYS SINTERCARD 5 a",
}

func TestSetsAgree(t *testing.T) { serversAgree(t, setTalk) }

func TestSetRowsAgree(t *testing.T) { familiesAgree(t, onData(data.Sets)) }
