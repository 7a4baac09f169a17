# `make` says what there is. ARGS go to the command: make simulate ARGS="--rounds 20", make test ARGS="-k store".

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations=30

.PHONY: help install simulate test test-all check kill-matrix soak docs

help:
	@echo "make install    Swarm Ray with its tools into $(VENV); PYTHON=... chooses the Python (3.11 to 3.13)"
	@echo "make simulate   eight nodes with and without sharing, side by side, on this machine"
	@echo "make test       a test of every behaviour: what CI runs"
	@echo "make test-all   also what only repeats (more kills, phases, versions) and the soak; before a larger change"
	@echo "make check      lint, format, types and import contracts"
	@echo "make docs       the reference pages from the code, and the site into build/site"
	@echo "make kill-matrix   SIGKILL to every actor, Ray and the whole VM in every phase (half an hour)"
	@echo "make soak       500 rounds of eight nodes under random kills (a quarter of an hour)"

install: $(STAMP)

# A Python that cannot make a virtual environment (Debian's without python3-venv) is passed over.
$(STAMP): pyproject.toml constraints.txt
	@python=; for found in $(or $(PYTHON),python3 python3.12 python3.11 python3.13); do \
	  if $$found -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	    2>/dev/null; then python=$$found; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "make: no Python 3.11 to 3.13 that can make a virtual environment was found;" \
	    "on Debian: apt-get install python3-venv python3-dev; or give PYTHON=..." >&2; exit 1; fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "making $(VENV) with $$($$python --version)"; $$python -m venv --clear $(VENV); fi
	@echo "installing Swarm Ray and its tools into $(VENV); the first time takes some minutes"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --upgrade --target $(VENV)/fsspec-2025.3.0 \
	  fsspec==2025.3.0  # Colab's own; the notebooks' tests put it in front of the installed one
	@touch $(STAMP)
	@echo "installed; $(BIN)/swarm-ray is the command"

simulate: install
	$(BIN)/swarm-ray simulate --preset tiny --baseline --root runs $(ARGS)

test: install
	$(PYTEST) -m "not repeats" $(ARGS)

test-all: install
	$(PYTEST) $(ARGS)
	$(if $(ARGS),,$(BIN)/python benchmarks/soak.py)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install
	$(BIN)/python docs/write_reference.py docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

kill-matrix: install
	$(BIN)/python benchmarks/kill_matrix.py $(ARGS)

soak: install
	$(BIN)/python benchmarks/soak.py $(ARGS)
