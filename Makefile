# Rapport: four targets are enough to begin: help, demo, build, check.
GO      ?= go
BIN     := bin/rapport
GOFILES := $(shell find . -name '*.go' -not -path './node_modules/*' -not -path './console/node_modules/*' 2>/dev/null)
TOOL    := $(GO) tool -modfile=tools.mod
SHARED  ?= ../shared
CHROMIUM_PACKAGES := chromium
PYARROW := pyarrow==22.0.0

.DEFAULT_GOAL := help
.PHONY: help demo build console check test race bench fuzz lint fmt deps-test clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## build everything and run the demo world at http://127.0.0.1:8080
	$(BIN) demo $(DEMO_FLAGS)

build: console $(BIN) ## build bin/rapport, console included

$(BIN): $(GOFILES) go.mod go.sum $(wildcard console/dist/index.html)
	@mkdir -p bin
	$(GO) build -o $(BIN) ./cmd/rapport

console: console/dist/index.html ## build the console into console/dist

console/dist/index.html: console/package-lock.json $(shell find console/src console/public console/index.html console/vite.config.ts -type f 2>/dev/null)
	cd console && npm ci --no-audit --no-fund && npm run build

check: lint ## the everyday checks, under five minutes: vet, staticcheck, short tests
	$(GO) build ./...
	$(GO) test -short ./...

lint: ## formatting, vet and staticcheck
	@out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "not formatted (run make fmt):"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(TOOL) staticcheck ./...

fmt: ## format all Go code
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

test: deps-test build lint ## everything: all Go tests, real clients, the console in a real browser
	$(GO) test -timeout 30m ./...
	cd console && npm run check
	cd console && npm run e2e && RAPPORT_BIN=$(CURDIR)/$(BIN) npm run e2e:live

deps-test: ## install what the tests need (Chromium, mosquitto, npm packages of the client tests, Python's pyarrow)
	@command -v chromium >/dev/null 2>&1 || { \
	  echo "installing chromium"; sudo=$$(command -v sudo || true); test "$$(id -u)" = 0 && sudo=; \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $(CHROMIUM_PACKAGES) >/dev/null; }
	@{ command -v mosquitto_pub && { command -v mosquitto || test -x /usr/sbin/mosquitto; }; } >/dev/null 2>&1 || { \
	  echo "installing mosquitto"; sudo=$$(command -v sudo || true); test "$$(id -u)" = 0 && sudo=; \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients >/dev/null; }
	@test -x test/python/venv/bin/python || { \
	  python3 -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "installing python3-venv"; sudo=$$(command -v sudo || true); test "$$(id -u)" = 0 && sudo=; \
	    $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null; }; \
	  rm -rf test/python/venv; python3 -m venv test/python/venv && test/python/venv/bin/pip install -q --disable-pip-version-check $(PYARROW) \
	  || { rm -rf test/python/venv; echo "no Python with pyarrow: the test that reads the lake with it is skipped"; }; }
	cd test/clients && npm install --no-audit --no-fund # not ci: a client names optional packages that not every registry has

race: ## Go tests under the race detector
	$(GO) test -race -short ./...

bench: build ## hot-path benchmarks, then ingest and decide against this machine's own limits
	$(GO) test -run '^$$' -bench . -benchmem ./eventlog/... ./engine/... ./collect/... ./identity ./profile ./condition ./decide
	$(BIN) bench ingest
	$(BIN) bench decide

FUZZTIME ?= 60s
fuzz: ## fuzz every decoder for FUZZTIME (60s) each
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime=10x $$p || exit 1; \
	  done; done

clean: ## remove what was built
	rm -rf bin console/dist/assets console/dist/index.html
