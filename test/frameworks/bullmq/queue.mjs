// A BullMQ queue of so many jobs and 20 workers, at servers with these ports: all are completed in the
// end. With "killed" as the third argument servers are killed meanwhile, and a job may be done again
// whose end was not acknowledged; otherwise each is done once.
import { Queue, Worker } from 'bullmq'

const [ports, jobs, mode] = [process.argv[2].split(',').map(Number), Number(process.argv[3]), process.argv[4]]
const connection = (i) => ({ host: '127.0.0.1', port: ports[i % ports.length], maxRetriesPerRequest: null, retryStrategy: () => 100 })
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const done = new Map()
const acknowledged = new Map() // when
let again = 0 // fetched though the end was acknowledged; a worker may begin long after it has fetched
let failed = 0 // attempts: their ends were neither acknowledged nor refused, so they are made again
const reasons = new Set()
let errors = 0

const queue = new Queue('jobs', { connection: connection(0) })
queue.on('error', () => errors++)
const workers = Array.from({ length: 20 }, (_, i) => {
  const worker = new Worker('jobs', async (job) => {
    if (acknowledged.get(job.data.n) < job.processedOn) again++
    done.set(job.data.n, (done.get(job.data.n) ?? 0) + 1)
    return job.data.n
  }, { connection: connection(i), concurrency: 10, stalledInterval: 5000, lockDuration: 10000, maxStalledCount: 20 })
  worker.on('completed', (job) => acknowledged.set(job.data.n, Date.now()))
  worker.on('failed', (job, reason) => { failed++; reasons.add(reason.message) })
  worker.on('error', () => errors++)
  return worker
})

async function add () {
  for (let from = 0; from < jobs; from += 500) {
    const batch = []
    for (let n = from; n < Math.min(jobs, from + 500); n++) {
      batch.push({ name: 'job', data: { n }, opts: { jobId: 'j' + n, delay: n % 50 ? 0 : 200, priority: n % 97 ? undefined : 5, attempts: 5 } })
    }
    for (let added = false; !added;) {
      try {
        await queue.addBulk(batch)
        added = true
      } catch {
        errors++
        await pause(200)
      }
    }
  }
}

const began = Date.now()
const adding = add()
let counts = {}
let seen = [0, Date.now()]
while (!(done.size >= jobs && counts.completed >= jobs)) {
  await pause(500)
  try {
    counts = await queue.getJobCounts()
  } catch {
    errors++
  }
  if (done.size !== seen[0]) seen = [done.size, Date.now()]
  if (Date.now() - seen[1] > 120_000) break
}
if (done.size >= jobs) await adding
const twice = [...done.values()].filter((n) => n > 1).length
const fine = done.size === jobs && counts.completed === jobs && counts.failed === 0 && again === 0 && (mode === 'killed' || twice + failed === 0)
if (failed) console.log('bullmq: attempts failed:', reasons)
console.log(`bullmq: ${done.size} of ${jobs} jobs in ${Date.now() - began} ms, ${twice} more than once, ${again} of them though acknowledged, ${failed} attempts failed, ${errors} errors of connections`, counts)
process.exit(fine ? 0 : 1)
