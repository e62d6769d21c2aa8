SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LAB := tests/lab/lab
# The oldest supported pair of Python and ansible-core has constraints of its own; every other Python takes the newest.
CONSTRAINTS = $(or $(wildcard constraints/python-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt),constraints/newest.txt)

.DEFAULT_GOAL := help
.PHONY: help demo test packages lint types unit sanity newest lab molecule e2e third faults bench docs constraints clean

help: ## what can be done here
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: packages $(READY) ## the main job: a lab, a real fault, found, mended, proved
	@tests/setup/demo

test: packages $(READY) lint types unit sanity newest lab molecule e2e third ## everything that CI checks

packages: ## install the system packages that the lab needs
	@tests/setup/packages

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $@

lint: $(READY) ## ruff, ansible-lint (production profile), shellcheck, changelog
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" ANSIBLE_CONFIG=ansible.cfg $(BIN)/ansible-lint --offline
	shellcheck tests/sanity/run tests/setup/packages tests/setup/demo tests/setup/newest .ci/run
	cd collections/ansible_collections/privatewave/reconnect && $(CURDIR)/$(BIN)/antsibull-changelog lint

types: $(READY) ## mypy --strict
	$(BIN)/mypy

unit: $(READY) ## unit tests, no lab needed
	$(BIN)/pytest -q --numprocesses=auto tests/unit

sanity: $(READY) ## ansible-test sanity
	@tests/sanity/run

newest: ## the unit tests that a version of Python or ansible-core can change, on the newest here
	@tests/setup/newest

lab: packages $(READY) ## bring the lab up
	@$(LAB) up

molecule: export PATH := $(CURDIR)/$(BIN):$(PATH)
molecule: export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
molecule: lab ## the roles, on the lab's hosts
	@# A run that was ended leaves a state behind in which nothing would be broken anew.
	cd collections/ansible_collections/privatewave/reconnect && molecule reset --all && molecule test --all

e2e: lab ## end to end, on the lab, the servers side by side: make e2e ONLY=EXPRESSION PROCESSES=3
	@tests/setup/packages tests/e2e/packages.txt
	$(BIN)/pytest --numprocesses=$(or $(PROCESSES),3) tests/e2e $(if $(ONLY),-k '$(ONLY)')

third: lab ## the fixed third of the faults, controls and pairs that CI runs
	$(BIN)/python tests/faults/run.py --third

faults: lab ## every fault, control and pair on every platform, as a table: make faults ONLY="WORD…"
	$(BIN)/python tests/faults/run.py $(ONLY)

bench: lab ## the benchmarks, as ratios measured side by side
	$(BIN)/python tests/bench/run.py

docs: $(READY) ## the generated pages: causes, result schema
	@tests/setup/docs

constraints: ## pin what is installed now
	@tests/setup/constraints

clean: ## the lab down, environments removed
	-$(LAB) down
	rm -rf .venv .venv-newest .cache
