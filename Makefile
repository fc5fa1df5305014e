# `make` lists what there is. Everything works on a fresh machine; what is missing is brought by `make setup`.

DATA   ?= .data
LISTEN ?= 127.0.0.1:$(or $(MESSAGING_PORT),3004)

.DEFAULT_GOAL := help
.PHONY: help setup run test faults bench compose-env fmt lint clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Bring nats-server, Postgres and the clients of tests and examples, if they are missing
	@scripts/setup

run: setup ## Build and run everything on this machine (DATA=.data LISTEN=127.0.0.1:3004)
	@echo 'Building; the first time takes some minutes.' >&2
	@cargo build --release --locked
	@exec target/release/messaging dev --data $(DATA) --listen $(LISTEN)

test: setup ## Run every test, against real servers
	cargo test --locked

faults: setup ## Break everything for minutes while clients talk, and compare what they saw (SEED= RUNS= MINUTES=)
	@SEED='$(SEED)' RUNS='$(RUNS)' MINUTES='$(MINUTES)' cargo test --locked --test it \
	    faults::long -- --ignored --nocapture

bench: setup ## Measure against a running `make run`
	@cargo build --release --locked
	@exec target/release/messaging bench --data $(DATA) $(ARGS)

compose-env: ## Make .env, with secrets of its own, for docker compose
	@scripts/compose-env

fmt: ## Format the code
	cargo fmt

lint: ## Check format and lints, as CI does
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

clean: ## Remove what was built; keeps the data folder
	cargo clean
	rm -rf .tools tests/js/node_modules examples/node/node_modules
