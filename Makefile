# Linewatch. `make` alone lists what there is to make.
.DEFAULT_GOAL := help
.PHONY: help demo test check lint types style manifests bench model lock clean install install-dev
export PYTHONPATH := functions:.
export LINES ?= 8
unexport PYTHONDONTWRITEBYTECODE
TESTS ?= tests
BENCHES ?=
PYTHON := .venv/bin/python
METRICS := ../shared/tools/style_metrics.py
# The lock takes no release younger than a week.
LOCK_BEFORE ?= $(shell date -u -d '7 days ago' +%F)
UV := .linewatch/uv/bin/uv
COMPILE = $(UV) pip compile pyproject.toml --quiet --python-version 3.11 --generate-hashes \
	--exclude-newer $(LOCK_BEFORE) --only-binary :all: --no-binary srt --custom-compile-command 'make lock' \
	$(addprefix --extra ,serve decoder board eventing dashboard local)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install model ## run everything with simulated lines (LINES=8); Ctrl-C stops it
	@$(PYTHON) -m infra.local

test: install-dev model ## run the tests (TESTS=tests/...)
	@$(PYTHON) -m pytest $(TESTS)

check: install-dev lint types style manifests test ## everything CI checks

bench: install-dev model ## measure, and print the table of figures
	@PYTHONPATH=$(PYTHONPATH):tests $(PYTHON) -m tests.bench $(BENCHES)

model: install ## fetch, verify and prepare the speech model
	@$(PYTHON) -m infra.model

lint: install-dev
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: install-dev
	$(PYTHON) -m mypy

style: install-dev
	@if [ -f $(METRICS) ]; then \
		$(PYTHON) $(METRICS) linewatch=functions,eventing,infra,streamlit_app:tests --limits; \
	else echo "style bar: not measured, $(METRICS) is not here"; fi

manifests: install-dev
	$(PYTHON) -m eventing.topology

install: ## install what running needs
	@sh infra/install.sh requirements.txt

install-dev: ## install what running and testing need
	@sh infra/install.sh tests/requirements.txt

lock: ## write requirements.txt and tests/requirements.txt anew
	python3 -m venv .linewatch/uv
	.linewatch/uv/bin/pip install --quiet uv
	$(COMPILE) -o requirements.txt
	$(COMPILE) --extra dev -c requirements.txt -o tests/requirements.txt

clean: ## remove what was installed, cached and kept here (the model stays in its cache)
	rm -rf .venv .linewatch .mypy_cache .ruff_cache .pytest_cache .hypothesis build
	find functions eventing infra streamlit_app tests -name __pycache__ -prune -exec rm -rf {} +
