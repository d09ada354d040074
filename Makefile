# Everything runs from VENV, which the first target makes from a bare PYTHON (>= 3.11).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST = $(BIN)/python -m pytest
# What the tests use beside the agent; `browser` wants a newer certifi than the agent does.
EXTRAS ?= collector,cluster,fast,quic,browser
TEST_GROUP ?= dev
PURE_WORKERS ?= 2
# The generator holds protobuf at its own old version, so it is kept away from what users get.
STUBS := .venv-stubs
# The same holds for what makes deploy/locks and the bills of materials.
RELEASE := .venv-release

# Where it is set, as in many an image, each worker of the suite would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test suite checked tests short-benches quick pure soak coverage check compiled fmt stubs translations bench lab drill plays locks sbom clean

run: $(VENV)/ready ## a collector, an agent on this machine and the page at http://127.0.0.1:8080/
	@$(BIN)/python deploy/run.py

help: ## this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

test: ## all that CI runs: lint, types, architecture; the whole suite; then short benches, alone on the machine
	@$(MAKE) --no-print-directory -j 2 $(VENV)/ready-dev
	@$(MAKE) --no-print-directory suite
	@$(MAKE) --no-print-directory short-benches

# Side by side, since each waits for what the other does not use; what is wrong is shown at once.
suite: $(VENV)/ready-dev
	@$(MAKE) --no-print-directory -j 2 checked compiled tests

checked: $(VENV)/ready-dev
	@nice -n 5 $(MAKE) --no-print-directory -j 1 check >$(VENV)/check.log 2>&1; status=$$?; cat $(VENV)/check.log; exit $$status

tests: compiled
	MAKEFLAGS= MFLAGS= $(PYTEST) -n 7 --dist loadgroup --no-loadscope-reorder --ignore tests/bench --durations=25 --durations-min=20

short-benches: $(VENV)/ready-dev
	$(PYTEST) tests/bench -q -s -m "not slow" -p no:cacheprovider

quick: $(VENV)/ready-dev ## lint, types, architecture, and the tests that start no program: see tests/support/quick.py
	@$(MAKE) --no-print-directory -j 2 check pure

pure: $(VENV)/ready-dev
	HELIOGRAPH_EXAMPLES=$${HELIOGRAPH_EXAMPLES:-few} $(PYTEST) --quick -q -n $(PURE_WORKERS) --dist loadgroup --no-loadscope-reorder

# What is asked of each is the environment's; here stands what is asked of all where nobody says.
soak: export HELIOGRAPH_ADAPTIVE_SEEDS ?= 300
soak: export HELIOGRAPH_BACKUPS ?= 20
soak: export HELIOGRAPH_BROKER_KILLS ?= 12
soak: export HELIOGRAPH_CLUSTER_SCHEDULES ?= 30
soak: export HELIOGRAPH_CLUSTER_SIMULATIONS ?= 2000
soak: export HELIOGRAPH_COMMITS ?= 60
soak: export HELIOGRAPH_EXAMPLES ?= all
soak: export HELIOGRAPH_FOREIGN_SEEDS ?= 20
soak: export HELIOGRAPH_JUDGE_SIMULATIONS ?= 1000
soak: export HELIOGRAPH_KILLS ?= 200
soak: export HELIOGRAPH_LAB_SCHEDULES ?= 30
soak: export HELIOGRAPH_LEASE_SIMULATIONS ?= 2000
soak: export HELIOGRAPH_MIGRATION_RESULTS ?= 100000
soak: export HELIOGRAPH_SCHEDULES ?= 1000
soak: export HELIOGRAPH_DARK ?= whole
soak: export HELIOGRAPH_HIDDEN_POSIX ?= whole
soak: export HELIOGRAPH_DRILL ?= whole
soak: export HELIOGRAPH_WORST_DAY ?= whole
soak: export HELIOGRAPH_PACKETS ?= all
soak: export HELIOGRAPH_REPLAYS ?= 6
soak: export HELIOGRAPH_DISCLOSURE_WORLDS ?= 100
soak: export HELIOGRAPH_FUZZ_S ?= 300
soak: export HELIOGRAPH_ATTACK_S ?= 60
soak: export HELIOGRAPH_FLEET ?= 10000
soak: export HELIOGRAPH_BENCH_ROWS ?= 10000000
soak: export HELIOGRAPH_BENCH_AGENTS ?= 3000
soak: export HELIOGRAPH_BENCH_SESSIONS ?= 30000
soak: $(VENV)/ready-dev coverage ## hours: the long drill, long kills, many seeds, long benches, and coverage
	$(PYTEST) -n 5 --dist loadgroup --no-loadscope-reorder --ignore tests/bench --durations=25 --durations-min=60
	for seed in 2 3 4 5; do HELIOGRAPH_SEED=$$seed $(PYTEST) tests/scenarios/test_fault_schedules.py -q || exit 1; done
	$(PYTEST) tests/bench -q -s -p no:cacheprovider
	$(BIN)/heliograph-collector evaluate --seeds 10

coverage: $(VENV)/ready-dev ## a run of its own: counting lines makes what runs in the suite's process half as slow again
	$(PYTEST) -n 2 --dist loadgroup --no-loadscope-reorder --ignore tests/bench -m "not lab and not replay" -q --cov --cov-report=
	$(BIN)/coverage report --skip-covered --skip-empty --fail-under=$$(cat tests/coverage-floor)

check: $(VENV)/ready-dev ## lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/ready-dev ## format the code and sort its imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

compiled: $(VENV)/ready-dev # once, and not by each worker of the suite; what is wrong the suite tells
	-@$(BIN)/python -m pytest --collect-only --quiet --quiet --ignore tests/bench >/dev/null

stubs: $(STUBS)/ready ## regenerate proto/heliograph/v1/*_pb2*
	PATH=$(CURDIR)/$(STUBS)/bin:$$PATH $(STUBS)/bin/python -m grpc_tools.protoc -I proto --python_out=proto --mypy_out=quiet:proto proto/heliograph/v1/*.proto
	PATH=$(CURDIR)/$(STUBS)/bin:$$PATH $(STUBS)/bin/python -m grpc_tools.protoc -I proto --grpc_python_out=proto --mypy_grpc_out=quiet:proto proto/heliograph/v1/intake.proto

translations: $(VENV)/ready-dev ## bring locale/*/LC_MESSAGES up to locale/heliograph.pot; what is new there waits for a translator
	cd collector/heliograph_collector/http/locale && for lang in fa kk ru; do \
	  $(abspath $(BIN))/pybabel --quiet update -N --ignore-pot-creation-date -w 100 -D heliograph -l $$lang -i heliograph.pot -d . || exit 1; done

bench: $(VENV)/ready-dev ## ratios measured side by side; prints, judges nothing but the stated limits
	$(BIN)/python -m pytest tests/bench -s -p no:cacheprovider

lab: $(VENV)/ready-dev ## a country in a box to play with (root, Linux): see tests/lab/README.md
	@PYTHONPATH=tests $(BIN)/python -m lab.country lab

plays: $(VENV)/ready-dev ## every experiment against every interference, and January 2022 in short
	$(BIN)/python -m pytest tests/lab/test_matrix.py tests/lab/test_drill.py -q

drill: $(VENV)/ready-dev ## Kazakhstan, January 2022, two or three minutes a turn; SCRIPT=FILE.yml plays another
	@PYTHONPATH=tests $(BIN)/python -m lab.country drill $(SCRIPT)

locks: $(RELEASE)/ready ## deploy/locks: the newest libraries that pyproject.toml allows, with their hashes
	printf 'hatchling>=1.27\n' | $(LOCK)build.txt -
	$(LOCK)agent.txt pyproject.toml
	$(LOCK)lean.txt --no-emit-package grpcio --no-emit-package typing-extensions pyproject.toml
	$(LOCK)collector.txt --extra collector pyproject.toml
LOCK = $(RELEASE)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --custom-compile-command "make locks" --output-file deploy/locks/

sbom: $(RELEASE)/ready ## dist/*.cdx.json: what deploy/locks installs, as CycloneDX
	mkdir -p dist
	for role in agent lean collector; do \
	  PYTHON=$(PYTHON) deploy/install $$role $(RELEASE)/$$role && \
	  $(RELEASE)/bin/cyclonedx-py environment $(RELEASE)/$$role/bin/python --pyproject pyproject.toml --mc-type application \
	    --output-reproducible --output-file dist/heliograph-$$role.cdx.json || exit 1; done

clean: ## everything made here, but not heliograph-data
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# From nothing each time: what is tested is what a user gets today, not what was the newest once.
# One of the same Python is kept: where no index is reached, what worked before still does.
$(VENV)/made: pyproject.toml
	@test "$$($(BIN)/python -V 2>&1)" = "$$($(PYTHON) -V)" || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet "pip>=25.1"
	@touch $@

$(VENV)/ready: $(VENV)/made
	$(BIN)/python -m pip install --quiet -e ".[collector]"
	@touch $@

# Few modules of the libraries are imported: to compile all of them is 14 of the 33 s of CPU that their
# installation takes; what is imported is compiled then ("no" is for yes here).
$(VENV)/ready-dev: export PIP_NO_COMPILE ?= no
$(VENV)/ready-dev: $(VENV)/made agent/raw/pyproject.toml $(STUBS)/ready
	$(BIN)/python -m pip install --quiet -e ".[$(EXTRAS)]" -e agent/raw --group $(TEST_GROUP)
	@# OONI's own reader of its format, for tests. It pins an old cryptography and an lxml without wheels.
	$(BIN)/python -m pip install --quiet --no-deps oonidata==0.3.0
	@touch $(VENV)/ready $@

$(RELEASE)/ready: pyproject.toml
	$(PYTHON) -m venv --clear $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet "pip>=25.1"
	$(RELEASE)/bin/python -m pip install --quiet --group release
	@touch $@

$(STUBS)/ready: pyproject.toml
	$(PYTHON) -m venv --clear $(STUBS)
	$(STUBS)/bin/python -m pip install --quiet "pip>=25.1"
	$(STUBS)/bin/python -m pip install --quiet --group stubs
	@touch $@
