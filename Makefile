# Needs only Python >= 3.11 and make. `make demo` and `make test` make what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.ready-bench

.PHONY: attacks fuzz fuzz-semantics malformed chaos soak conformance versions help venv demo demo-admin shell test test-random lint bench clean

help:
	@echo "make venv   a virtual environment in $(VENV) (redone when pyproject.toml changes)"
	@echo "make demo   the main job, on a real worker and a real Redis"
	@echo "make demo-admin  Django's admin on the models of another service, until Ctrl-C; prints address and login"
	@echo "make shell  the example shop in a Python shell, without a broker, to type the examples of docs/"
	@echo "make test   linters, types, import rules, tests"
	@echo "make test-random  the tests in random order; the seed is printed: SEED=1 repeats it, TESTS=tests/models runs a part"
	@echo "make conformance  Django's own ORM tests through mirrors: LABELS=\"basic lookup\", WRITE=1 for docs/conformance.md, RECORDS=folder repeats no run"
	@echo "make versions  client and service on different releases of Django: PAIRS=\"5.2:4.2 5.1\", WRITE=1 for docs/reference/versions.md"
	@echo "make chaos  a load of calls while everything breaks, twice 120 s (SECONDS=20: shorter), and whether the books balance"
	@echo "make soak   200,000 calls (CALLS=...), and what both ends hold before and after"
	@echo "make fuzz   broken and hostile messages for SECONDS=600; ATHERIS=1: guided by the code that they reach"
	@echo "make fuzz-semantics  PROGRAMS=100000 random programs on local models and through mirrors; LIVE=5000 on a real worker"
	@echo "make malformed  MESSAGES=10000 malformed messages to a worker on Redis and on RabbitMQ"
	@echo "make attacks  each defence taken out, and its tests required to fail: docs/security.md (WRITE=1)"
	@echo "make bench  every figure beside its reference"
	@echo "make clean  remove what these made"

venv: $(READY)

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,demo]'
	@touch $@

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

demo: $(READY)
	$(BIN)/python -m django_rpc demo

demo-admin: $(READY)
	@$(BIN)/python -m django_rpc demo-admin $(if $(PORT),--port $(PORT))

shell: $(READY)
	@$(BIN)/python -i -m django_rpc.demo.shell

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile # most of it waits for workers and databases

test-random: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -p randomly $(if $(SEED),--randomly-seed=$(SEED)) $(TESTS)

conformance: $(READY)
	$(BIN)/python -m tests.conformance $(if $(WRITE),--write) $(if $(RECORDS),--records $(RECORDS)) $(LABELS)

versions: $(READY)
	$(BIN)/python -m tests.versions $(if $(WRITE),--write) $(PAIRS)

chaos: $(READY)
	$(BIN)/python -m tests.chaos --broker redis --seconds $(or $(SECONDS),120)
	$(BIN)/python -m tests.chaos --broker rabbitmq --seconds $(or $(SECONDS),120)

soak: $(READY)
	$(BIN)/python -m tests.soak --calls $(or $(CALLS),200000)

bench: $(BENCH_READY)
	$(BIN)/python -m benchmarks

fuzz: $(READY)
	$(BIN)/python -m tests.attacks.fuzz --seconds $(or $(SECONDS),600) $(if $(ATHERIS),--atheris)

fuzz-semantics: $(READY)
	$(BIN)/python -m tests.semantics --programs $(or $(PROGRAMS),10000) --live $(or $(LIVE),0) --seed $(or $(SEED),1)

malformed: $(READY)
	DJANGO_RPC_TEST_MALFORMED=$(or $(MESSAGES),10000) $(BIN)/python -m pytest -q tests/live/test_malformed_messages.py

attacks: $(READY)
	$(BIN)/python -m tests.attacks $(if $(WRITE),--write)

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
