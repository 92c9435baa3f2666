# Everything a developer runs. `make demo` and `make test` share one environment, .venv: the first fills it
# with the light install (no torch), the second completes it with the extras.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test test-systems test-clinic lint docs bench constraints clean help

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# One thread per process: pytest already runs two processes.
SINGLE := env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
JOBS ?= 2
# What `make bench` runs; benchmarks/senoscope_us.py trains every fold and takes hours, so it is started by hand.
SPEEDS := cli_help phantoms analyze_speed train_speed

help:
	@echo 'make demo         light install, a few simulated exams, demo/report.html'
	@echo 'make test         complete install; lint, types, import rules, tests'
	@echo 'make test-systems  every system of the literature at full size (hours on a CPU)'
	@echo 'make test-clinic   the gateway between Orthanc, DCMTK, validators and OHIF (installs them from Debian)'
	@echo 'make lint         ruff, mypy and the import rules only'
	@echo 'make docs         write the generated pages, tables and pictures again'
	@echo 'make bench        measure speeds again (docs/results/)'
	@echo 'make constraints  freeze the versions of .venv in constraints.txt'
	@echo 'make clean        remove what can be made again, except .venv'

demo: .venv/.light
	$(BIN)/senoscope demo --out demo

test: lint
	$(SINGLE) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-systems: .venv/.full
	SENOSCOPE_FULL_WALK=1 $(BIN)/python -m pytest tests/models/test_every_system.py

# Debian's packages; where they cannot be had, each test that needs one says so and is skipped.
CLINIC_PARTS := orthanc orthanc-dicomweb dcmtk dicom3tools libpixelmed-java openjdk-17-jre-headless chromium tesseract-ocr

test-clinic: .venv/.full
	@if ! command -v Orthanc >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo 'Installing Orthanc, DCMTK, validators and Chromium'; \
	  { timeout 120 apt-get -qq update && DEBIAN_FRONTEND=noninteractive timeout 600 \
	    apt-get -qq install --no-install-recommends $(CLINIC_PARTS); } >/dev/null 2>&1 \
	  || echo 'These packages cannot be had here; their tests are skipped'; \
	fi
	SENOSCOPE_REAL_PARTS=1 $(BIN)/python -m pytest tests/clinic/real

lint: .venv/.full
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.full
	$(BIN)/python docs/make_datasets.py
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_systems.py
	$(BIN)/senoscope benchmark report --markdown docs/leaderboard.md
	$(BIN)/python docs/make_mammography.py
	$(BIN)/python docs/make_results.py
	$(BIN)/python docs/make_transfer.py
	$(BIN)/python docs/make_robustness.py
	$(BIN)/python docs/make_model_card.py
	$(BIN)/python docs/make_pictures.py

bench: .venv/.full
	for name in $(SPEEDS); do echo "== benchmarks/$$name.py"; $(BIN)/python benchmarks/$$name.py; done

constraints: .venv/.full
	{ echo '# Versions that are tested together; written by `make constraints`.'; \
	  $(PIP) freeze --all --exclude-editable --exclude senoscope --exclude pip; } > constraints.new
	mv constraints.new constraints.txt

.venv/bin/python:
	@found=; for name in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then found=$$name; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'Error: no Python 3.11 or newer with the venv module was found.' >&2; \
	  echo '  Fix: install one (Debian and Ubuntu: apt-get install python3-venv), or name it: make PYTHON=/path/to/python3.12 ...' >&2; \
	  exit 1; \
	fi; \
	echo "Setting up .venv with $$("$$found" -V)"; "$$found" -m venv .venv

.venv/.light: pyproject.toml constraints.txt | .venv/bin/python
	@echo 'Installing the analysing part (no torch)'
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

.venv/.full: .venv/.light
	@echo 'Completing the installation with the extras'
	@$(PIP) install --constraint constraints.txt --editable '.[train,clinic,cluster,dev]'
	@touch $@

clean:
	rm -rf demo dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
