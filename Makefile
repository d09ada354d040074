# Everything runs from VENV, which the first target makes from a bare PYTHON (>= 3.11).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The generator holds protobuf at its own old version, so it is kept away from what users get.
STUBS := .venv-stubs

# Where it is set, as in many an image, each worker of the suite would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check compiled fmt stubs bench lab drill plays clean

run: $(VENV)/ready ## a collector, an agent on this machine and the page at http://127.0.0.1:8080/
	@$(BIN)/python deploy/run.py

test: $(VENV)/ready-dev ## lint, types, architecture; the whole suite; then the benches alone on the machine
	@$(MAKE) --no-print-directory -j 2 check compiled
	@# A failure is looked at twice, since real processes share two cores here; -rR names each that needed it.
	$(BIN)/python -m pytest -n 5 --dist loadgroup --no-loadscope-reorder --reruns 1 -raR --ignore tests/bench --durations=25 --durations-min=20 --cov --cov-report=
	$(BIN)/coverage report --skip-covered --skip-empty --fail-under=$$(cat tests/coverage-floor)
	$(BIN)/python -m pytest tests/bench -q -s --durations=9 -p no:cacheprovider

check: $(VENV)/ready-dev ## lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

compiled: $(VENV)/ready-dev # once, and not by each worker of the suite; what is wrong the suite tells
	-@$(BIN)/python -m pytest --collect-only --quiet --quiet --ignore tests/bench >/dev/null

stubs: $(STUBS)/ready ## regenerate proto/heliograph/v1/*_pb2*
	PATH=$(CURDIR)/$(STUBS)/bin:$$PATH $(STUBS)/bin/python -m grpc_tools.protoc -I proto --python_out=proto --mypy_out=quiet:proto proto/heliograph/v1/*.proto
	PATH=$(CURDIR)/$(STUBS)/bin:$$PATH $(STUBS)/bin/python -m grpc_tools.protoc -I proto --grpc_python_out=proto --mypy_grpc_out=quiet:proto proto/heliograph/v1/intake.proto

bench: $(VENV)/ready-dev ## ratios measured side by side; prints, judges nothing but the stated limits
	$(BIN)/python -m pytest tests/bench -s -p no:cacheprovider

lab: $(VENV)/ready-dev ## a country in a box to play with (root, Linux): see tests/lab/README.md
	@PYTHONPATH=tests $(BIN)/python -m lab.country lab

plays: $(VENV)/ready-dev ## every experiment against every interference, and January 2022 in short
	$(BIN)/python -m pytest tests/lab/test_matrix.py tests/lab/test_drill.py -q

drill: $(VENV)/ready-dev ## Kazakhstan, January 2022, one minute for each turn; SCRIPT=FILE.yml plays another
	@PYTHONPATH=tests $(BIN)/python -m lab.country drill $(SCRIPT)

clean: ## everything made here, but not heliograph-data
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# From nothing each time: what is tested is what a user gets today, not what was the newest once.
$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -e ".[collector]"
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready agent/raw/pyproject.toml $(STUBS)/ready
	$(BIN)/python -m pip install --quiet -e ".[collector,fast,quic]" -e agent/raw --group dev
	@# OONI's own reader of its format, for tests. It pins an old cryptography and an lxml without wheels.
	$(BIN)/python -m pip install --quiet --no-deps oonidata==0.3.0
	@touch $@

$(STUBS)/ready: pyproject.toml
	$(PYTHON) -m venv --clear $(STUBS)
	$(STUBS)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(STUBS)/bin/python -m pip install --quiet --group stubs
	@touch $@
