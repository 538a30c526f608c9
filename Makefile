# Everything runs in .venv, which is made on first use. PYTHON names the Python to make it with.
PYTHON ?= python3
BIN := .venv/bin

# Two spinning OpenMP threads on a busy machine are many times slower than two that sleep.
export OMP_WAIT_POLICY := passive
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: demo test lint bench bench-ppo docs audit clean

demo: .venv/installed
	$(BIN)/harness models fetch minilm
	$(BIN)/python -m benchmarks.ppo_faq --size demo --out runs/demo

test: lint
	$(BIN)/python -m pytest -n 2

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/harness models fetch minilm
	$(BIN)/python benchmarks/performance/start.py
	$(BIN)/python benchmarks/performance/overhead.py
	$(BIN)/python benchmarks/performance/bertscore.py
	$(BIN)/python benchmarks/performance/judging.py
	$(BIN)/harness models fetch glove
	$(BIN)/python benchmarks/performance/vectors.py glove
	$(BIN)/python benchmarks/performance/vectors.py synthetic
	$(BIN)/python benchmarks/performance/wire.py
	$(BIN)/python benchmarks/performance/comparison_speed.py
	$(BIN)/python benchmarks/performance/viewing.py

bench-ppo: .venv/installed
	$(BIN)/harness models fetch minilm
	$(BIN)/python benchmarks/performance/ppo.py

docs: .venv/installed
	$(BIN)/python docs/make_reference.py

# What is installed, as CycloneDX; and its known holes, which needs the network.
audit: .venv/installed
	$(BIN)/python -m pip install --quiet cyclonedx-bom pip-audit
	$(BIN)/cyclonedx-py environment $(BIN)/python --of JSON -o sbom.json
	$(BIN)/pip-audit --strict --disable-pip --no-deps -r constraints.txt

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .samescore .bench
