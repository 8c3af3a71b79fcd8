# One command on a laptop equals CI. `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# llama.cpp without the parts that nobody here uses, and for any processor of the architecture rather
# than for this one alone: a wheel that pip keeps may be used on another machine.
export CMAKE_ARGS ?= -DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF \
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_CURL=OFF
# Addresses of further wheel indexes, e.g. the prebuilt ones that the projects llama-cpp-python and
# PyTorch (CPU builds) name in their installation guides:  make setup WHEELS="ADDRESS ADDRESS"
WHEELS ?=
PIP := $(BIN)/python -m pip install --disable-pip-version-check $(foreach w,$(WHEELS),--extra-index-url $(w))

.PHONY: help chat test fast setup check format eval bench screenshots lock clean
help:
	@echo "make chat   open the chat page          make test   run all tests"
	@echo "make setup  only install into .venv     make fast   run the tests that need no model"
	@echo "make check  lint, types, format         make eval   measure the answers on question sets"
	@echo "make bench  speed beside a tutorial pipeline   make screenshots  those of the README"
	@echo "make lock   refresh requirements.lock   make clean  remove what was made"

setup: $(VENV)/.done
$(VENV)/.done: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --progress-bar off -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	touch $@

chat: setup
	$(BIN)/glossary chat

test: setup
	$(BIN)/python -m pytest

fast: setup
	$(BIN)/python -m pytest -m "not model and not quality and not process and not browser"

check: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

eval: setup
	$(BIN)/glossary eval --questions tests/questions/held_out.jsonl --abilities --baselines --out out/eval

bench: setup
	$(BIN)/glossary bench --out out/bench
	$(BIN)/python -m tests.browser.load --people 10 --each 50
	$(BIN)/python -m tests.browser.load --people 10 --each 8 --real

screenshots: setup
	$(BIN)/python -m tests.browser.screenshots

# The lock is resolved by uv, in seconds where pip's resolver takes minutes, for every platform at once.
lock: setup
	$(PIP) --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra train --universal --python-version 3.11 \
	  --upgrade --no-header --no-annotate --quiet -o requirements.lock

clean:
	rm -rf $(VENV) out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
