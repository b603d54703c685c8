# Tests, fuzzers, lint and benchmark; included by the Makefile. A new test needs no line here:
# tests/unit and tests/loop   every test_*.c is a cmocka program; the other files there are linked to each
# tests/fuzz                  every fuzz_NAME.c is a fuzzer, with its corpus in corpus/NAME/
# tests/e2e, browser, deploy, bench   every test_*.py is run by pytest, and so is tests/lint

TEST_SRC  := $(sort $(shell find tests/unit tests/loop -name 'test_*.c' 2>/dev/null))
AID_SRC   := $(sort $(shell find tests/unit tests/loop -name '*.c' ! -name 'test_*.c' 2>/dev/null))
FUZZ_SRC  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
TESTS     := $(TEST_SRC:%.c=$(BUILD)/%)
REPLAYS   := $(FUZZ_SRC:tests/fuzz/fuzz_%.c=$(BUILD)/tests/fuzz/replay_%)
FUZZERS   := $(FUZZ_SRC:%.c=$(BUILD)/%)
TEST_LIBS := $(BUILD)/libpublish.a $(BUILD)/librelay.a
$(TESTS) $(REPLAYS) $(FUZZERS): private LIBS += $(PUBLISH_LIBS)

# Figures and a browser tell nothing more about a sanitized relay than the e2e tests do, and take long.
# In this order: the benchmark's load leaves ports in TIME_WAIT, which others would be refused.
PYTEST_DIRS  := tests/lint tests/e2e $(if $(SANITIZE),,tests/deploy tests/browser tests/bench)
PYTEST_FILES := $(foreach dir,$(PYTEST_DIRS),$(sort $(wildcard $(dir)/test_*.py)))

# The interpreter that has pytest, which need not be the first in PATH.
PYTHON = $(shell for p in python3 /usr/bin/python3; do \
	$$p -c 'import pytest' 2>/dev/null && echo $$p && exit; done; echo python3)

.PHONY: test test-run test-programs
test: ## install what is missing, build, and run all tests; ONLY=text runs those with text in their name
	@$(SUBMAKE) deps-test
	@$(SUBMAKE) test-run

# What renders and validates deploy/helm and deploy/kustomize, made where their test is to run.
KUBERNETES_TEST := $(findstring tests/deploy/test_kubernetes.py,$(PYTEST_FILES))
GO_TOOLS := $(if $(if $(ONLY),$(findstring $(ONLY),$(KUBERNETES_TEST)),$(KUBERNETES_TEST)),build/tools/made)
build/tools/made: tests/deploy/go-tools.sh
	@sh $< $(@D) && { [ -e $(@D)/missing ] || touch $@; }

# Envoy, for the tests of deploy/balancers.
BALANCER_TESTS := $(filter tests/deploy/test_balancers%,$(PYTEST_FILES))
BALANCER_TOOLS := $(if $(if $(ONLY),$(findstring $(ONLY),$(BALANCER_TESTS)),$(BALANCER_TESTS)),build/tools/balancers-made)
build/tools/balancers-made: tests/deploy/balancer-tools.sh tests/deploy/envoy.txt
	@sh $< $(@D) && { [ -e $(@D)/envoy.missing ] || touch $@; }

NODE_MODULES := $(patsubst %-lock.json,%.stamp,$(wildcard tests/*/package-lock.json))
test-run: all test-programs $(GO_TOOLS) $(BALANCER_TOOLS) $(NODE_MODULES:tests/%/package.stamp=tests/%/node_modules/.package-lock.json)
	@$(PYTHON) tests/run.py --jobs $(NPROC) --build '$(BUILD)' --sanitize '$(SANITIZE)' --only '$(ONLY)' \
		$(TESTS) $(REPLAYS) $(PYTEST_FILES)
test-programs: $(TESTS) $(REPLAYS)

$(BUILD)/libaid.a: $(call obj,$(AID_SRC)) $(BUILD)/test-sources
$(BUILD)/test-sources: stamp = $(AID_SRC)
$(BUILD)/tests/%.o: private ALL_CPPFLAGS += $(shell pkg-config --cflags cmocka 2>/dev/null)
$(TESTS): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libaid.a $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) $(shell pkg-config --libs cmocka)
$(REPLAYS): $(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)
# Objects are kept, or every `make test` would compile them again.
.SECONDARY:

%/node_modules/.package-lock.json: %/package-lock.json
	$(Q)cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

# One run of everything at once, for as long as one likes; a failing one is begun again by its seed.
.PHONY: chaos
SECONDS ?= 600
SEED    ?=
chaos: all $(NODE_MODULES:tests/%/package.stamp=tests/%/node_modules/.package-lock.json) ## kill, stall and cut all there is for SECONDS, and check that no event is lost; SEED= FAILOVERS=1
	@BUILD='$(BUILD)' $(PYTHON) tests/e2e/chaos.py --seconds $(SECONDS) $(if $(SEED),--seed '$(SEED)') $(if $(FAILOVERS),--failovers)

# The fuzzers and all that they reach are compiled for themselves, by clang, into build/fuzz.
.PHONY: fuzz fuzzers
FUZZ_SECONDS ?= 30
CLANG        ?= clang
FUZZ_MAKE = $(SUBMAKE) CC='$(CLANG)' BUILD=build/fuzz SANITIZE=fuzzer-no-link,address,undefined
fuzz: ## run every fuzzer for FUZZ_SECONDS; what they find goes to build/fuzz, nothing into the tree
	@$(SUBMAKE) deps-test
	@$(FUZZ_MAKE) fuzzers
	@$(PYTHON) tests/run.py --jobs $(NPROC) --build build/fuzz --fuzz $(FUZZ_SECONDS) --only '$(ONLY)' $(FUZZ_SRC:%.c=build/fuzz/%)
fuzzers: $(FUZZERS)
$(FUZZERS): $(BUILD)/%: $(BUILD)/%.o $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

.PHONY: lint format
lint: ## check layers, format, file lengths and shell scripts
	@$(PYTHON) tests/lint/lint.py
format: ## put all C files into the format that lint asks for
	@find relay publisher-cli tests -name node_modules -prune -o -name '*.[ch]' -print | xargs clang-format -i

-include tests/bench/bench.mk
