# make run    everything from one command: collector, exporter and the embedded ClickHouse engine (demo domains without a mailposture.yaml)
# make test   all tests
# make test-fast   those that start no programs and take no seconds: a minute and a half on two cores
# make lint   format, lint, types and layers
# make lock   write requirements/*.txt after a change of dependencies in pyproject.toml (ARGS=--upgrade renews them all)
# make help   the commands of mailposture itself

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: run test test-fast lint format lock help
.DEFAULT_GOAL := help

run: $(VENV)/installed
	@$(BIN)/mailposture run $(ARGS)

test: $(VENV)/installed-dev
	@PYTHON=$(BIN)/python .ci/install-programs
	$(BIN)/pytest -n auto $(ARGS)

test-fast: $(VENV)/installed-dev
	$(BIN)/pytest -n auto -m "not slow" $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/installed-dev
	@BIN=$(BIN) .ci/lock $(ARGS)

help: $(VENV)/installed
	@$(BIN)/mailposture --help

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "mailposture runs on Python 3.11 to 3.13; name one with: make $(MAKECMDGOALS) PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/installed: pyproject.toml requirements/run.txt | $(VENV)/bin/pip
	@echo "Installing mailposture and the embedded ClickHouse engine into $(VENV) (once, about a minute) ..."
	@$(INSTALL) --require-hashes --only-binary :all: --requirement requirements/run.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# dkimpy alone has no wheel: it is built with the build backend that is here by now, not with one that pip fetches.
$(VENV)/installed-dev: requirements/dev.txt $(VENV)/installed
	@echo "Installing the test tools into $(VENV) ..."
	@$(INSTALL) --require-hashes --only-binary :all: --no-binary dkimpy --use-pep517 --no-build-isolation --requirement requirements/dev.txt
	@touch $@
