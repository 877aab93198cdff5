# Two commands do everything on a fresh Debian machine with Go:
#   make demo   the whole story, from a signed skill to a replayed execution
#   make test   every test
SHELL := /bin/bash
.DEFAULT_GOAL := build

export GOFLAGS := -buildvcs=false
BUILD   := build
BIN     := bin/writ
SKILLS  := http text json csv markdown feed calendar crypto github slack
KEY     := $(BUILD)/first-party
# What the compiler is told of where executions spend their time. Tests are built
# without it, which would compile every dependency once more.
PGO     := -pgo=$(CURDIR)/bench/writ.pgo

GO_SOURCES := $(shell find . -name '*.go' -not -path './build/*') go.mod go.sum

.PHONY: pgo build skills guests demo demo-triage test race check format lint generate bench bench-growth bench-peers peers chaos test-keyless test-interop fuzz clean tools vulncheck

build: $(BIN) ## the binary, with the first-party skills and their public key

$(KEY).key:
	@mkdir -p $(BUILD)
	go run $(PGO) ./cmd/writ --home $(BUILD)/none skill key --out $(KEY)

LDFLAGS = -s -w -X main.firstPartyKey=$$(base64 -w0 $(KEY).pub)
FIRST   := $(BUILD)/writ
SHELF   := cmd/writ/firstparty.shelf
BUNDLES := $(SKILLS:%=$(BUILD)/%.skill)

# In two stages: a binary without skills builds and signs them, the other carries them.
$(FIRST): $(GO_SOURCES) bench/writ.pgo $(KEY).key
	go build $(PGO) -ldflags "$(LDFLAGS)" -o $(FIRST) ./cmd/writ

$(BUILD)/%.skill: $(FIRST) skills/%/skill.yaml
	@$(FIRST) skill build skills/$* --to $@.new >/dev/null && $(FIRST) skill sign $@.new --key $(KEY).key >/dev/null && mv $@.new $@ && echo "built and signed $@"

$(SHELF): $(BUNDLES)
	go run $(PGO) ./shelf/pack $(SHELF) $(BUNDLES)

$(BIN): $(SHELF)
	@mkdir -p bin
	go build $(PGO) -tags firstparty -ldflags "$(LDFLAGS)" -o $(BIN) ./cmd/writ

skills: $(BUNDLES) ## the first-party skills, built and signed

guests: $(BIN) ## the toolchains of the other languages; what is built with them made again and compared with what is committed
	@command -v clang-14 >/dev/null && command -v wasm-ld-14 >/dev/null && dpkg -s rustc libstd-rust-dev-wasm32 >/dev/null 2>&1 || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends clang-14 lld-14 rustc libstd-rust-dev-wasm32; }
	@command -v npm >/dev/null || { apt-get update -qq && apt-get install -y -qq npm; }
	examples/conformance/build.sh $(BUILD)/guests
	@diff -r $(BUILD)/guests examples/conformance/built || { echo "they differ: if that is meant, cp $(BUILD)/guests/* examples/conformance/built/"; exit 1; }
	sdk/try.sh $(BIN) $(BUILD)/first
	@diff -r $(BUILD)/first sdk/scaffold/testdata || { echo "they differ: if that is meant, cp $(BUILD)/first/* sdk/scaffold/testdata/"; exit 1; }

.PHONY: replay-arm64
LANGUAGES ?= c rust assemblyscript go

replay-arm64: $(BIN) ## what this machine records, replayed by a build for arm64 in an emulator
	@command -v qemu-aarch64 >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-user; }
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -o $(BUILD)/writ-arm64 ./cmd/writ
	examples/conformance/replay.sh -e qemu-aarch64 $(BIN) $(BUILD)/writ-arm64 $(LANGUAGES)

demo: build ## sign, install, plan, approve, execute, verify, replay, tamper
	go run ./examples/issue-triage/demo -writ $(BIN)

demo-triage: build ## an issue at GitHub, approved in Slack and in the issue, rejected, replayed
	go run ./examples/triage-bot/demo -writ $(BIN)

tools: ## what tests and benchmarks need besides Go
	@command -v node >/dev/null || { echo "installing nodejs"; apt-get update -qq && apt-get install -y -qq nodejs; }
	@command -v strace >/dev/null || { echo "installing strace"; apt-get update -qq && apt-get install -y -qq strace; }

test: tools ## every test
	go test -timeout 30m ./...

race: ## the hammer tests with the race detector
	go test -race -timeout 30m ./engine/... ./hook ./host/... ./trace/...

format:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "run gofmt on:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@go tool gofumpt -l $$(git ls-files '*.go') | (! grep .) || { echo "run: go tool gofumpt -w FILES"; exit 1; }

lint:
	go vet ./...
	go tool staticcheck ./...
	GOOS=wasip1 GOARCH=wasm go vet ./abi ./sdk ./skills/... ./examples/hello/...

generate: ## write the generated documents and goldens again
	go test ./contract -run 'Docs|Documents|Baseline|WhoMayWhat' -update

check: format lint test ## what CI runs
	go mod tidy -diff
	go run ./cmd/writ contract check
	git diff --exit-code

bench: tools $(BIN) ## our numbers, as a table and bench/out/*.json; FLAGS="-only daemon" for some of them
	go run $(PGO) ./bench -writ $(BIN) $(FLAGS)

chaos: tools $(BIN) ## the daemon killed, its disk broken, its files damaged, and what it promised checked; FLAGS="-kills 20 -seed 7"
	go run ./bench/chaos -writ $(BIN) $(FLAGS)

pgo: $(BIN) ## measures what executions spend their time on, for the compiler of the next build
	go run ./bench -writ $(BIN) -only 'chains|replays|appends' -seconds 8 -profile bench/writ.pgo

bench-growth: ## get, list and start of stores of 1k to 1M executions; the last takes some minutes and 5 GB
	go run $(PGO) ./bench -growth 1000,10000,100000,1000000

PEERS := $(BUILD)/peers

bench-peers: peers ## Writ beside DBOS, Restate and Temporal, in one run; FLAGS="-rounds 5 -seconds 4" for more of it
	$(PEERS)/bench -writ $(BIN) $(FLAGS)

# RUNLEVEL=1: Debian's package is not to start a server of its own.
peers: tools $(BIN) ## installs and builds the peers, each in a module of its own
	@command -v npm >/dev/null || { echo "installing npm"; apt-get update -qq && apt-get install -y -qq npm; }
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { echo "installing postgresql"; apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq postgresql; }
	@mkdir -p $(PEERS)
	cp bench/peers/restate/package.json bench/peers/restate/package-lock.json $(PEERS)/
	cd $(PEERS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel error
	go build -C bench/peers/dbos -o $(CURDIR)/$(PEERS)/dbos .
	go build -C bench/peers/restate -o $(CURDIR)/$(PEERS)/restate-service .
	go build -C bench/peers/temporal -o $(CURDIR)/$(PEERS)/ ./server ./worker
	go build -o $(PEERS)/bench ./bench/peers

# The Sigstore programs, pinned to what builds with Go 1.26; each takes a minute or
# two, cosign about five. They are not part of this module.
SIGSTORE := $(BUILD)/keyless
FULCIO   := github.com/sigstore/fulcio@v1.8.8
TSA      := github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server@v2.1.3
REKOR    := github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix@v2.3.0
COSIGN   := github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3

$(SIGSTORE)/fulcio:
	GOBIN=$(CURDIR)/$(SIGSTORE) go install -trimpath $(FULCIO)

$(SIGSTORE)/timestamp-server:
	GOBIN=$(CURDIR)/$(SIGSTORE) go install -trimpath $(TSA)

$(SIGSTORE)/rekor-server-posix:
	GOBIN=$(CURDIR)/$(SIGSTORE) go install -trimpath $(REKOR)
	mv $(SIGSTORE)/posix $@

$(SIGSTORE)/cosign:
	GOBIN=$(CURDIR)/$(SIGSTORE) go install -trimpath $(COSIGN)

SIGSTORE_SERVERS := $(addprefix $(SIGSTORE)/,fulcio timestamp-server rekor-server-posix)

test-keyless: $(BIN) $(SIGSTORE_SERVERS) ## keyless signatures with a real Sigstore on loopback
	go run ./registry/keyless/loopback -writ $(BIN) -bin $(SIGSTORE)

test-interop: $(BIN) $(SIGSTORE_SERVERS) $(SIGSTORE)/cosign ## what Writ signs, verified by cosign, and the other way
	go run ./registry/keyless/loopback -writ $(BIN) -bin $(SIGSTORE) -interop

fuzz: ## every fuzz target, a short while each
	@for p in $$(go list ./... ); do \
	  for f in $$(go test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
	    echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-10s} -fuzzminimizetime 10x $$p || exit 1; \
	  done; \
	done

vulncheck:
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...

clean:
	rm -rf $(BUILD) bin bench/out $(SHELF)
