# Each target installs what it lacks (scripts/install.sh) and runs with the pinned Node of package-lock.json.
SHELL := /bin/bash
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
MAKEFLAGS += --no-print-directory --silent

DIST := packages/hawser/dist/main.cjs
SOURCES := $(shell find packages/*/src -name '*.ts' -not -name '*.test.ts' 2>/dev/null) \
  $(wildcard packages/runtime/native/*) scripts/build.ts scripts/build-plugins.ts scripts/native.ts package-lock.json

.PHONY: help build test test-unit test-long test-faults test-cgroup-v2 test-systemd fuzz demo bench interop package check format generate clean npm

help:
	@printf '%s\n' \
	  'make demo      start a cluster, run the post'"'"'s pod, exec into it, take it down (root)' \
	  'make test      every test: units, against real peers, the whole path (root)' \
	  'make test-long the streams'"'"' tests at their full sizes: 1 GiB each way, every client (root)' \
	  'make test-faults the runtime killed at every step, spoiled programs, full disks (root, half an hour)' \
	  'make test-cgroup-v2 containers on a kernel with cgroup v2 alone and AppArmor, in an emulated machine (root, an hour)' \
	  'make test-systemd pods as slices of systemd'"'"'s, in an emulated machine with it as init (root, half an hour)' \
	  'make test-unit the tests that need neither root nor peers' \
	  'make fuzz      fuzz the stream codecs for TIME seconds, 60 by default' \
	  'make build     bundle the program: then node_modules/.bin/hawser runs from dist' \
	  'make bench     the table of docs/benchmarks.md (root)' \
	  'make interop   the tables of docs/interop.md: every client, verb and runtime (root)' \
	  'make package   hawser-VERSION.tgz, for npm install -g' \
	  'make check     formatter, linter, types, layers' \
	  'make generate  regenerate the CRI types' \
	  'make clean     remove what the targets above made'

npm:
	@scripts/install.sh npm

build: npm
	@scripts/install.sh compiler
	@$(MAKE) $(DIST)

$(DIST): $(SOURCES)
	@node scripts/build.ts

test: build
	@scripts/install.sh test peers
	@$(MAKE) check
	@node scripts/test.ts

test-long: build
	@scripts/install.sh test peers
	@HAWSER_TEST_LONG=1 node scripts/test.ts e2e/streams

test-faults: build
	@scripts/install.sh test peers
	@HAWSER_FAULTS=all HAWSER_TEST_TIMEOUT=3600000 HAWSER_FILE_TIMEOUT=7200000 node scripts/test.ts conformance/faults

test-cgroup-v2: build
	@scripts/install.sh test peers vm
	@node conformance/vm/main.ts $(TESTS)

test-systemd: build
	@scripts/install.sh test peers systemd
	@HAWSER_VM_INIT=systemd node conformance/vm/main.ts $(or $(TESTS),conformance/systemd/)

test-unit: npm
	@node --test "packages/*/src/**/*.test.ts"

fuzz: npm
	@node packages/streaming/src/fuzz/run.ts $(or $(TIME),60)

demo:
	@scripts/install.sh npm system
	@$(MAKE) build
	@node scripts/demo.ts

bench:
	@scripts/install.sh
	@$(MAKE) build
	@node bench/main.ts

interop: build
	@scripts/install.sh test peers
	@node conformance/interop/main.ts

package: build
	@node scripts/package.ts $(PACKAGE_DIR)

check: npm
	@biome check . && tsc --noEmit && node scripts/check-layers.ts

format: npm
	@biome check --write .

generate: npm
	@node scripts/generate-cri.ts

clean:
	@rm -rf packages/hawser/dist packages/runtime/dist .cache/stage ./*.tgz
