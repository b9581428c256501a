# Short names for commands. All of them use the dev profile and one target folder, so what one builds the next reuses.

CARGO ?= cargo
# `make torture` runs this many times as many random cases.
TORTURE ?= 20
# `make test` draws the same random cases, and kills at the same moments, each time: a change is judged by itself. `make torture`
# draws new ones.
test: export PROPTEST_RNG_SEED ?= 20261123
test: export KILL_SEED ?= 20261123
# The suite's programs wait for one another a third of their time: three tests on two cores at once.
test: export RUST_TEST_THREADS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )))
DOC_FLAGS = -D warnings

.DEFAULT_GOAL := help
.PHONY: help demo build test model torture ordeal bench bench-peers docs pictures fmt lint ci toolchain

help: ## what there is to make (this list)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: toolchain ## empty a node of a simulated cluster: the plan, then the run; no hypervisor, no root
	@scripts/demo

build: toolchain ## target/debug/runbook
	$(CARGO) build

test: toolchain ## all tests; asks before it installs the programs that they need
	@scripts/test-tools
	$(CARGO) test

torture: toolchain ## the same with TORTURE=20 times the random cases, and a crash after every event (many hours)
	@scripts/test-tools
	TORTURE=$(TORTURE) $(CARGO) test

ordeal: toolchain ## talos-upgrade with each fault on each machine at each place, with and without a crash (many hours; ORDEAL=20 takes that many of each kind)
	ORDEAL=$(or $(ORDEAL),all) $(CARGO) test --test suite -- ordeal:: --nocapture

model: toolchain ## the machine's states: each of the largest graphs disturbed too, not one in eight (a minute; the optimised build before it five)
	MODEL_EVERY=1 $(CARGO) test --release --lib model:: -- --nocapture

bench: toolchain ## measure (builds with optimisation: several minutes the first time)
	$(CARGO) bench

bench-peers: toolchain ## local commands beside make, just, go-task, pyinfra and ansible-core: prints the table for docs/performance.md
	@scripts/peers
	$(CARGO) bench --bench peers

docs: toolchain ## the code's documentation: target/doc/runbook/index.html
	RUSTDOCFLAGS="$(DOC_FLAGS)" $(CARGO) doc --no-deps --document-private-items

pictures: toolchain ## compare the pictures and generated pages of docs/; UPDATE_PICTURES=1 UPDATE_DOCS=1 writes them anew
	$(CARGO) test --test suite -- docs:: pictures::

fmt: toolchain ## format the sources
	$(CARGO) fmt

lint: toolchain ## what CI refuses: formatting and clippy's warnings
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

ci: ## all that CI does
	@.ci/run

toolchain:
	@scripts/toolchain
