# Everything runs from .venv and node_modules in this folder; `make` alone shows the targets.
PYTHON := .venv/bin/python
RUN := $(PYTHON) -m

# pytest says 5 when no test was picked; that is an error unless somebody picks by ARGS.
OR_NONE = || { code=$$?; [ $$code = 5 ] && [ -n "$(ARGS)" ]; }

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow bench-index bench-rank bench-queue soak-index soak-rules soak-money check format lock clean

help: ## Show this text
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1  	\2/p' Makefile

install: ## Install all that is needed (does nothing when it is there)
	@sh tools/bootstrap.sh

demo: install ## Run the whole pipeline on a local chain (ARGS="--help" shows its options)
	@$(RUN) lightchallenge_dagster.devnet.demo $(ARGS)

test: install ## Run the tests (ARGS="-k words" picks some)
	@$(RUN) pytest -n 3 --dist loadfile --ignore=tests/e2e $(ARGS) $(OR_NONE)
	@echo "Now end to end, with Dagster itself, one after the other:"
	@$(RUN) pytest tests/e2e $(ARGS) $(OR_NONE)

test-slow: install ## Run the tests that `make test` leaves out
	@$(RUN) pytest -m slow $(ARGS)

bench-index: install ## Measure the indexer (ARGS="--help" shows its parts)
	@$(RUN) benchmarks.index $(ARGS)

bench-rank: install ## Measure judging, ranking, standings (ARGS="--help" shows its parts)
	@$(RUN) benchmarks.rank $(ARGS)

bench-queue: install ## Measure the queue of AIVM jobs (ARGS="--help" shows its parts)
	@$(RUN) benchmarks.queue $(ARGS)

soak-index: install ## Seeds of a misbehaving chain against the indexer; resumes (ARGS="--help")
	@$(RUN) tests.simulator $(ARGS)

soak-rules: install ## Every property of the rules with 50,000 examples (ARGS="--help")
	@$(RUN) tests.rules $(ARGS)

soak-money: install ## Killed workers and lying nodes against the money side (ARGS="--help")
	@$(RUN) tests.money $(ARGS)

check: install ## Types, lint, format, import rings, contracts
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(RUN) pyright
	$(RUN) lightchallenge_dagster.devnet.compile --check

format: install ## Rewrite the code as `make check` wants it
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

lock: install ## Write requirements.lock anew from pyproject.toml
	$(RUN) uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --extra devnet --extra dev pyproject.toml -o requirements.lock

clean: ## Remove all that was installed or made here
	rm -rf .venv node_modules .local build dist *.egg-info \
		.pytest_cache .ruff_cache .hypothesis .import_linter_cache
