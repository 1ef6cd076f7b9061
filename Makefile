# Linewatch. `make` alone lists what there is to make.
.DEFAULT_GOAL := help
.PHONY: help image demo deploy test check lint types style roles settings workflows release-check sbom manifests bench chaos chaos-long chaos-demo attack cluster-test cluster-bench model lock clean install install-dev
export PYTHONPATH := functions:.
export LINES ?= 8
export LOG ?= redis
unexport PYTHONDONTWRITEBYTECODE
TESTS ?= tests
LANES ?= 2
BENCHES ?=
IMAGE ?= linewatch:dev
CASES ?=
PART ?= kills
ATTACKS ?= 10000
ATTACKED := tests/e2e/test_hostile_events.py tests/linewatch/decoder/test_openapi.py tests/linewatch/serving/test_worker.py
CLUSTER ?=
OVERLAY ?= dev
DEPLOY ?=
PYTHON := .venv/bin/python
METRICS := tests/support/style_metrics.py
# The lock takes no release younger than a week.
LOCK_BEFORE ?= $(shell date -u -d '7 days ago' +%F)
UV := .linewatch/uv/bin/uv
SPDX_TOOLS := 0.8.5
CHECKED = --quiet --python-version 3.11 --generate-hashes --exclude-newer $(LOCK_BEFORE) \
	--only-binary :all: --custom-compile-command 'make lock'
COMPILE = $(UV) pip compile pyproject.toml $(CHECKED) --no-binary srt \
	$(addprefix --extra ,serve decoder board eventing dashboard tracing local)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install model ## run everything with simulated lines (LINES=8, LOG=redis or kafka); Ctrl-C stops it
	@$(PYTHON) -m infra.local

test: install-dev model ## run the tests (TESTS=tests/...)
	@$(PYTHON) -m pytest -n $(LANES) --dist loadfile $(TESTS)

check: install-dev lint types style manifests test ## everything CI checks

bench: install-dev model ## measure, and print the table of figures
	@$(PYTHON) -m tests.bench $(BENCHES)

deploy: ## bring it onto kubectl's cluster (OVERLAY=dev, DEPLOY="--image NAME:TAG --dry-run ...")
	@sh infra/deploy.sh $(OVERLAY) $(DEPLOY)

cluster-test: install-dev model ## test on a real cluster: the box, or KUBECONFIG's (CLUSTER_FULL=1, CLUSTER="-m core")
	@$(PYTHON) -m pytest -p no:cacheprovider tests/cluster --durations=0 --durations-min=1 -v $(CLUSTER)

cluster-bench: install-dev ## measure on a real cluster: cold starts, memory, CPU of a chunk
	@$(PYTHON) -m tests.cluster.bench $(BENCHES)

chaos: install-dev ## break everything, compare byte for byte (CASES="zombies ...", SEED=...)
	@$(PYTHON) -m tests.chaos $(if $(SEED),--seed $(SEED)) $(CASES)

chaos-long: install-dev ## the long proof, from where it was left (PART=kills, zombies, soak, real, fifty or doses)
	@$(PYTHON) -m tests.chaos $(if $(SEED),--seed $(SEED)) --part $(PART)

chaos-demo: install model ## the demo, with a decoder killed every 10 s
	@$(PYTHON) -m tests.chaos.demo

attack: install-dev model ## send 10,000 hostile requests to every receiver (ATTACKS=10000)
	@$(PYTHON) -m pytest --attacks $(ATTACKS) --timeout 3600 $(ATTACKED)

model: install ## fetch, verify and prepare the speech model
	@$(PYTHON) -m infra.model

image: model ## make the image of all roles (IMAGE=linewatch:dev BUILDER=podman|docker|box)
	@sh infra/image/build.sh build $(IMAGE)

lint: install-dev
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: install-dev
	$(PYTHON) -m mypy

style: install-dev
	@$(PYTHON) $(METRICS) linewatch=functions,eventing,infra,streamlit_app:tests --limits

settings: install ## write docs/settings.md from the code
	@$(PYTHON) -m infra.settings_page

roles: install ## write each role's ServiceAccount and NetworkPolicy from the manifests
	@$(PYTHON) -m infra.manifests.roles

workflows: ## check the hosted runner's workflow files (needs Go)
	@GOBIN=$(CURDIR)/.linewatch/bin go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.7
	@.linewatch/bin/actionlint

release-check: install-dev ## say what keeps this tree from being released: version, changelog, lock, work tree
	@$(PYTHON) -m infra.release_check
	@$(PYTHON) -m pytest tests/test_architecture.py -k lock

sbom: install ## write build/sbom.spdx.json: what the lock pins, validated by the SPDX project's tool
	@mkdir -p build
	@$(PYTHON) -m infra.sbom > build/sbom.spdx.json
	@python3 -m venv .linewatch/spdx
	@.linewatch/spdx/bin/pip install --quiet spdx-tools==$(SPDX_TOOLS)
	@.linewatch/spdx/bin/pyspdxtools --infile build/sbom.spdx.json

manifests: install-dev
	$(PYTHON) -m eventing.topology
	$(PYTHON) -m infra.manifests
	@$(PYTHON) -m pytest tests/infra/manifests/test_schemas.py

install: ## install what running needs
	@sh infra/install.sh requirements.txt

install-dev: ## install what running and testing need
	@sh infra/install.sh tests/requirements.txt

lock: ## write requirements.txt and tests/requirements.txt anew
	python3 -m venv .linewatch/uv
	.linewatch/uv/bin/pip install --quiet --require-hashes --only-binary :all: -r infra/uv.txt
	$(COMPILE) -o requirements.txt
	$(COMPILE) --extra dev -c requirements.txt -o tests/requirements.txt
	echo uv | $(UV) pip compile - $(CHECKED) --output-file infra/uv.txt

clean: ## remove what was installed, cached and kept here (the model stays in its cache)
	rm -rf .venv .linewatch .mypy_cache .ruff_cache .pytest_cache .hypothesis build
	find functions eventing infra streamlit_app tests -name __pycache__ -prune -exec rm -rf {} +
