# Every task in one word. `make help` lists them.
# Both `make run` and `make test` set up a fresh Debian or Ubuntu machine by themselves.

.DEFAULT_GOAL := build
.PHONY: help build run test kill faults bench fuzz lint format screenshots clean

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

build: ## set up and build build/nnstudio
	@scripts/bootstrap build

run: ## set everything up and open the studio
	@scripts/bootstrap run
	@scripts/run

test: ## all tests; ONE=name runs one, SANITIZE=1 the C tests under address and undefined, =address or =thread the server
	@scripts/bootstrap test
	@scripts/test

kill: ## processes killed at random moments lose nothing; ROUNDS=200, SEED=1
	@scripts/bootstrap test
	@ONE=kill NNSTUDIO_KILL_ROUNDS=$${ROUNDS:-200} NNSTUDIO_KILL_SEED=$${SEED:-1} scripts/test

faults: ## one call after the other fails: allocations, writes, forks; FAULTS=40 moments of each
	@scripts/bootstrap test
	@ONE=injection NNSTUDIO_FAULTS=$${FAULTS:-40} scripts/test

bench: ## speed beside the frameworks in Python; ONE=conv convolutions, ONE=kernels our kernels, ONE=page the page, ONE=server a crowd, ONE=serving a model, ONE=ranks several processes
	@scripts/bootstrap bench
	@scripts/bench

fuzz: ## what breaks a reader? libFuzzer, SECONDS_EACH=60 for each; TARGETS="pth csv"
	@scripts/bootstrap test
	@scripts/fuzz $(TARGETS)

lint: ## clang, clang-tidy, the project rules, tsc
	@scripts/bootstrap test
	@scripts/lint

format: ## lay out all C and TypeScript (100 columns); tables laid out by hand are marked in the source
	@scripts/bootstrap test
	@git ls-files '*.c' '*.h' | xargs clang-format -i
	@cd web && npm run --silent layout -- --write --log-level warn

screenshots: ## pictures of every tab into build/screenshots; UPDATE=1: the README's, too
	@scripts/bootstrap test
	@ONE=screenshots scripts/test

clean: ## forget what was built (environments stay)
	rm -rf build build-* web/dist
