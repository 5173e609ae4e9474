# One command each for a newcomer. Everything they need is installed by `make install`, which they call.
.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench clean

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
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings

bench: install ## What a takeover costs, beside the floor and a polling procedure (release build)
	$(CARGO) build --locked --release --workspace
	@$(LAB_RELEASE) bench

clean: ## End everything that the lab left up or behind, and remove its files; the cache of tools stays
	@$(LAB) down
	@rmdir target/lab/run 2>/dev/null || [ ! -e target/lab/run ] || { echo 'runs are in progress: their files stay'; exit 1; }
	rm -rf target/lab
