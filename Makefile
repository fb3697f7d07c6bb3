# `make` says what there is to do. Go is all that it needs, and for `make test` a
# C compiler (for the race detector); the rest is installed where that can be
# done, or it says what to install.

BIN  := .dev/bin
OBS  := deploy/observability
ARGS :=

.PHONY: help run demo test check bench chaos simulate screenshots generate build clean rename

help: ## say what there is to do
	@awk -F ': *[^#]*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: ## run it without Docker until Ctrl-C: Postgres, Redis, NATS and the service
	go build -o $(BIN)/ ./cmd/billing ./cmd/dev
	@exec $(BIN)/dev

# The service is the one of docker compose if that runs, else the one of `make
# run`; BILLING_URL and NATS_URL point it at any other.
demo: ## drive the running service through the whole loop and show what happens
	@if [ -n "$$BILLING_URL$$NATS_URL" ]; then \
		go run ./cmd/demo; \
	elif [ -n "$$(docker compose ps --quiet --status running billing 2>/dev/null)" ]; then \
		docker compose run --rm --no-deps demo; \
	else \
		set -a; if [ -f .dev/env ]; then . ./.dev/env; fi; go run ./cmd/demo; \
	fi

test: ## run all tests on real Postgres, NATS and Redis; ARGS='-count=2 -run Order'
	go run ./cmd/dev install
	go test -race -timeout 20m $(ARGS) ./...

check: $(BIN)/tools $(BIN)/promtool ## check format, vet, lint, generated code, modules, alerts and architecture
	$(BIN)/golangci-lint run # with gofmt, goimports and go vet
	$(BIN)/sqlc diff
	go mod tidy -diff
	go -C tools mod tidy -diff
	go -C tools/promtool mod tidy -diff
	$(BIN)/promtool check config $(OBS)/prometheus.yaml # with alerts.yaml
	$(BIN)/promtool test rules $(OBS)/alerts_test.yaml
	go test ./internal

BENCH := .
bench: ## measure the relay (BENCH=Drain for a part of it, BENCH= for none), then the service beside pgbench; ARGS='-duration 5s'
	go run ./cmd/dev install
	go test -run '^$$' -bench '$(BENCH)' ./cmd/billing ./internal/infra/...
	go build -o $(BIN)/ ./cmd/billing ./cmd/bench
	$(BIN)/bench -svg docs/images/bench.svg $(ARGS)

chaos: ## break everything under load and check every promise; ARGS='-duration 10m -seed 7'
	go run ./cmd/dev install
	go build -o $(BIN)/ ./cmd/billing ./cmd/chaos
	$(BIN)/chaos $(ARGS)

simulate: ## run the plumbing in virtual time through whatever goes wrong; ARGS='-schedules 200000 -seed 1'
	go test -timeout 0 -run Promises ./internal/simulation -schedules 20000 $(ARGS)

screenshots: ## make the pictures of docs/images: the console and a trace
	go run ./cmd/dev install
	go build -o $(BIN)/ ./cmd/billing ./cmd/screenshots
	$(BIN)/screenshots $(ARGS)

generate: $(BIN)/tools ## make Go from sql/queries and sql/migrations
	$(BIN)/sqlc generate

build: ## build the programs into .dev/bin
	go build -o $(BIN)/ ./cmd/...

clean: ## remove what was built, and the data of `make run`
	rm -rf .dev

rename: ## make it yours: MODULE=github.com/you/orders
	@[ -n "$(MODULE)" ] || { echo 'usage: make rename MODULE=github.com/you/orders' >&2; exit 2; }
	@old=$$(go list -m) && git grep --untracked -lIF "$$old" | while read -r file; do \
		sed "s|$$old|$(MODULE)|g" "$$file" >"$$file.renamed" && \
		cat "$$file.renamed" >"$$file" && rm "$$file.renamed" || exit 1; \
	done
	go build ./...

$(BIN)/tools: tools/go.mod tools/go.sum
	CGO_ENABLED=0 GOBIN='$(CURDIR)/$(BIN)' go -C tools install tool
	@touch $@

# Without what promtool can discover targets by: that is most of it.
$(BIN)/promtool: tools/promtool/go.mod tools/promtool/go.sum
	CGO_ENABLED=0 GOBIN='$(CURDIR)/$(BIN)' go -C tools/promtool install -tags remove_all_sd -ldflags '-s -w' tool
	@touch $@
