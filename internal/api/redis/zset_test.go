package redis

import (
	"testing"

	"github.com/stratadb/strata/internal/api/redis/blocking"
	"github.com/stratadb/strata/internal/api/redis/data"
)

// zsetTalk are commands whose replies are compared with a real server's, byte by byte.
var zsetTalk = []string{
	"ZADD", "ZADD z", "ZADD z 1", "ZADD z 1 a 2", "ZADD z x a", "ZADD z 1 a x b", "ZADD z nan a", "ZADD z 1 a 2 b 3 c", "ZADD z 1 a", "ZADD z 2 a 9 d", "ZADD z CH 3 a 9 e", "ZADD z NX 7 a 7 f",
	"ZADD z XX 7 a 7 g", "ZADD z GT 1 a", "ZADD z GT CH 9 a", "ZADD z LT CH 1 a", "ZADD z NX XX 1 a", "ZADD z NX GT 1 a", "ZADD z GT LT 1 a", "ZADD z NX LT 1 a", "ZADD z INCR 1 a 2 b",
	"ZADD z INCR 5 a", "ZADD z NX INCR 5 a", "ZADD z XX INCR 5 nobody", "ZADD z GT INCR -5 a", "ZADD z NX", "ZADD z nx ch", "ZADD none XX 1 a", "EXISTS none", "ZADD z (1 a", "ZADD z inf i -inf j",
	"ZINCRBY z 2.5 a", "ZINCRBY z x a", "ZINCRBY z 1 new", "ZINCRBY z -inf i", "ZADD z INCR -inf i", "ZINCRBY z nan a", "ZSCORE z a", "ZSCORE z nobody", "ZSCORE none a", "ZMSCORE z a nobody b",
	"ZMSCORE none a b", "ZMSCORE z", "ZCARD z", "ZCARD none", "ZRANK z b", "ZREVRANK z b", "ZRANK z nobody", "ZRANK none b",
	"ZRANGE z 0 -1", "ZRANGE z 0 -1 WITHSCORES", "ZRANGE z 1 2 REV", "ZRANGE z 1 2 REV WITHSCORES", "ZRANGE z 5 1", "ZRANGE z -2 -1", "ZRANGE z x 1", "ZRANGE none x 1", "ZRANGE z 0 1 FOO", "ZRANGE z 0 1 LIMIT 1 2",
	"ZRANGE z 0 1 LIMIT 1", "ZRANGE z (1 +inf BYSCORE", "ZRANGE z -inf (3 BYSCORE WITHSCORES", "ZRANGE z +inf -inf BYSCORE REV LIMIT 1 2", "ZRANGE z a b BYSCORE", "ZRANGE z 1 (x BYSCORE", "ZRANGE z 1 nan BYSCORE",
	"ZRANGE z - + BYSCORE", "ZRANGE z 1 9 BYSCORE LIMIT x 1", "ZRANGE z 1 9 BYSCORE LIMIT 0 x", "ZRANGE z 1 9 BYSCORE LIMIT -1 2", "ZRANGE z 1 9 BYSCORE LIMIT 1 -1", "ZRANGE z 1 9 BYSCORE LIMIT 0 0",
	"ZRANGE z - + BYLEX WITHSCORES", "ZRANGE z 1 2 BYLEX", "ZRANGE z [a ( BYLEX", "ZRANGE z -a + BYLEX", "ZRANGE none - + BYLEX",
	"ZREVRANGE z 0 1", "ZREVRANGE z 0 1 WITHSCORES", "ZREVRANGE z 0 1 REV", "ZREVRANGE z 0", "ZRANGEBYSCORE z 1 5", "ZRANGEBYSCORE z 1 5 WITHSCORES LIMIT 1 1", "ZRANGEBYSCORE z 1 5 REV", "ZREVRANGEBYSCORE z 5 1",
	"ZREVRANGEBYSCORE z (9 -inf WITHSCORES", "ZREVRANGEBYSCORE z 1 5", "ZRANGEBYSCORE z 1 x", "ZRANGEBYSCORE z 1 5 LIMIT 1",
	"ZADD lex 0 a 0 b 0 c 0 d", "ZRANGEBYLEX lex - +", "ZRANGEBYLEX lex [b (d", "ZRANGEBYLEX lex (b + LIMIT 1 1", "ZRANGEBYLEX lex + -", "ZREVRANGEBYLEX lex + -", "ZREVRANGEBYLEX lex (d [b", "ZRANGEBYLEX lex b c",
	"ZRANGEBYLEX lex - + WITHSCORES", "ZLEXCOUNT lex - +", "ZLEXCOUNT lex [b (d", "ZLEXCOUNT lex x +", "ZLEXCOUNT none - +", "ZLEXCOUNT lex + -", "ZCOUNT z -inf +inf", "ZCOUNT z (1 3", "ZCOUNT z 5 1", "ZCOUNT z x 1", "ZCOUNT none 0 1",
	"ZRANGE lex [b + BYLEX LIMIT 0 2", "ZRANGE lex + [b BYLEX REV", "ZREMRANGEBYLEX lex [b [c", "ZREMRANGEBYLEX lex x y", "ZRANGE lex 0 -1",
	"ZRANGESTORE d z 0 2", "ZRANGE d 0 -1 WITHSCORES", "ZRANGESTORE d z 0 2 WITHSCORES", "ZRANGESTORE d z 5 +inf BYSCORE", "ZRANGESTORE d none 0 -1", "EXISTS d", "ZRANGESTORE d z", "ZRANGESTORE d z x y",
	"ZREMRANGEBYRANK z 0 0", "ZREMRANGEBYSCORE z 100 200", "ZREMRANGEBYSCORE z (8 inf", "ZREMRANGEBYRANK z x 1", "ZREMRANGEBYSCORE z x 1", "ZREMRANGEBYRANK none 0 1", "ZRANGE z 0 -1 WITHSCORES",
	"ZREM z nobody", "ZREM z a nobody b", "ZREM none a", "ZREM z", "ZADD p 1 a 2 b 3 c 4 d 5 e 6 f", "ZPOPMIN p", "ZPOPMAX p", "ZPOPMIN p 2", "ZPOPMAX p 0", "ZPOPMIN p -1", "ZPOPMIN p x", "ZPOPMIN p 1 2", "ZPOPMIN none", "ZPOPMIN none 2",
	"ZPOPMAX p 9", "EXISTS p", "ZADD p 1 a 2 b 3 c", "ZMPOP 1 p MIN", "ZMPOP 2 none p MAX COUNT 5", "ZMPOP 1 p MIN", "ZMPOP 0 p MIN", "ZMPOP x p MIN", "ZMPOP 1 p UP", "ZMPOP 2 p MIN", "ZMPOP 1 p MIN COUNT 0", "ZMPOP 1 p MIN COUNT",
	"ZADD one 2.5 a", "ZRANDMEMBER one", "ZRANDMEMBER one 3", "ZRANDMEMBER one -2", "ZRANDMEMBER one 1 WITHSCORES", "ZRANDMEMBER one -2 WITHSCORES", "ZRANDMEMBER one 0", "ZRANDMEMBER none", "ZRANDMEMBER none 1", "ZRANDMEMBER one x",
	"ZRANDMEMBER one 1 FOO", "ZRANDMEMBER one 1 WITHSCORES x", "ZSCAN one 0", "ZSCAN none 0", "ZSCAN one x", "ZSCAN one 0 MATCH b*", "ZSCAN one 0 NOVALUES",
	"DEL x y", "ZADD x 1 a 2 b 3 c", "ZADD y 10 b 20 c 30 d", "SADD set a d", "ZUNION 2 x y", "ZUNION 2 x y WITHSCORES", "ZUNION 3 x y set WITHSCORES", "ZINTER 2 x y WITHSCORES", "ZINTER 2 x y WEIGHTS 2 0.5 WITHSCORES",
	"ZINTER 2 x y AGGREGATE MIN WITHSCORES", "ZUNION 2 x y AGGREGATE MAX WEIGHTS 1 -1 WITHSCORES", "ZDIFF 2 x y WITHSCORES", "ZDIFF 2 x set", "ZDIFF 1 none", "ZINTER 2 x none", "ZUNION 0 x", "ZUNION x x", "ZUNION 3 x y", "ZUNION 1 x FOO",
	"ZUNION 2 x y WEIGHTS 1", "ZUNION 2 x y WEIGHTS 1 x", "ZUNION 2 x y AGGREGATE", "ZUNION 2 x y AGGREGATE FOO", "ZDIFF 1 x WEIGHTS 1", "ZINTERCARD 2 x y", "ZINTERCARD 2 x y LIMIT 1", "ZINTERCARD 2 x y LIMIT -1", "ZINTERCARD 0 x",
	"ZINTERCARD 2 x y WITHSCORES", "ZUNIONSTORE d 2 x y", "ZRANGE d 0 -1 WITHSCORES", "ZINTERSTORE d 2 x y WEIGHTS 1 2", "ZRANGE d 0 -1 WITHSCORES", "ZDIFFSTORE d 2 x y", "ZUNIONSTORE d 2 x y WITHSCORES", "ZUNIONSTORE d 0 x", "ZINTERSTORE d 1 none",
	"EXISTS d", "ZUNIONSTORE x 2 x y", "ZRANGE x 0 -1 WITHSCORES", "ZUNION 2 x y WITHSCORES WITHSCORES",
	"SET s v", "ZADD s 1 a", "ZADD s x a", "ZINCRBY s 1 a", "ZREM s a", "ZCARD s", "ZSCORE s a", "ZMSCORE s a", "ZRANK s a", "ZRANGE s 0 1", "ZRANGESTORE d s 0 1", "ZCOUNT s 0 1", "ZLEXCOUNT s - +", "ZPOPMIN s", "ZPOPMIN s 0", "ZMPOP 1 s MIN",
	"ZRANDMEMBER s", "ZSCAN s 0", "ZUNION 2 x s", "ZINTER 2 none s", "ZDIFF 2 none s", "ZREMRANGEBYRANK s 0 1", "ZUNIONSTORE s 1 y", "TYPE s", "ZADD set 1 a", "GET x", "LPUSH x a", "OBJECT REFCOUNT x",
	"MULTI|ZADD q 1 a|BZPOPMIN q 0|BZPOPMIN q 0|BZPOPMAX none q 1|BZMPOP 1 1 q MIN|EXEC", "ZADD b 1 a 2 b 3 c 4 d 5 e", "BZPOPMIN b 0", "BZPOPMAX none b 0", "BZMPOP 0 1 b MIN", "BZMPOP 0 2 none b MAX COUNT 2", "BZPOPMIN b x", "BZPOPMIN b -1", "BZPOPMIN b",
	"BZPOPMIN s 0", "DEL s|SET s v", "BZPOPMIN s 0", "BZMPOP 0 0 b MIN", "BZMPOP x 1 b MIN", "BZMPOP 0 1 b UP", "BZPOPMIN none 0.01", "BZPOPMAX none 0.01", "BZMPOP 0.01 1 none MIN",
	"ZADD z -0 zero", "ZSCORE z zero", "ZADD z 1e300 big 1e-5 small 0x10 hex", "ZRANGE z 0 -1", "ZADD z 1e400 x", "ZADD z '' x",
	"COMMAND GETKEYS ZUNIONSTORE d 2 a b", "COMMAND GETKEYS ZUNION 2 a b", "COMMAND GETKEYS ZMPOP 1 a MIN", "COMMAND GETKEYS BZMPOP 1 2 a b MIN", "COMMAND GETKEYS BZPOPMIN a b 0", "COMMAND GETKEYS ZRANGESTORE a b 0 1", "COMMAND GETKEYS ZUNIONSTORE d 5 a",
}

func TestSortedSetsAgree(t *testing.T) { serversAgree(t, zsetTalk) }

func TestSortedSetRowsAgree(t *testing.T) {
	familiesAgree(t, onData(data.SortedSets), onData(data.SortedSetRanges), onData(data.SortedSetAlgebra), onWaiting(blocking.SortedSets))
}
