SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

bin := .venv/bin
ready := .venv/.ready
DEMO ?= demo-site

.PHONY: help
help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: $(ready) ## make .venv, with .venv/bin/studium in it

# Source files are not among these: the installation is editable.
$(ready): pyproject.toml $(wildcard requirements/*.txt scripts/*)
	@scripts/setup
	@touch $@

.PHONY: demo
demo: $(ready) ## a synthetic institution, from raw logs to tables, in ./demo-site
	@$(bin)/studium demo $(DEMO)
	@scripts/demo-job $(DEMO)

.PHONY: test
test: check ## the checks, then all tests (PYTEST="-k video -x" to choose)
	@scripts/debian-packages
	@$(bin)/python -m pytest --numprocesses=4 --dist=loadscope --no-loadscope-reorder $(PYTEST)

.PHONY: check
check: $(ready) ## format, lint, types, and which room may use which
	@$(bin)/ruff format --check .
	@$(bin)/ruff check .
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo

.PHONY: format
format: $(ready) ## let ruff format and fix
	@$(bin)/ruff format .
	@$(bin)/ruff check --fix .

.PHONY: prove
prove: $(ready) ## the long proofs: every order, every crash, every engine, every way to deploy
	@scripts/debian-packages long
	@$(bin)/python -m tests.prove

.PHONY: bench
bench: $(ready) ## measure speed and memory
	@$(bin)/python -m bench
	@$(bin)/python -m bench.jobs

.PHONY: docs
docs: $(ready) ## make the reference from the code (TRANSCRIPTS=1: run the examples again, too)
	@$(bin)/python -m docs.generate $(if $(TRANSCRIPTS),--transcripts)

.PHONY: lock
lock: ## recompile requirements/*.txt (LOCK=--upgrade for newer versions)
	@scripts/lock $(LOCK)

.PHONY: clean
clean: ## remove everything that make made
	@rm -rf .venv .uv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@rm -rf build dist $(DEMO)
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
