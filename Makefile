# What a developer needs, and an operator in the first hour.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
DOCKER ?= docker
REGISTRY ?= runtimes.local.toml
# More than CPUs, because tests often wait.
TEST_PROCESSES ?= $(shell n=$$(( ($$(nproc) * 3 + 1) / 2 )); echo $$(( n < 6 ? n : 6 )))
ROOT ?= $(HOME)/.cache/snekhouse-tests/sid
PAGE := platform/snekhouse/web/playground
ROOT_PYTHONS = python3.15,python3.14,python3.13

.PHONY: help serve test page page-test root root-test soak host-test check format bench image image-test aarch64-test lock docs clean

help:            ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 14

serve: $(VENV)/.runtime  ## find this machine's interpreters and serve them on 127.0.0.1:8060, or on BIND
	@test -e $(REGISTRY) || test -w $(dir $(REGISTRY)) || \
	  { echo "$(REGISTRY) cannot be written here; name another place: make serve REGISTRY=~/runtimes.toml"; exit 1; }
	@test -e $(REGISTRY) || $(BIN)/snekhouse runtimes discover --output $(REGISTRY)
	@exec $(BIN)/snekhouse serve --registry $(REGISTRY) $(if $(BIND),--bind $(BIND))

test: $(VENV)/.dev  ## the test suite, on real jails; PYTEST_ARGS names a part of it
ifdef PYTEST_ARGS
	$(BIN)/pytest $(PYTEST_ARGS)
else
	$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile -m "not alone and not waits and not soak and not image and not host and not page"
	$(BIN)/pytest --numprocesses 4 --dist loadfile -m waits
	$(BIN)/pytest -m "alone and not page"
endif

page: $(PAGE)/node_modules/.made  ## build the pages from their source (needs Node.js 20)
	cd $(PAGE) && npm run --silent build

page-test: $(VENV)/.dev $(PAGE)/node_modules/.made tests/page/node_modules/.made  ## the pages in Chromium and Firefox
ifdef PYTEST_ARGS
	$(BIN)/pytest -m page $(PYTEST_ARGS)
else
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m "page and not alone" tests/page
	$(BIN)/pytest -m "page and alone" tests/page
endif

root: $(ROOT)/.made  ## the newest Pythons, in a root file system of Debian sid for the tests (needs root and debootstrap)

root-test: $(VENV)/.dev $(ROOT)/.made  ## the tests of what programs see, on the Pythons of that root
	SNEKHOUSE_TEST_ROOT=$(ROOT) $(BIN)/pytest tests/fidelity tests/contract $(PYTEST_ARGS)

soak: $(VENV)/.dev  ## the long tests: load, kills, fuzzing; SNEKHOUSE_SOAK=0.01 for a trial
	$(BIN)/pytest -s -m soak tests/soak $(PYTEST_ARGS)

host-test: $(VENV)/.dev  ## hosts of today, in virtual machines (hours where emulated; root the first time, qemu and debootstrap)
	$(BIN)/pytest -s -m host tests/hosts $(PYTEST_ARGS)

check: $(VENV)/.dev  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 runtimes  # the oldest that mypy knows
	$(BIN)/mypy --python-version 3.15 runtimes

format: $(VENV)/.dev  ## put the code in its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev  ## what an evaluation costs, beside bare Python and plain NsJail
	$(BIN)/python benchmarks/bench.py $(BENCH)

image: $(VENV)/.runtime  ## the image of runtimes.toml; IMAGE_ARGS go to docker build
	$(BIN)/snekhouse render dockerfile --registry runtimes.toml > Dockerfile
	DOCKER_BUILDKIT=1 $(DOCKER) build --tag snekhouse $(IMAGE_ARGS) .

image-test: $(VENV)/.dev  ## build an image and test it from outside; SNEKHOUSE_SOURCES is a folder to serve sources from
	DOCKER=$(DOCKER) $(BIN)/pytest -s -m image tests/image $(PYTEST_ARGS)

aarch64-test: $(VENV)/.dev  ## the filter, system calls and the contract on an emulated aarch64 (needs root, QEMU, debootstrap)
	tests/architectures/aarch64

lock: $(VENV)/.dev  ## the dependencies of the image, at their newest
	$(BIN)/uv pip compile --quiet --upgrade $(LOCK) --output-file platform/requirements.lock pyproject.toml
	sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | \
	  $(BIN)/uv pip compile --quiet --upgrade $(LOCK) --output-file platform/build.lock -

docs: $(VENV)/.docs  ## the documentation as a site, in site/
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs site

$(ROOT)/.made:
	@command -v debootstrap > /dev/null || { echo "no debootstrap here; on Debian: apt install debootstrap"; exit 1; }
	rm -rf $(ROOT)
	mkdir -p $(dir $(ROOT))
	debootstrap --variant=minbase --include=$(ROOT_PYTHONS) sid $(ROOT)
	@touch $@

%/node_modules/.made: %/package-lock.json
	@command -v npm > /dev/null || { echo "no npm here; on Debian: apt install nodejs npm (Node.js 20 or later)"; exit 1; }
	cd $* && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(VENV)/bin/python:
	@test -w . || { echo "this folder cannot be written, and $(VENV) belongs here; copy the project to a folder of yours"; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "snekhouse needs Python 3.11 or later; name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "no venv module here; on Debian: apt install python3-venv"; exit 1; }

$(VENV)/.runtime: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@ $(VENV)/.runtime

$(VENV)/.docs: pyproject.toml | $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	@touch $@

clean:           ## remove what these commands made
	rm -rf $(VENV) $(PAGE)/node_modules tests/page/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site
