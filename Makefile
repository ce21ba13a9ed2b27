# What there is to do here; `make demo` and `make test` are enough alone on a
# fresh Debian 12 as root, with Go, git and make.

# The version of a release; without it Go's own knowledge of the commit is used.
RELEASE ?=
LAB := bin/lab
# One line of a shell that installs, on Debian, the packages of what is missing.
NEED := e2e/tools/need
ENGINE := dockerd:docker.io docker:docker.io ip:iproute2 iptables:iptables mmdebstrap:mmdebstrap \
	/etc/ssl/certs/ca-certificates.crt:ca-certificates
COMPILER := gcc:gcc /usr/include/stdlib.h:libc6-dev
PAGES := npm:npm $(COMPILER)

.PHONY: help build demo lab test bench lint job-image clean FORCE

help:
	@echo 'make demo       test the example recipe on this machine, without Gitea; KEEP=1 holds the app'
	@echo 'make lab        the same with a real Gitea, its pages, and Traefik; ONCE=1 ends with the job'
	@echo 'make test       all tests'
	@echo 'make bench      measure cc-ci beside the official runner; BENCHFLAGS=-quick, -markdown, -json'
	@echo 'make lint       vet, gofmt, golangci-lint'
	@echo 'make build      bin/cc-ci'
	@echo 'make job-image  make the image that jobs run in, for the engine at DOCKER_HOST'
	@echo 'make clean      remove bin and .cache'

build: bin/cc-ci

# Go knows what to rebuild. The lab's program is not run by `go run`, which
# passes no exit code on.
bin/lab: FORCE
	@go build -o $@ ./e2e/cmd/lab

bin/cc-ci: FORCE
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w $(if $(RELEASE),-X main.release=$(RELEASE))' -o $@ ./cmd/cc-ci

demo:
	@$(NEED) $(ENGINE)
	@$(MAKE) --no-print-directory build $(LAB)
	@$(LAB) demo $(if $(KEEP),-- --keep)

lab:
	@$(NEED) $(ENGINE) $(PAGES)
	@$(MAKE) --no-print-directory build $(LAB)
	@$(LAB) show $(if $(ONCE),--once)

# The tests run where there is no way out, so what they import is fetched before.
# One package at a time: they share an engine, and count what is on it.
test:
	@$(NEED) $(ENGINE) $(PAGES) chromium:chromium git:git
	@$(MAKE) --no-print-directory build $(LAB)
	@go mod download
	@$(LAB) exec -- go test -race -count=1 -p 1 $(TESTFLAGS) $(or $(PACKAGES),$$(go list ./... | grep -v /e2e/laptop))
	@$(if $(PACKAGES),,$(LAB) --parts plain exec -- go test -race -count=1 $(TESTFLAGS) ./e2e/laptop)

# The table goes to the standard output; -markdown writes it into README.md, too.
bench:
	@$(NEED) $(ENGINE) $(PAGES) git:git
	@$(MAKE) --no-print-directory build $(LAB)
	@go build -o bin/bench ./e2e/cmd/bench
	@$(LAB) exec -- bin/bench $(BENCHFLAGS)

lint: $(LAB)
	@go vet ./...
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not gofmt's:"; echo "$$out"; exit 1; }
	@"$$($(LAB) tool lint)" run ./...

job-image: $(LAB)
	@$(NEED) mmdebstrap:mmdebstrap
	@$(LAB) image job

clean: $(LAB)
	@$(LAB) down
	rm -rf bin .cache
