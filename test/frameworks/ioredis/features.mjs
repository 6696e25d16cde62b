// What ioredis can do, against the server at the port of the first argument; given several ports, also
// its cluster mode, against the nodes there.
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis, Cluster } from 'ioredis'

const ports = process.argv[2].split(',').map(Number)
const open = []
const connect = (options = {}) => {
  const client = new Redis({ host: '127.0.0.1', port: ports[0], ...options })
  open.push(client)
  return client
}
const redis = connect()
const waits = async (n) => { while (!(await redis.info('clients')).includes(`blocked_clients:${n}`)) await pause(5) }
const sorted = (list) => [...list].sort()

const tests = {
  async pipelines () {
    const replies = await redis.pipeline().set('p', 1).incr('p').lpush('p', 'x').get('p').exec()
    assert.deepEqual(replies.map(([e, v]) => e ? e.message.split(' ')[0] : v), ['OK', 2, 'WRONGTYPE', '2'])
    const many = redis.pipeline()
    for (let i = 0; i < 20000; i++) many.set(`p:${i}`, i)
    assert.equal((await many.exec()).filter(([e, v]) => v === 'OK').length, 20000)
    const fresh = await redis.pipeline([['set', 'p', 'a'], ['append', 'p', 'b'], ['getBuffer', 'p']]).exec()
    assert.deepEqual(fresh[2], [null, Buffer.from('ab')])
  },
  async transactions () {
    assert.deepEqual(await redis.multi().set('t', 5).incrby('t', 2).hset('th', 'f', 'v').hgetall('th').exec(),
      [[null, 'OK'], [null, 7], [null, 1], [null, { f: 'v' }]])
    await redis.multi({ pipeline: false })
    assert.equal(await redis.set('t', 1), 'QUEUED')
    assert.deepEqual(await redis.exec(), [[null, 'OK']])
    await assert.rejects(redis.multi().set('t').exec(), /EXECABORT/)
    const other = connect()
    await redis.watch('t')
    await other.set('t', 'changed')
    assert.equal(await redis.multi().set('t', 'lost').exec(), null)
    assert.equal(await redis.get('t'), 'changed')
    await redis.watch('t')
    await redis.unwatch()
    await other.set('t', 'again')
    assert.deepEqual(await redis.multi().get('t').exec(), [[null, 'again']])
    await redis.multi({ pipeline: false })
    assert.equal(await redis.discard(), 'OK')
  },
  async scripts () {
    redis.defineCommand('addTo', { numberOfKeys: 2, lua: "return {redis.call('incrby', KEYS[1], ARGV[1]), redis.call('incrby', KEYS[2], ARGV[1])}" })
    redis.defineCommand('dynamic', { lua: 'return #KEYS' })
    redis.defineCommand('bytes', { numberOfKeys: 0, lua: "return '\\255\\0'" })
    assert.deepEqual(await redis.addTo('s1', 's2', 3), [3, 3])
    await redis.script('FLUSH')
    assert.deepEqual(await redis.addTo('s1', 's2', 4), [7, 7])
    assert.equal(await redis.dynamic(3, 'a', 'b', 'c'), 3)
    assert.deepEqual(await redis.bytesBuffer(), Buffer.from([255, 0]))
    const replies = await redis.pipeline().addTo('s1', 's2', 1).addTo('s1', 's2', 1).exec()
    assert.deepEqual(replies, [[null, [8, 8]], [null, [9, 9]]])
    assert.deepEqual(await redis.multi().addTo('s1', 's2', 1).exec(), [[null, [10, 10]]])
    await assert.rejects(redis.eval('return redis.call("nothing")', 0), /Unknown Redis command/)
    assert.equal(await redis.function('LOAD', 'REPLACE', "#!lua name=l\nredis.register_function('twice', function(k, a) return a[1] * 2 end)"), 'l')
    assert.equal(await redis.fcall('twice', 0, 21), 42)
  },
  async pubsub () {
    const old = connect({ protocol: 2 })
    await old.subscribe('x')
    await assert.rejects(old.get('x'), /subscriber mode/)
    const ear = connect()
    const heard = []
    ear.on('message', (channel, text) => heard.push([channel, text]))
    ear.on('pmessage', (pattern, channel, text) => heard.push([pattern, channel, text]))
    ear.on('smessage', (channel, text) => heard.push(['shard', channel, text]))
    assert.equal(await ear.subscribe('news', 'other'), 2)
    assert.equal(await ear.psubscribe('n?ws'), 3)
    await ear.ssubscribe('parts')
    assert.equal(await redis.publish('news', 'one'), 2)
    assert.equal(await redis.spublish('parts', 'two'), 1)
    while (heard.length < 3) await pause(5)
    assert.deepEqual(sorted(heard.map(String)), sorted([['news', 'one'], ['n?ws', 'news', 'one'], ['shard', 'parts', 'two']].map(String)))
    assert.deepEqual(await redis.pubsub('NUMSUB', 'news'), ['news', 1])
    assert.equal(await ear.get('x'), null)
    await ear.unsubscribe('news', 'other')
    await ear.punsubscribe('n?ws')
    await ear.sunsubscribe('parts')
    assert.equal(await ear.ping(), 'PONG')
  },
  async blocking () {
    const waiting = connect()
    const popped = waiting.blpop('b1', 'b2', 10)
    const later = waiting.blpop('b1', 0.05) // behind it, on the same connection
    await redis.rpush('b2', 'x')
    assert.deepEqual(await popped, ['b2', 'x'])
    assert.equal(await later, null)
    const moved = waiting.blmove('b1', 'b3', 'LEFT', 'RIGHT', 10)
    const score = connect().bzpopmin('bz', 10)
    await redis.rpush('b1', 'y')
    await redis.zadd('bz', 1.5, 'm')
    assert.equal(await moved, 'y')
    assert.deepEqual(await score, ['bz', 'm', '1.5'])
  },
  async streams () {
    const ids = []
    for (let i = 0; i < 5; i++) ids.push(await redis.xadd('st', '*', 'n', i))
    assert.equal(await redis.xgroup('CREATE', 'st', 'g', '0'), 'OK')
    const [[name, entries]] = await redis.xreadgroup('GROUP', 'g', 'alice', 'COUNT', 3, 'STREAMS', 'st', '>')
    assert.deepEqual([name, entries.map(([id]) => id)], ['st', ids.slice(0, 3)])
    assert.equal(await redis.xack('st', 'g', ids[0]), 1)
    assert.deepEqual((await redis.xpending('st', 'g')).slice(0, 3), [2, ids[1], ids[2]])
    assert.equal((await redis.xautoclaim('st', 'g', 'bob', 0, '0'))[1].length, 2)
    const waiting = connect().xreadgroup('GROUP', 'g', 'carol', 'BLOCK', 10000, 'STREAMS', 'st2', '>').catch((e) => e.message)
    assert.match(await waiting, /NOGROUP/)
    const fresh = connect().xread('BLOCK', 10000, 'STREAMS', 'st', '$')
    await waits(1)
    const id = await redis.xadd('st', '*', 'n', 'new')
    assert.deepEqual(await fresh, [['st', [[id, ['n', 'new']]]]])
    assert.equal((await redis.xinfo('STREAM', 'st'))[1], 6)
  },
  async scanning () {
    const keys = Array.from({ length: 1000 }, (_, i) => `scan:${i}`)
    await redis.mset(Object.fromEntries(keys.map((k) => [k, 1])))
    await redis.sadd('scanset', ...keys)
    await redis.hset('scanhash', Object.fromEntries(keys.map((k) => [k, 1])))
    await redis.zadd('scanzset', ...keys.flatMap((k, i) => [i, k]))
    const all = async (stream, pairs) => {
      const seen = []
      for await (const part of stream) seen.push(...part)
      return pairs ? seen.filter((_, i) => i % 2 === 0) : seen
    }
    assert.deepEqual(sorted(new Set(await all(redis.scanStream({ match: 'scan:*', count: 100, type: 'string' })))), sorted(keys))
    assert.deepEqual(sorted(new Set(await all(redis.sscanStream('scanset')))), sorted(keys))
    assert.deepEqual(sorted(new Set(await all(redis.hscanStream('scanhash'), true))), sorted(keys))
    assert.deepEqual(sorted(new Set(await all(redis.zscanStream('scanzset', { match: '*' }), true))), sorted(keys))
  },
  async autopipelining () {
    const client = connect({ enableAutoPipelining: true })
    await Promise.all(Array.from({ length: 5000 }, (_, i) => client.set(`auto:${i}`, i)))
    const values = await Promise.all(Array.from({ length: 5000 }, (_, i) => client.get(`auto:${i}`)))
    assert.ok(values.every((v, i) => v === String(i)))
  },
  async prefixes () {
    const client = connect({ keyPrefix: 'pre:' })
    await client.mset('a', 1, 'b', 2)
    assert.deepEqual(await redis.mget('pre:a', 'pre:b'), ['1', '2'])
    await client.zadd('z1', 1, 'm')
    await client.zunionstore('z2', 1, 'z1')
    assert.deepEqual(await redis.zrange('pre:z2', 0, -1), ['m'])
    client.defineCommand('where', { numberOfKeys: 1, lua: 'return KEYS[1]' })
    assert.equal(await client.where('x'), 'pre:x')
  },
  async reconnecting () {
    const client = connect({ db: 3, connectionName: 'named', retryStrategy: () => 20 })
    const ear = connect({ retryStrategy: () => 20 })
    let heard = 0
    ear.on('message', () => heard++)
    await ear.subscribe('after')
    await client.set('here', 'three')
    for (const c of [client, ear]) {
      const again = new Promise((resolve) => c.once('ready', resolve))
      const id = (await redis.client('LIST')).split('\n').find((line) => line.includes(` laddr=`) && line.includes(`addr=127.0.0.1:${c.stream.localPort} `))
      assert.equal(await redis.client('KILL', 'ID', id.match(/^id=(\d+)/)[1]), 1)
      await again
    }
    assert.equal(await client.get('here'), 'three') // the database was chosen again
    assert.equal(await client.client('GETNAME'), 'named')
    while (heard === 0) {
      await redis.publish('after', 'x')
      await pause(5)
    }
  },
  async buffers () {
    const b = Buffer.from([0, 255, 13, 10])
    await redis.set(b, b)
    assert.deepEqual(await redis.getBuffer(b), b)
    assert.deepEqual(Object.values(await redis.hgetall('none')), [])
    const big = Buffer.alloc(5 << 20, 'x')
    await redis.set('big', big)
    assert.ok((await redis.getBuffer('big')).equals(big))
  },
  async monitoring () {
    const monitor = await redis.monitor()
    open.push(monitor)
    const seen = new Promise((resolve) => monitor.on('monitor', (time, args) => args[1] === 'watched' && resolve(args)))
    await redis.set('watched', 'v')
    assert.deepEqual(await seen, ['set', 'watched', 'v'])
  }
}

const clusterTests = {
  async moved () {
    for (const scaleReads of ['master', 'slave', 'all']) {
      const cluster = new Cluster(ports.map((port) => ({ host: '127.0.0.1', port })), { scaleReads })
      open.push(cluster)
      await Promise.all(Array.from({ length: 500 }, (_, i) => cluster.set(`c:${i}`, `${scaleReads}${i}`)))
      for (let i = 0; i < 500; i++) {
        let v = await cluster.get(`c:${i}`)
        for (const end = Date.now() + 5000; v !== `${scaleReads}${i}` && Date.now() < end;) { // a copy may be a second old
          assert.notEqual(scaleReads, 'master')
          await pause(20)
          v = await cluster.get(`c:${i}`)
        }
        assert.equal(v, `${scaleReads}${i}`)
      }
      assert.equal(cluster.nodes('all').length, ports.length)
      assert.ok(cluster.nodes('master').length >= 1)
    }
  },
  async slots () {
    const cluster = new Cluster([{ host: '127.0.0.1', port: ports.at(-1) }], { enableAutoPipelining: true })
    open.push(cluster)
    const slots = await cluster.cluster('SLOTS')
    let next = 0
    for (const [first, last, ...nodes] of slots.sort((a, b) => a[0] - b[0])) {
      assert.equal(first, next)
      assert.ok(nodes.length === ports.length && nodes.every(([host, port]) => host === '127.0.0.1' && ports.includes(port)))
      next = last + 1
    }
    assert.equal(next, 16384)
    assert.ok((await cluster.cluster('SHARDS')).length >= 1)
    assert.match(await cluster.cluster('INFO'), /cluster_state:ok/)
    await Promise.all(Array.from({ length: 2000 }, (_, i) => cluster.set(`auto:${i}`, i)))
    assert.equal(await cluster.get('auto:1999'), '1999')
    assert.deepEqual(await cluster.pipeline().set('{tag}a', 1).incr('{tag}a').exec(), [[null, 'OK'], [null, 2]])
    assert.deepEqual(await cluster.multi().set('{tag}b', 1).get('{tag}b').exec(), [[null, 'OK'], [null, '1']])
    cluster.defineCommand('both', { numberOfKeys: 2, lua: "return redis.call('mget', KEYS[1], KEYS[2])" })
    assert.deepEqual(await cluster.both('{tag}a', '{tag}b'), ['2', '1'])
    cluster.on('message', () => {})
    assert.equal(await cluster.subscribe('cnews'), 1)
    const heard = new Promise((resolve) => cluster.once('message', (channel, text) => resolve(text)))
    await redis.publish('cnews', 'all nodes')
    assert.equal(await heard, 'all nodes')
  },
  async replicas () {
    const cluster = new Cluster(ports.map((port) => ({ host: '127.0.0.1', port })))
    open.push(cluster)
    await cluster.set('asked', 'v')
    const follower = connect({ port: cluster.nodes('slave')[0].options.port })
    await follower.cluster('MYID')
    await follower.readonly()
    for (const end = Date.now() + 5000; await follower.get('asked') !== 'v' && Date.now() < end;) await pause(20)
    assert.equal(await follower.get('asked'), 'v')
    await assert.rejects(follower.set('asked', 'w'), /MOVED/)
  }
}

await redis.flushall()
let failed = 0
for (const [name, test] of Object.entries({ ...tests, ...(ports.length > 1 ? clusterTests : {}) })) {
  try {
    await Promise.race([test(), pause(30_000, null, { ref: false }).then(() => { throw new Error('it does not end') })])
  } catch (e) {
    failed++
    console.log(`ioredis: ${name}:`, e)
  }
}
console.log(`ioredis: ${Object.keys(tests).length + (ports.length > 1 ? Object.keys(clusterTests).length : 0)} tests, ${failed} failed`)
for (const client of open) client.disconnect()
process.exit(failed ? 1 : 0)
