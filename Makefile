# What a person runs, and what CI runs: the same recipes. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tests, the processes they start, clippy and documentation share one profile, so that nothing is built twice.
PROFILE := ci
export BAROGRAPH_PEERS_DIR ?= $(CURDIR)/.tools/sid
# Arguments for the program that is run: make run ARGS="--http 127.0.0.1:9010".
ARGS ?=

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build Barograph and start it, with data in ./data (arguments in ARGS).
	target/release/barograph $(ARGS)

.PHONY: cluster
cluster: build ## Build Barograph and start a cluster of sixteen processes on this machine, with data in ./data/cluster.
	scripts/cluster.sh run

.PHONY: build
build: prerequisites ## Build the release programs into target/release.
	@echo "==> building target/release (the first time takes some minutes)"
	cargo build --release -p barograph -p loadtest

.PHONY: test
test: prerequisites test-peers ## Run all tests; brings the programs they need.
	@echo "==> running all tests"
	cargo test --workspace --profile $(PROFILE) --no-fail-fast

.PHONY: check
check: prerequisites ## Check formatting, lints, layers and documentation.
	@echo "==> formatting"
	cargo fmt --all -- --check
	@echo "==> layers, sizes, words, dependencies"
	cargo run --quiet --profile $(PROFILE) -p xtask -- check
	@echo "==> clippy"
	cargo clippy --workspace --all-targets --profile $(PROFILE) -- -D warnings
	@echo "==> documentation"
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --profile $(PROFILE)

.PHONY: format
format: ## Format the code.
	cargo fmt --all

.PHONY: bench
bench: prerequisites ## Run the criterion benchmarks (one with ARGS="-p wal").
	cargo bench $(if $(ARGS),$(ARGS),--workspace) --benches

.PHONY: bench-peers
bench-peers: build peers ## Measure Barograph, Prometheus and VictoriaMetrics side by side (takes a quarter of an hour).
	scripts/bench/side-by-side.sh $(ARGS)

.PHONY: bench-queries
bench-queries: build peers ## Measure what queries cost the three, side by side (takes a quarter of an hour).
	scripts/bench/queries.sh $(ARGS)

.PHONY: bench-scale
bench-scale: prerequisites ## Measure the control plane: leaders killed; 30, 300 and 1,000 ingesters (takes ten minutes).
	cargo bench -p metastore --bench control-plane -- failover
	for size in "30 1000" "300 10000" "1000 3000"; do cargo bench -p metastore --bench control-plane -- scale $$size; done

.PHONY: fuzz
fuzz: prerequisites ## Feed mutated requests to the decoders, for a bounded number of rounds (part of make test, too).
	cargo test --profile $(PROFILE) -p wire --test fuzz_decoders

# How long the cluster is simulated, from which seed on, and on how many threads.
SOAK_MINUTES ?= 60
SOAK_SEED ?= 1000000
SOAK_JOBS ?= $(shell nproc)

.PHONY: soak
soak: prerequisites ## Simulate the cluster under faults for SOAK_MINUTES (60), from SOAK_SEED on; seeds that fail go to target/sim/failed.txt.
	mkdir -p target/sim
	cargo run --quiet --release -p sim -- --seed $(SOAK_SEED) --minutes $(SOAK_MINUTES) --jobs $(SOAK_JOBS) \
		--save target/sim/failed.txt

# How many random queries are tried, and from which seed on.
SOAK_QUERIES ?= 100000
SOAK_FIRST ?= 0

.PHONY: soak-queries
soak-queries: prerequisites ## Compare the engine with the naive evaluator on 100,000 random queries (SOAK_QUERIES, SOAK_FIRST).
	PROMQL_DIFFERENTIAL_QUERIES=$(SOAK_QUERIES) PROMQL_DIFFERENTIAL_FIRST=$(SOAK_FIRST) \
		cargo test --profile $(PROFILE) -p promql --test differential engine_and_naive_evaluator_agree -- --nocapture

# Minutes of chaos, and which faults (another seed each time unless one is given).
CHAOS_MINUTES ?= 10
CHAOS_SEED ?=

.PHONY: chaos
chaos: build ## Kill, freeze and cut off processes of a cluster at random under load, for CHAOS_MINUTES (10); CHAOS_SEED repeats.
	mkdir -p target/chaos
	target/release/loadtest chaos --length $(CHAOS_MINUTES)m $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

.PHONY: image
image: build ## Make the container image from the built program, without a registry (installs and starts Docker if needed).
	scripts/image.sh

.PHONY: compose-test
compose-test: build test-peers ## Run the compose cluster with a real Docker engine, under load, with kills.
	scripts/compose-test.sh

.PHONY: deny
deny: prerequisites ## Check licences and sources of dependencies, and advisories.
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check

.PHONY: prerequisites
prerequisites: ## Install what building needs and is missing.
	@scripts/prerequisites.sh

.PHONY: test-peers
test-peers: ## Bring the programs that tests need (Prometheus, promtool, node exporter, amtool, an S3 server) into .tools, and Chromium.
	@scripts/peers.sh prometheus promtool prometheus-node-exporter prometheus-alertmanager
	@scripts/s3-server.sh
	@scripts/browser.sh

.PHONY: peers
peers: test-peers ## Bring, besides, the one that comparisons need (VictoriaMetrics).
	@scripts/peers.sh victoria-metrics

.PHONY: clean
clean: ## Remove everything that was built or fetched; data stays.
	cargo clean
	rm -rf .tools
