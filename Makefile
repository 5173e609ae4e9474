# One command each for a newcomer. Everything they need is installed by `make install`, which they call.
.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench soak mutants clean

CARGO ?= cargo
LAB := $(CARGO) run --locked --quiet --package lab --
# Figures are of an optimised operator and client.
LAB_RELEASE := $(CARGO) run --locked --quiet --release --package lab --

help: ## This text
	@echo 'mysql-takeover'
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'
	@echo
	@echo '  Needed: a Debian machine with Rust (rustup), Go 1.26 or newer, a C compiler; root for the node and for packages.'
	@echo '  KEEP=1 make demo leaves the cluster up. KUBECONFIG is not touched.'

install: ## Install what is missing: Debian packages, Kubernetes, helm, CoreDNS, MySQL (once, about ten minutes)
	@echo 'Building the lab (cargo, some minutes the first time)'
	$(CARGO) build --locked --package lab
	@$(LAB) install

demo: install ## A takeover in real Pods under writing clients, with its figures; KEEP=1 leaves it up
	$(CARGO) build --locked --workspace
	@$(LAB) demo

test: install lint ## Everything: pure tests, real MySQL with a real API server, one end-to-end run on a node
	$(CARGO) build --locked --workspace
	@status=0; $(CARGO) test --locked --workspace --no-fail-fast || status=$$?; $(LAB) down --abandoned || status=1; exit $$status

lint: ## Formatting and clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- --deny warnings

bench: install ## What a takeover costs, beside the floor and a polling procedure (release build)
	$(CARGO) build --locked --release --workspace
	@$(LAB_RELEASE) bench

SOAK_MINUTES ?= 30
# Half of the time for the simulated world, half for real processes; the model and the mistakes take what they take.
soak: install ## Everything going wrong, for SOAK_MINUTES: simulated, model, real processes, mistakes; figures in target/lab/soak.json
	$(CARGO) build --locked --release --package world --package model
	$(CARGO) build --locked --workspace
	@mkdir -p target/lab
	@status=0; \
	$(CARGO) run --locked --quiet --release --package world -- soak --seconds $$(( $(SOAK_MINUTES) * 30 )) --output target/lab/soak-simulated.json || status=1; \
	$(CARGO) run --locked --quiet --release --package model -- --output target/lab/soak-model.json || status=1; \
	SOAK_MINUTES=$$(( ($(SOAK_MINUTES) + 1) / 2 )) SOAK_REPORT=$(abspath target/lab/soak-real.json) $(CARGO) test --locked --test chaos soak -- --nocapture || status=1; \
	$(LAB) down --abandoned || status=1; \
	$(MAKE) --no-print-directory mutants || status=1; \
	$(CARGO) run --locked --quiet --release --package world -- figures target/lab --output target/lab/soak.json || status=1; \
	exit $$status

mutants: install ## Plants mistakes in a copy of the tree; each must be found by a named test
	@mkdir -p target/lab
	$(CARGO) run --locked --quiet --package mutants -- --output target/lab/soak-mutants.json

clean: ## End everything that the lab left up or behind, and remove its files; the cache of tools stays
	@$(LAB) down
	@rmdir target/lab/run 2>/dev/null || [ ! -e target/lab/run ] || { echo 'runs are in progress: their files stay'; exit 1; }
	rm -rf target/lab
