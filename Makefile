# `make help` says what there is.
.DEFAULT_GOAL := help
.PHONY: help build demo check test bench fuzz properties hostile soak kill-matrix power-cuts csms-days josev cars deb cross-aarch64 reproducible test-browser test-container test-image sbom

# Options of the demo, as in: make demo ARGS="--evses 2 --fault meter-gone"
ARGS ?=
# Where the recordings are that `make cars` plays, and its options: ARGS="--pace recorded --only bmw".
CAPTURES ?=
# How long `make fuzz` feeds each parser, and the inputs that `make properties` gives each property.
SECONDS ?= 50
CASES ?= 20000
# Sessions that `make hostile` spoils.
TRIES ?= 100000
# Sessions of `make soak`, and the first of their seeds.
SESSIONS ?= 100000
SEED ?= 0
# Power cuts at random instants, after those at every step.
CUTS ?= 300

help: ## This list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

build: ## Compile all daemons and tools
	@scripts/install-tools build
	@cargo build --workspace --locked

demo: ## Watch a simulated car charge (ARGS="--evses N --fault NAME --keep")
	@scripts/install-tools build
	@cargo build --workspace --bins --locked
	@target/debug/voltry-sim demo $(ARGS)

check: ## Format, lints, licences, layers, spelling
	@scripts/install-tools check
	@scripts/check

test: ## Everything that must pass before a change lands
	@scripts/install-tools test
	@cargo build --workspace --bins --locked
	@cargo build -p voltry-ocpp --example judge_ocpp_requests --locked
	@scripts/check
	@scripts/run-tests

test-browser: ## A real browser at the pages of voltry-ui; pictures in target/screenshots
	@scripts/install-tools browser
	@cargo build --workspace --bins --locked
	@node --test --test-concurrency=1 tests/browser/*.test.mjs

bench: ## Speed and memory, as one table and target/bench.json (ARGS="--quick", or parts by name)
	@scripts/install-tools build
	@cargo build --workspace --exclude voltryctl --exclude voltry-update --exclude voltry-reader --bins --release --locked
	@target/release/voltry-bench $(ARGS)

fuzz: ## Damaged input to each parser that a peer reaches, SECONDS for each
	@scripts/install-tools fuzz
	@scripts/fuzz $(SECONDS)

properties: ## The property tests, with CASES inputs for each
	@scripts/install-tools build
	@PROPTEST_CASES=$(CASES) cargo test --locked --workspace --lib --tests --exclude voltry-system-tests

hostile: ## A hostile vehicle: TRIES sessions spoilt, reordered, cut, flooded
	@scripts/install-tools build
	@VOLTRY_HOSTILE_TRIES=$(TRIES) cargo test -q --locked --workspace --test hostile_vehicle -- --nocapture

soak: ## SESSIONS in virtual time, each with trouble at some step, from SEED on; it says how many a second
	@scripts/install-tools build
	@VOLTRY_SOAK_SESSIONS=$(SESSIONS) VOLTRY_SOAK_SEED=$(SEED) cargo test -q --release --locked -p voltry-fault-sweep --test sweep soak -- --nocapture

kill-matrix: ## Each daemon killed, hung, cut off in each phase of a session (ARGS=evse: a daemon, strike or phase)
	@scripts/install-tools build
	@cargo build --workspace --bins --locked
	@VOLTRY_KILL_MATRIX=$(or $(ARGS),all) cargo test -q --locked -p voltry-system-tests --test kill_matrix the_whole -- --nocapture

power-cuts: ## What a CSMS bills after a power cut at every step of a transaction, and at CUTS instants
	@scripts/install-tools build
	@cargo build --workspace --bins --locked
	@VOLTRY_POWER_CUTS=$(CUTS) cargo test -q --locked -p voltry-ocpp --test power_cut -- --nocapture

csms-days: ## A day with each of three CSMSs that nobody here wrote, and a flood of one
	@scripts/install-tools test
	@cargo build --workspace --bins --locked
	@VOLTRY_CSMS_DAYS=all .venv/bin/pytest -q tests/interop/test_ocpp_peers.py tests/interop/test_ocpp_flood.py

josev: ## Josev's vehicle by every protocol, with pauses and renegotiation
	@scripts/install-tools test
	@cargo build --workspace --bins --locked
	@VOLTRY_JOSEV=all .venv/bin/pytest -q tests/interop/test_josev.py

deb: ## Debian packages for this machine's architecture, in target/debian (ARGS=debug: of a debug build, for tests)
	@scripts/install-tools deb
	@$(if $(filter debug,$(ARGS)),cargo build --workspace --bins --locked,scripts/build-release target/ship)
	@scripts/build-debs $(if $(filter debug,$(ARGS)),target/debug,target/ship/release)
	@$(if $(filter debug,$(ARGS)),,lintian --allow-root --fail-on error target/debian/*.deb)

cross-aarch64: ## Everything for aarch64: built, started and tested under emulation, packed (root; ARGS=release, or some crates)
	@scripts/install-tools cross
	@$(if $(filter release,$(ARGS)),CROSS_PROFILE=release) scripts/cross-aarch64 $(filter-out release debug,$(ARGS))

reproducible: ## The same programs and packages from another folder, at another time? (ARGS: some crates alone)
	@scripts/install-tools deb
	@scripts/reproducible $(ARGS)

test-container: ## Those packages, of a debug build, installed in a container that systemd boots (root; ARGS=release)
	@scripts/install-tools container
	@$(MAKE) --no-print-directory deb ARGS=$(or $(ARGS),debug)
	@VOLTRY_PROFILE=$(or $(ARGS),debug) .venv/bin/pytest -q -rs -s tests/container

test-image: ## The same packages in a machine (QEMU) with CAN controllers and a watchdog (root; ARGS=release)
	@scripts/install-tools image
	@$(MAKE) --no-print-directory deb ARGS=$(or $(ARGS),debug)
	@.venv/bin/pytest -q -rs -s -o faulthandler_timeout=0 tests/image

sbom: ## What each program consists of, as CycloneDX, in target/sbom
	@scripts/install-tools sbom
	@scripts/sbom

cars: ## Recorded cars drive again (CAPTURES=DIR; ARGS="--pace recorded --only NAME --keep FILE")
	@scripts/install-tools test
	@cargo build --workspace --bins --locked
	@test -n "$(CAPTURES)" || { echo "where are the recordings? make cars CAPTURES=DIR" >&2; exit 2; }
	@.venv/bin/python tests/interop/cars.py $(CAPTURES) $(ARGS)
