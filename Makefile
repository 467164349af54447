# SPDX-License-Identifier: GPL-3.0-or-later
# Longer logic lives in scripts/; each target sets up what it needs first.

SUITE ?= trixie
ARCH ?=
KEEP ?= 0
ROOTLESS ?= 0
SCENARIO ?=
INVENTORY ?= localhost,
REPORTS ?= reports
EVENTS ?=
HOSTS ?= 10 100 500
FAULTS ?=
SERVICES ?=
TIMES ?= 1
DIST ?= dist
PYTHON = .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup tools demo test check soak lint sanity units labtest importer molecule faults services bench bench-fleet report vm-up vm-down vm-list build docs lock clean

help: ## Show this list
	@echo "Bulkhead hardens Docker hosts and verifies the result from the kernel's evidence."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what the tools and the lab need (packages, .venv)
	@scripts/setup

tools: ## Only what playbooks against real hosts need (.venv)
	@scripts/setup --no-lab

demo: setup ## Boot a VM, harden it, verify every layer, attack it, destroy it  [SUITE=trixie KEEP=1 ROOTLESS=1]
	@SUITE=$(SUITE) KEEP=$(KEEP) ROOTLESS=$(ROOTLESS) scripts/demo

test: ## All that CI runs: make check, the newest ansible-core, and scenarios on VMs
	@scripts/setup --tests
	@scripts/test

check: ## What needs no VM, in about 3 minutes: lint, sanity, units, Galaxy's importer, tests of the lab, the scripts and the report
	@scripts/setup --tests
	@scripts/test lint sanity units labtest importer

soak: setup ## The long sets, by hand: unit tests with ansible-test, all faults, all sabotaged containers, all services, the recorder, the benchmark, the cost of a fleet, arm64 (as root)
	@scripts/units
	@$(PYTHON) -m faults --suite $(SUITE)
	@$(PYTHON) -m faults --suite $(SUITE) --containerd
	@SUITE=$(SUITE) scripts/soak-containers
	@SUITE=$(SUITE) scripts/soak-services
	@SUITE=$(SUITE) scripts/soak-recording
	@SUITE=$(SUITE) scripts/bench
	@scripts/bench-fleet $(HOSTS)
	@scripts/setup --arch arm64
	@scripts/molecule forky services pull-converge turned-rootless egress-faults containerd-store arm64

lint: tools ## ansible-lint, ruff, mypy, role specs
	@scripts/lint

sanity: tools ## ansible-test sanity over the collection
	@scripts/sanity

units: tools ## Unit tests, as ansible-test runs them
	@scripts/units

importer: tools ## What Galaxy checks when the collection is uploaded
	@scripts/importer

labtest: ## Tests of the lab, of the scripts and of the report in a browser
	@scripts/setup --tests
	@.venv/bin/pytest -q tests

molecule: ## Scenarios on real VMs, by default those of CI  [SCENARIO="trixie bookworm"]
	@scripts/setup $(if $(filter arm64,$(SCENARIO)),--arch arm64)
	@scripts/molecule $(SCENARIO)

faults: setup ## Try faults on a VM, long  [FAULTS="power-cut disk-full" TIMES=1 SUITE=trixie]
	@$(PYTHON) -m faults $(FAULTS) --times $(TIMES) --suite $(SUITE)

services: setup ## Try services on VMs and write docs/services.md, long  [SERVICES="nginx redis" SUITE=trixie]
	@SUITE=$(SUITE) scripts/soak-services $(SERVICES)

bench: setup ## Print the project's figures, as ratios  [SUITE=trixie]
	@SUITE=$(SUITE) scripts/bench

bench-fleet: setup ## What a fleet costs its control node; as root, long  [HOSTS="10 100 500"]
	@scripts/bench-fleet $(HOSTS)

report: tools ## Write reports/fleet.html anew from the hosts' reports  [INVENTORY=path REPORTS=reports EVENTS=path,…]
	@.venv/bin/ansible-playbook -i "$(INVENTORY)" playbooks/report.yml -e "bulkhead_report_dir=$(REPORTS)" $(if $(EVENTS),-e "bulkhead_events=$(EVENTS)")

vm-up: ## Boot a throwaway VM  NAME=x [SUITE=trixie ARCH=arm64]
	@test -n "$(NAME)" || { echo "bulkhead: name the VM: make vm-up NAME=x [SUITE=trixie ARCH=arm64]" >&2; exit 2; }
	@scripts/setup $(if $(ARCH),--arch "$(ARCH)")
	@$(PYTHON) -m lab up "$(NAME)" --suite "$(SUITE)" $(if $(ARCH),--arch "$(ARCH)")

vm-down: tools ## Destroy a throwaway VM  NAME=x
	@test -n "$(NAME)" || { echo "bulkhead: name the VM: make vm-down NAME=x" >&2; exit 2; }
	@$(PYTHON) -m lab down "$(NAME)"

vm-list: tools ## List the throwaway VMs
	@$(PYTHON) -m lab list

build: tools ## Build the collection's tarball  [DIST=dist]
	@.venv/bin/ansible-galaxy collection build --force --output-path $(DIST) collections/ansible_collections/bulkhead/docker

docs: tools ## Build the documentation's site  [DIST=dist]
	@scripts/docs $(DIST)/docs

lock: ## Lock the Python packages anew, after a change of pyproject.toml
	@scripts/lock

clean: ## Remove caches and build products; reports, VMs, images and .venv stay
	@scripts/clean
