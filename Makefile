# make up      install everything, start Hone and print its address
# make test    install what the tests need and run them all
# make tour    walk the whole product in a browser, from the first start to a model trained on votes
# make chaos   every fault on purpose, on both set-ups, with a table of what became of it: 15 minutes
# make check   format and lint, types, then the tests
PYTHON ?= python3
BIN := .venv/bin

.PHONY: up test tour chaos check lint style types pictures bench clean .dev

up:
	@$(PYTHON) scripts/install.py
	@exec $(BIN)/hone up

test: .dev
	@# One thread each: processes that all want every processor would hold each other up.
	@OMP_NUM_THREADS=1 HONE_CHROMIUM=$$(scripts/test_tools.sh) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

tour: .dev
	@HONE_CHROMIUM=$$(scripts/test_tools.sh) $(BIN)/python -m pytest -s tests/browser/test_whole_loop.py

chaos: .dev
	@scripts/test_tools.sh >/dev/null && $(BIN)/python -m tests.chaos $(ARGUMENTS)

check: style
	@# Types are checked beside the tests: on two processors that takes half a minute less.
	@$(MAKE) --no-print-directory --jobs 2 types test

lint: style types

style: .dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: .dev
	@$(BIN)/mypy

pictures: .dev
	@HONE_CHROMIUM=$$(scripts/test_tools.sh) $(BIN)/python scripts/pictures.py

bench: .dev
	@$(BIN)/python -m bench.training
	@$(BIN)/python -m bench.generation
	@$(BIN)/python -m bench.scale

.dev:
	@$(PYTHON) scripts/install.py --dev

clean:
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build *.egg-info
