#!/bin/sh
# Runs clients and queues of frameworks on nodes of their own: asynq, ioredis and BullMQ (the latter
# need node and npm), on one node and on three, with and without nodes being killed meanwhile. The
# first argument is the binary.
set -eu
strata=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
port=${PORT:-16399}
jobs=${JOBS:-100000}
work=$(mktemp -d)
pid0= pid1= pid2= queue=
end() {
	test -z "$queue" || kill "$queue" 2>/dev/null || true
	for n in 0 1 2; do stop "$n" 9; done
	rm -rf "$work"
}
trap end EXIT

# serve starts node $1, alone or of three.
serve() {
	set -- "$1" --data "$work/data$1" --resp-addr "127.0.0.1:$((port + $1))" --admin-addr off --grpc-addr off
	if [ "$many" = yes ]; then
		set -- "$@" --admin-addr "127.0.0.1:$((port + 10 + $1))" --cluster-addr "127.0.0.1:$((port + 20 + $1))"
		test "$1" = 0 || set -- "$@" --join "127.0.0.1:$((port + 10))"
	fi
	n=$1
	shift
	"$strata" start "$@" >>"$work/log$n" 2>&1 &
	eval "pid$n=$!"
}
# stop ends node $1 with signal $2.
stop() {
	eval "pid=\$pid$1; pid$1="
	test -z "$pid" || { kill "-$2" "$pid" && wait "$pid" || true; }
}
# leader is the node that leads the queue's range.
leader() {
	"$strata" ranges --json --admin "127.0.0.1:$((port + 10 + $1))" 2>/dev/null |
		node -e 'console.log(JSON.parse(require("fs").readFileSync(0)).at(-1).leader - 1)' 2>/dev/null || echo -1
}

cp "$here"/bullmq/* "$here"/ioredis/* "$work"
(cd "$work" && npm install --ignore-scripts --no-audit --no-fund --silent)
many=no
serve 0
sleep 2
(cd "$here/asynq" && go run . "127.0.0.1:$port" "${TASKS:-20000}")
node "$work/features.mjs" "$port"
node "$work/queue.mjs" "$port" "$jobs"
stop 0 TERM
rm -rf "$work/data0"
serve 0
sleep 2
node "$work/queue.mjs" "$port" "$jobs" killed &
queue=$!
for _ in 1 2 3; do
	sleep 8
	stop 0 9
	serve 0
done
wait "$queue"
queue=
stop 0 TERM
rm -rf "$work/data0"

many=yes
for n in 0 1 2; do
	serve "$n"
	sleep 3
done
ports=$port,$((port + 1)),$((port + 2))
node "$work/features.mjs" "$ports"
node "$work/queue.mjs" "$ports" "$jobs" killed &
queue=$!
for round in 0 1 2; do
	sleep 10
	victim=$(leader "$round")
	echo "node $victim leads, and is killed"
	stop "$victim" 9
	sleep 3
	serve "$victim"
done
wait "$queue"
queue=
