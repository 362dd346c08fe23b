SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin

# Production's variables in the shell of whoever types `make demo` or `make test` must do no harm. The tests start many
# processes, each of which would compile the project anew if no bytecode were kept.
UNSET := $(shell $(PYTHON) omniops/variables.py)
CLEAN := env $(foreach name,$(UNSET) PYTHONDONTWRITEBYTECODE,-u $(name))
# Two processes, of which the one that is done takes over tests of the other.
SPREAD := -n 2 --dist worksteal

.PHONY: demo test d1 lint lock bench bench-d1 bench-backup bench-ledger bench-resync bench-webhooks proof test-django pictures

$(VENV)/demo.stamp: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("omniops needs Python 3.11 or later; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/test.stamp: $(VENV)/demo.stamp requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

demo: $(VENV)/demo.stamp
	@$(CLEAN) $(BIN)/python manage.py run_demo --port $(PORT)

test: $(VENV)/test.stamp
	$(CLEAN) $(BIN)/ruff check .
	$(CLEAN) $(BIN)/ruff format --check .
	$(CLEAN) $(BIN)/mypy .
	$(CLEAN) $(BIN)/python -m pytest $(SPREAD)
	$(CLEAN) $(BIN)/python -m standins.d1 run --or-skip $(BIN)/python -m pytest $(SPREAD) -m both_engines
	$(CLEAN) $(BIN)/python tests/django_suite/run.py --sample

lint: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy .

d1: $(VENV)/demo.stamp
	@$(CLEAN) $(BIN)/python -m standins.d1 serve

# Where the locks are made uv is needed; nothing else needs it.
lock:
	for name in requirements requirements-dev bench/d1_rivals/requirements bench/backup_rival/requirements bench/webhooks_rival/requirements; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" $$name.in -o $$name.txt || exit 1; done

# MODULES="basic lookup" for some; any module of Django's suite.
test-django: $(VENV)/test.stamp
	$(CLEAN) $(BIN)/python tests/django_suite/run.py $(MODULES)

bench: $(VENV)/test.stamp
	$(CLEAN) $(BIN)/python bench/admin.py

bench-d1: $(VENV)/test.stamp
	$(CLEAN) $(BIN)/python bench/d1.py

bench-ledger: $(VENV)/test.stamp
	$(CLEAN) $(BIN)/python bench/ledger.py

bench-resync: $(VENV)/test.stamp
	$(CLEAN) $(BIN)/python bench/resync.py

bench-webhooks: $(VENV)/test.stamp
	$(CLEAN) $(BIN)/python -m bench.webhooks

bench-backup: $(VENV)/test.stamp
	$(CLEAN) $(BIN)/python bench/backup.py

# The pictures of docs/, by the browser tests themselves.
pictures: $(VENV)/test.stamp
	@mkdir -p docs/pictures
	$(CLEAN) PICTURES=docs/pictures $(BIN)/python -m pytest -m browser tests/browser

# Everything in full: many more examples of each property, the races and kills of docs/reliability.md at their full size,
# and Django's whole suite.
proof: test-django
	$(CLEAN) HYPOTHESIS_PROFILE=proof $(BIN)/python -m pytest $(SPREAD)
	$(CLEAN) HYPOTHESIS_PROFILE=proof $(BIN)/python -m standins.d1 run --or-skip $(BIN)/python -m pytest $(SPREAD) -m both_engines
