# `make demo`, `make demo-language`, `make demo-service` and `make test`. Everything is installed into .venv, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := python -m pip install --quiet --disable-pip-version-check
INSTALL := $(BIN)/$(PIP) --constraint constraints.txt
# A file's tests on one worker, so that what they share is made once; in the order of names, whose last files are short.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

# Two workers have two cores: one thread each, as threads that wait for a core take a third more time. Bytecode is kept,
# as the tests start hundreds of commands, each of which would compile the package again.
test test-all figures fuzz: export OMP_NUM_THREADS := 1
test test-all figures fuzz: export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo demo-language demo-service test test-all figures fuzz check docs bench clean

demo: $(VENV)/.train
	$(BIN)/sixfold run recipes/breast_cancer.yaml --out runs/breast_cancer
	@echo
	@echo "Serve it:    $(BIN)/sixfold serve runs/breast_cancer/bundle"
	@echo "Read it:     runs/breast_cancer/bundle/report.html"

# A small language model from scratch, then a chat with one that was tuned on the conversations of recipes/chats.jsonl.
demo-language: $(VENV)/.language
	$(BIN)/sixfold run recipes/story.yaml --out runs/story
	$(BIN)/sixfold run recipes/finetune.yaml --out runs/finetune
	echo "What is a recipe?" | $(BIN)/sixfold chat runs/finetune/bundle --max-tokens 60 --temperature 0
	@echo
	@echo "Serve it:    $(BIN)/sixfold serve runs/finetune/bundle"
	@echo "Read it:     runs/finetune/bundle/report.html"

# A service on SQLite, a job, its model deployed, one row through the gateway; PORT=0 takes a free port.
demo-service: $(VENV)/.service
	SIXFOLD=$(BIN)/sixfold sh recipes/demo_service.sh runs/service $(or $(PORT),8900)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow"

test-all: $(VENV)/.dev $(VENV)/.browser $(VENV)/.postgres
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

# The figures of docs/reliability.md with their whole counts, which they print: an hour on two quiet cores.
figures: $(VENV)/.dev $(VENV)/.postgres
	SIXFOLD_FUZZ_CASES=20000 SIXFOLD_TENANT_STEPS=10000 SIXFOLD_TAKE_OVERS=100 SIXFOLD_LOST_MACHINES=5 SIXFOLD_ZOMBIES=100 \
	SIXFOLD_STORM_JOBS=200 SIXFOLD_STOPS=20 SIXFOLD_INJECTIONS_APART=4 SIXFOLD_SUBMITS=1000 SIXFOLD_KEYS=200 SIXFOLD_REPEATS=50 SIXFOLD_KILLS=5 SIXFOLD_REQUESTS=10000 \
	SIXFOLD_LARGE_ROWS=1000000 $(BIN)/python -m pytest -s -m slow tests/service/reliability tests/service/security \
	  tests/service/gateway tests/serve/test_serve_overload.py tests/serve/test_serve_stop.py tests/runs/test_two_hosts.py \
	  tests/test_large_table.py tests/data/test_data_large.py tests/test_recommendation_end_to_end.py

# The properties on examples that nobody has tried yet; the tests above try the same ones each time.
fuzz: $(VENV)/.dev
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m hypothesis --hypothesis-profile=default

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

docs: $(VENV)/.dev
	$(BIN)/python -m sixfold.recipe.generate
	$(BIN)/mkdocs build --strict

# Every peer, or some measurements of them: make bench NAMES="folds_mlp ridge_grid"
bench: .venv-bench/.done .venv-autogluon/.done .venv-serving/.done .venv-mlserver/.done .venv-rayserve/.done .venv-language-serve/.done
	.venv-bench/bin/python -m bench $(NAMES)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[train]'
	@touch $@

$(VENV)/.language: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[train,language,language-serve]'
	@touch $@

$(VENV)/.service: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[train,service]'
	@touch $@

# For the tests of the pages (tests/serve/test_try_page.py): the browser that is there, or Playwright's, or the system's.
$(VENV)/.browser: $(VENV)/.dev
	command -v chromium || command -v chromium-browser || command -v google-chrome \
	  || $(BIN)/python -m playwright install --with-deps chromium || apt-get install --yes chromium
	@touch $@

# For the tests of the service: they start a server of their own (tests/service/postgres_server.py), and say so where
# there is none.
$(VENV)/.postgres: | $(VENV)/bin/python
	-ls /usr/lib/postgresql/*/bin/initdb || command -v initdb || { apt-get update && apt-get install --yes postgresql; }
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[train,speech,recommend,language,language-serve,service,s3,oidc,otel,ray,ray-serve,test,dev]'
	@touch $@ $(VENV)/.train $(VENV)/.language $(VENV)/.service

.venv-bench/.done: pyproject.toml constraints.txt bench/constraints.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/$(PIP) --constraint constraints.txt --constraint bench/constraints.txt --editable '.[train,speech,language,language-serve,service,ray,bench]'
	@touch $@

# Two other versions of the same packages: an environment apart. Without it the bench says so in its rows.
.venv-autogluon/.done: bench/autogluon.txt bench/constraints-autogluon.txt
	$(PYTHON) -m venv .venv-autogluon
	-.venv-autogluon/bin/$(PIP) --constraint bench/constraints-autogluon.txt --requirement bench/autogluon.txt && touch $@

# Servers bring their own versions of FastAPI and Starlette: environments apart, too.
.venv-serving/.done .venv-mlserver/.done .venv-rayserve/.done: .venv-%/.done: bench/%.txt bench/constraints-%.txt
	$(PYTHON) -m venv .venv-$*
	-.venv-$*/bin/$(PIP) --constraint bench/constraints-$*.txt --requirement bench/$*.txt && touch $@

# What serves a language model, and nothing besides: neither pip, nor bytecode of modules that a server never imports.
.venv-language-serve/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv --without-pip .venv-language-serve
	$(PYTHON) -m pip --python .venv-language-serve/bin/python install --quiet --disable-pip-version-check --no-compile \
	  --constraint constraints.txt '.[language-serve]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-bench .venv-autogluon .venv-serving .venv-mlserver .venv-rayserve .venv-language-serve runs site .mypy_cache .ruff_cache .hypothesis
