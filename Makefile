# Targets with a description after ## are listed by `make`.
# Settings: SEED, GROUP and SEEDS for sim, ROUNDS for crash, KILLS for cluster-crash, CUTS for partitions, FUZZTIME for fuzz, JOBS for frameworks.

GO       ?= go
FUZZTIME ?= 20s
ROUNDS   ?= 100
KILLS    ?= 30
CUTS     ?= 20
JOBS     ?= 100000
SEEDS    ?= 2000

# What runs in several goroutines is tested with the race detector by default. The longest
# come first, so that none is left to run alone.
RACED     = ./internal/api/redis ./internal/kv/kvrange ./internal/importer ./internal/cluster/store ./internal/proxy \
            ./internal/storage/keyfilter ./internal/storage/lsm ./internal/storage/raftlog ./internal/storage/rowcache \
            ./internal/rangestore/replica ./internal/rangestore/sleep ./internal/kv/kvmem ./client \
            ./internal/cluster/census ./internal/cluster/coordinator ./internal/cluster/operator ./internal/cluster/oracle \
            ./internal/cluster/remote ./internal/cluster/transport ./internal/migrate/replica ./internal/cli ./internal/netloop ./internal/turn \
            ./internal/api/admin ./internal/api/kvgrpc ./internal/api/redis/latency ./internal/api/redis/monitor ./internal/api/redis/tracking
# All others are tested without it, and those of which it skips a part.
AGAIN     = ./internal/api/redis
PLAIN     = $(filter-out $(shell $(GO) list $(filter-out $(AGAIN),$(RACED))),$(shell $(GO) list ./...))

# Most tests of processes wait, so that four packages fit two processors; what only a debugger
# reads is half of what a linker does, and vet has run.
QUICKLY   = -p 4 -parallel 3 -vet=off -ldflags=-w -timeout 40m

.DEFAULT_GOAL := help
.PHONY: help build test lint race fuzz sim crash cluster-crash torture partitions frameworks bench bench-cluster bench-ranges docs proto clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/strata
	$(GO) build -trimpath -o bin/strata ./cmd/strata

test: ## all tests: vet, short fuzzing, part of them with the race detector, simulations, crashes; nine to ten minutes
	$(GO) vet ./...
	scripts/fuzz 5000x
	$(GO) test $(QUICKLY) -race -short $(RACED)
	$(GO) test $(QUICKLY) ./test/e2e ./test/torture ./test/sim $(AGAIN) ./internal/rangestore/prepared $(PLAIN)

lint: ## go vet, the rules of the house, and golangci-lint where it is installed
	$(GO) vet ./...
	$(GO) test ./test/lint
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: skipped"; fi

race: ## all tests with the race detector
	$(GO) test -race -timeout 60m ./...

fuzz: ## fuzz every decoder for FUZZTIME (20s)
	scripts/fuzz $(FUZZTIME)

sim: ## simulate SEEDS (2000) seeds, or replay SEED=n, or GROUP=n of several nodes, with its trace
ifdef GROUP
	$(GO) test ./test/sim -run 'TestGroups$$' -count 1 -v -args -group $(GROUP)
else ifdef SEED
	$(GO) test ./test/sim -run 'TestSeeds$$' -count 1 -v -args -seed $(SEED)
else
	$(GO) test ./test/sim -run 'TestSeeds$$|TestGroups$$' -count 1 -v -timeout 120m -args -seeds $(SEEDS)
endif

crash: ## kill -9 under load, ROUNDS (100) times
	$(GO) test ./test/crash -count 1 -v -timeout 120m -args -rounds $(ROUNDS)

cluster-crash: ## kill -9, and then stop, the nodes of a cluster in turn, under load, KILLS (30) times
	$(GO) test ./test/e2e -run InTurn -count 1 -v -timeout 60m -args -kills $(KILLS)

torture: ## three nodes, clients, and everything that can be done to them, for ten minutes (Linux with network namespaces for all of it)
	$(GO) test ./test/torture -count 1 -v -timeout 30m -args -for 10m

partitions: ## three nodes are cut off from each other, in each of five ways, CUTS (20) times (Linux with network namespaces)
	$(GO) test ./test/torture -run Partitions -count 1 -v -timeout 60m -args -cuts $(CUTS)

frameworks: build ## run BullMQ, ioredis (need node and npm) and asynq on one node and on three, which are killed meanwhile: JOBS (100000)
	JOBS=$(JOBS) test/frameworks/run.sh bin/strata

bench: build ## compare with redis-server on this machine (needs redis-server and redis-benchmark)
	$(GO) run ./scripts/compare -strata bin/strata

bench-cluster: build ## compare three nodes with etcd and with redis-server and two replicas (needs etcd and redis-server)
	$(GO) run ./scripts/compare -strata bin/strata -cluster

bench-ranges: build ## cut a node into 10,000 ranges, and three nodes into 1000: the cost of a split, memory, processor while idle, start
	$(GO) run ./scripts/compare -strata bin/strata -ranges 10000
	$(GO) run ./scripts/compare -strata bin/strata -ranges 1000 -nodes 3

docs: ## write the generated pages of docs/reference
	$(GO) run ./cmd/strata docs config > docs/reference/config.md
	$(GO) test ./internal/api/redis -run Reference -rewrite

proto: ## generate the Go code of proto/*.proto (needs protoc)
	$(GO) build -o bin/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	PATH="$(CURDIR)/bin:$$PATH" protoc --go_out=. --go_opt=paths=source_relative \
		--go-grpc_out=. --go-grpc_opt=paths=source_relative proto/*.proto

clean: ## remove what was built
	rm -rf bin
