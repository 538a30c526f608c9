# Everything runs in .venv, which is made on first use. PYTHON names the Python to make it with.
PYTHON ?= python3
BIN := .venv/bin

# Two spinning OpenMP threads on a busy machine are many times slower than two that sleep.
export OMP_WAIT_POLICY := passive
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: demo test lint trust bench bench-ppo docs changes audit clean

demo: .venv/installed
	$(BIN)/harness models fetch minilm
	$(BIN)/python -m benchmarks.ppo_faq --size demo --out runs/demo

test: lint
	$(BIN)/python -m pytest -n 2

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Tries to break promises, and writes docs/trust.md. ROW runs one row: ROW=test_kill.py::test_run.
ROUNDS ?= 50
trust: .venv/installed
	SAMESCORE_TRUST_ROUNDS=$(ROUNDS) SAMESCORE_TRUST_SEED=$(SEED) \
		SAMESCORE_TRUST_TABLE=docs/trust.md $(BIN)/python -m pytest -n 2 'tests/trust/$(ROW)'
	test -n '$(ROW)' || $(BIN)/python -m tests.trust.fuzz_coverage --every --seconds 5

bench: .venv/installed
	$(BIN)/harness models fetch minilm
	$(BIN)/python benchmarks/performance/start.py
	$(BIN)/python benchmarks/performance/overhead.py
	$(BIN)/python benchmarks/performance/bertscore.py
	$(BIN)/python -m benchmarks.performance.judging
	$(BIN)/harness models fetch glove
	$(BIN)/python benchmarks/performance/vectors.py glove
	$(BIN)/python benchmarks/performance/vectors.py synthetic
	$(BIN)/python benchmarks/performance/wire.py
	$(BIN)/python benchmarks/performance/comparison_speed.py
	$(BIN)/python benchmarks/performance/viewing.py
	$(BIN)/python benchmarks/performance/ray_executor.py

bench-ppo: .venv/installed
	$(BIN)/harness models fetch minilm
	$(BIN)/python benchmarks/performance/ppo.py

# The reference pages, then the site in site/. A warning is an error; no network is needed.
docs: .venv/installed
	$(BIN)/python docs/make_reference.py
	$(BIN)/sphinx-build -c docs -d build/doctrees -E -W --keep-going -n -q . site
	@echo 'look at it: $(BIN)/python -m http.server -d site -b 127.0.0.1'

# What CHANGELOG.md would get at a release.
changes: .venv/installed
	@$(BIN)/towncrier build --draft --version next

# What is installed, as CycloneDX; and its known holes, which needs the network.
audit: .venv/installed
	.ci/audit

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .samescore .bench build site
