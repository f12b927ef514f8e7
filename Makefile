# Everything one does with this tree. `make help` lists the targets.

CARGO ?= cargo
CARGO_FLAGS ?=
IMAGE ?= portcullis:dev
# `make test` and `make e2e` run this many cluster tests at a time; each has its own namespace.
E2E_THREADS ?= 4

.DEFAULT_GOAL := help
.PHONY: run test check e2e chaos scale differential fuzz bench pictures crds chart schemas image conformance help

run: ## build, serve policies/ over HTTPS, show three sample requests decided, keep serving
	$(CARGO) run --release $(CARGO_FLAGS) --bin portcullis -- serve --policies policies --samples docs/samples

test: ## run every test: unit, tidy, specs, conformance, then the real control plane
	$(CARGO) test $(CARGO_FLAGS)
	$(MAKE) e2e

check: ## what a change must pass before review: format, lints, tests without a cluster, docs, dependencies
	$(CARGO) fmt --check
	$(CARGO) clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	$(CARGO) clippy $(CARGO_FLAGS) --test cosign --test cluster --test chaos --test scale -- -D warnings
	$(CARGO) test $(CARGO_FLAGS)
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(CARGO_FLAGS) --no-deps
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; \
	else echo 'cargo-deny is not installed, so dependencies were not checked; CI does it (cargo install cargo-deny)'; fi

e2e: ## run the tests against the real cosign, etcd and kube-apiserver (built on first use), or the cluster of KUBECONFIG
	$(CARGO) test $(CARGO_FLAGS) --test cosign
	$(CARGO) test $(CARGO_FLAGS) --test cluster -- --test-threads=$(E2E_THREADS)
	$(CARGO) test $(CARGO_FLAGS) --test chaos
	$(CARGO) test $(CARGO_FLAGS) --test scale

chaos: ## break what can break while a client writes, in full sizes, and print a table; a quarter of an hour
	CHAOS=full $(CARGO) test $(CARGO_FLAGS) --release --test chaos -- --nocapture

scale: ## audit 100,000 objects in a real API server and print what it took; a quarter of an hour
	SCALE=full $(CARGO) test $(CARGO_FLAGS) --release --test scale -- --nocapture

differential: ## compare N random expressions (default 100000) with the API server's own CEL, from SEED on
	DIFFERENTIAL_CASES=$(or $(N),100000) DIFFERENTIAL_SEED=$(or $(SEED),1) \
	$(CARGO) test $(CARGO_FLAGS) --release --test differential -- --nocapture

fuzz: ## random and mutated text into every reader, and well-typed expressions, FUZZ_SECONDS (default 300) each
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),300) $(CARGO) test $(CARGO_FLAGS) --release --test fuzz -- --nocapture
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),300) $(CARGO) test $(CARGO_FLAGS) --release --test differential checked_without_dyn -- --nocapture

bench: ## measure start time, idle memory, binary size, the time of a request, an audit, images, and CEL beside the API server
	$(CARGO) bench $(CARGO_FLAGS) --bench server
	$(CARGO) bench $(CARGO_FLAGS) --bench audit
	$(CARGO) bench $(CARGO_FLAGS) --bench images
	$(CARGO) bench $(CARGO_FLAGS) --bench cel

pictures: ## make the screenshots of docs/audit.md again, in a browser
	SCREENSHOTS=1 $(CARGO) test $(CARGO_FLAGS) --test audit pictures

crds: ## write crds/ and those of the chart again from the Rust types
	UPDATE_CRDS=1 $(CARGO) test $(CARGO_FLAGS) --lib crds_in_the_repository

chart: ## write the chart's README table and the manifests that it renders again
	UPDATE_CHART=1 $(CARGO) test $(CARGO_FLAGS) --test cluster chart::

schemas: ## write src/schema/kubernetes.txt again from the API server's own OpenAPI documents
	UPDATE_SCHEMAS=1 $(CARGO) test $(CARGO_FLAGS) --test cluster the_types_of_built_in_kinds

image: ## build the container image
	docker build -t $(IMAGE) .

conformance: ## count how much of CEL's data and of the corpora (CORPORA=DIR) Kubernetes agrees with, file by file
	$(CARGO) test $(CARGO_FLAGS) --test cel_spec -- --nocapture
	$(CARGO) test $(CARGO_FLAGS) --test conformance corpora -- --nocapture

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
