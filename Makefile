SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NEWEST := .venv-newest/.ready
LAB := tests/lab/lab
COLLECTION := collections/ansible_collections/privatewave/reconnect
# The oldest supported pair of Python and ansible-core has constraints of its own; every other Python takes the newest.
CONSTRAINTS = $(or $(wildcard constraints/python-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt),constraints/newest.txt)

# Each of the tests' many processes would compile the product again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test packages lint types unit sanity newest checks lab molecule e2e once third hosts faults mutations injected month kills attack bench docs site changelog constraints sbom deb installed environment clean \
    lint-ruff lint-server-python lint-ansible lint-shell lint-changelog lint-docs lint-rules lint-duplicates

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make the Python environment and the command in .venv/bin

demo: packages $(READY) ## build a lab, stop its database, then find, fix and verify it
	@tests/setup/demo

# Mostly one after the other: beside what else loads the machine, time limits of tests end what is only slow. At the same
# time go what waits for the network (the environments, the lab's images), and beside molecule what has no time limits.
test: packages ## run everything that CI checks
	+@$(MAKE) --jobs=3 --output-sync=recurse $(READY) $(NEWEST) lab
	+@tests/setup/test lint,types,site,sanity+molecule unit newest once third

checks: lint types site unit sanity newest ## run everything that needs no lab

hosts: molecule e2e third ## run everything that needs the lab

packages: ## install the system packages that the lab needs
	@tests/setup/packages

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	tests/setup/install $(VENV) $(CONSTRAINTS)
	@touch $@

lint: lint-ruff lint-server-python lint-ansible lint-shell lint-changelog lint-docs lint-rules lint-duplicates ## run the checks of pre-commit: ruff, ansible-lint, shellcheck, …

lint-ruff: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# What runs on a managed host must run on Python 3.8.
lint-server-python: $(READY)
	$(BIN)/vermin --quiet --target=3.8- --no-tips --violations $(COLLECTION)/plugins/module_utils $(COLLECTION)/plugins/modules

lint-ansible: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" ANSIBLE_CONFIG=ansible.cfg $(BIN)/ansible-lint --offline

lint-shell:
	shellcheck tests/sanity/run $(shell find tests/setup -maxdepth 1 -type f ! -name "*.py") .ci/run \
	    packaging/deb/build packaging/deb/try packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm packaging/environment/try

lint-changelog: $(READY)
	cd $(COLLECTION) && $(CURDIR)/$(BIN)/antsibull-changelog lint

# It asks the programs beside it for the documentation of every plugin.
lint-docs: $(READY)
	cd $(COLLECTION) && PATH="$(CURDIR)/$(BIN):$$PATH" antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .

lint-rules: $(READY)
	@tests/setup/rules

lint-duplicates: $(READY)
	$(BIN)/pylint $(COLLECTION)/plugins python_wrapper/reconnect tests/faults/trials tests/lab/labkit

types: $(READY) ## check the types (mypy --strict)
	$(BIN)/mypy

# A test that hangs fails, and the others go on.
unit newest: export PYTEST_ADDOPTS := -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true

unit: $(READY) ## run the unit tests; no lab needed
	$(BIN)/pytest -q --numprocesses=auto --dist=worksteal tests/unit

sanity: $(READY) ## run ansible-test sanity
	@tests/sanity/run

$(NEWEST): pyproject.toml constraints/newest.txt | $(READY) # both install this project: one after the other
	@PYTHON=$(PYTHON) tests/setup/newest environment

newest: $(READY) $(NEWEST) ## run the version-dependent unit tests on the newest Python and ansible-core
	@tests/setup/newest tests

lab: packages ## bring the lab up
	@$(LAB) up

molecule: export PATH := $(CURDIR)/$(BIN):$(PATH)
molecule: export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
molecule: $(READY) lab ## test the roles on the lab's hosts
	@# A run that was interrupted leaves a state in which nothing would be broken again.
	cd $(COLLECTION) && molecule reset --all && molecule test --all

e2e: $(READY) lab ## run the end-to-end tests on the lab: make e2e ONLY=EXPRESSION PROCESSES=5
	@tests/setup/packages tests/e2e/packages.txt
	@tests/setup/axe
	$(BIN)/pytest --numprocesses=$(or $(PROCESSES),5) tests/e2e $(ONCE) $(if $(ONLY),-k '$(ONLY)')

once: ONCE := --once
once: e2e ## run each end-to-end test on one of its servers, as CI does

third: $(READY) lab ## run the fixed third of the faults, as CI does
	$(BIN)/python tests/faults/run.py --third

faults: $(READY) lab ## run every fault, control and pair on every platform: make faults ONLY="WORD…"
	$(BIN)/python tests/faults/run.py $(ONLY)

mutations: $(READY) lab ## run random single changes of the lab's hosts: make mutations SEED=1 CASES=20
	$(BIN)/python tests/faults/mutations/run.py --seed $(or $(SEED),1) --cases $(or $(CASES),20) --resume

injected: $(READY) lab ## inject a seeded mix of faults with --apply, calls up: make injected SEED=1 CASES=20
	$(BIN)/python tests/faults/injected/run.py --seed $(or $(SEED),1) --cases $(or $(CASES),20) $(ONLY)

month: $(READY) lab ## let a seeded mix of incidents call the service: make month SEED=1 INCIDENTS=15
	$(BIN)/python tests/month/run.py --seed $(or $(SEED),1) --incidents $(or $(INCIDENTS),15) $(ONLY)

kills: $(READY) ## kill workers, the service and the database in mid-run: make kills SEED=1 KILLS=100 RESTARTS=20 CUTS=10
	$(BIN)/python tests/kills/run.py --seed $(or $(SEED),1) --kills $(or $(KILLS),10) --restarts $(or $(RESTARTS),2) --cuts $(or $(CUTS),1) --services $(or $(SERVICES),2)

attack: $(READY) lab ## play every attack that a test knows: make attack ONLY=EXPRESSION WHERE=tests/unit
	RECONNECT_MUTATIONS=$(or $(MUTATIONS),10000) $(BIN)/pytest -q -p attacks $(or $(WHERE),tests/unit tests/e2e) $(if $(ONLY),-k '$(ONLY)')

bench: $(READY) lab ## run the benchmarks, as ratios measured side by side
	@tests/setup/packages tests/bench/packages.txt
	$(BIN)/python tests/bench/commands.py
	$(BIN)/python tests/bench/peers.py
	$(BIN)/python tests/bench/start.py
	$(BIN)/python tests/bench/collector.py
	$(BIN)/python tests/bench/servers.py
	$(BIN)/python tests/bench/store.py
	$(BIN)/python tests/bench/growth.py
	$(BIN)/python tests/bench/paths.py

docs: $(READY) ## write the generated pages of docs/
	@tests/setup/docs

site: $(READY) ## build the documentation as a site in .cache/site, with no network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir .cache/site

changelog: $(READY) ## write CHANGELOG.md of the collection from its fragments
	@tests/setup/changelog

constraints: ## pin the versions that are installed now, with their hashes
	@tests/setup/constraints

sbom: $(READY) ## write the bill of materials (CycloneDX) to .cache/sbom.json
	@tests/setup/sbom .cache/sbom.json

deb: $(READY) ## build the Debian package in .cache/deb
	@packaging/deb/build .cache/deb

installed: deb lab ## install the package into an empty Debian, use it on the lab, remove it; takes root
	@$(LAB) reset pbx22
	@packaging/deb/try .cache/deb/reconnect_*.deb pbx22

environment: $(READY) lab ## build the execution environment, diagnose a server of the lab in it; takes root
	@$(LAB) reset pbx22
	@packaging/environment/try pbx22

clean: ## stop the lab, remove the environments
	-$(LAB) down
	rm -rf .venv .venv-newest .cache
