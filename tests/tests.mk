# Tests, fuzzers, lint and benchmark; included by the Makefile. A new test needs no line here:
# tests/unit and tests/loop   every test_*.c is a cmocka program; the other files there are linked to each
# tests/fuzz                  every fuzz_NAME.c is a fuzzer, with its corpus in corpus/NAME/
# tests/simulation                    one program, simulate; its test_*.py run it
# tests/e2e, browser, deploy, bench   every test_*.py is run by pytest, and so is tests/lint

# A sanitizer sees what our C does. It is not given what it could find nothing in: Python that judges Python, the script
# that runs in Redis, shells that read what the build wrote; and ThreadSanitizer no program that has one thread, as
# sse-publish has, nor a part of the relay whose every way through the threads another test goes as well. ONLY= asks for
# a test whatever it is.
is_thread := $(if $(ONLY),,$(findstring thread,$(SANITIZE)))
UNSANITIZED := $(if $(ONLY),,checker publish_script publish_usage $(if $(is_thread),publish_bulk publish_lost publish_words \
	history_topics doctor tail config cors health_check bad_input))
STARTS_THREADS := uv_thread_create|worker_start|bus_world

TEST_SRC  := $(sort $(shell find tests/unit tests/loop -name 'test_*.c' 2>/dev/null))
ifneq ($(is_thread),)
TEST_SRC  := $(shell grep -lE '$(STARTS_THREADS)' $(TEST_SRC))
endif
AID_SRC   := $(sort $(shell find tests/unit tests/loop -name '*.c' ! -name 'test_*.c' 2>/dev/null))
FUZZ_SRC  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
TESTS     := $(TEST_SRC:%.c=$(BUILD)/%)
REPLAYS   := $(if $(is_thread),,$(FUZZ_SRC:tests/fuzz/fuzz_%.c=$(BUILD)/tests/fuzz/replay_%))
FUZZERS   := $(FUZZ_SRC:%.c=$(BUILD)/%)
SIM_SRC   := $(sort $(wildcard tests/simulation/*.c))
SIMULATE  := $(BUILD)/tests/simulation/simulate
TEST_LIBS := $(BUILD)/libpublish.a $(BUILD)/librelay.a
CMOCKA_LIBS := $(shell pkg-config --libs cmocka 2>/dev/null)
$(TESTS): OWN_LIBS = $(CMOCKA_LIBS)

# Figures and a browser tell nothing more about a sanitized relay than the e2e tests do, and take long.
# In this order: the benchmark's load leaves ports in TIME_WAIT, which others would be refused.
PYTEST_DIRS  := $(if $(SANITIZE),tests/e2e $(if $(is_thread),,tests/simulation),tests/lint tests/simulation tests/e2e tests/deploy tests/browser tests/bench)
PYTEST_FILES := $(filter-out $(if $(SANITIZE),$(UNSANITIZED:%=tests/e2e/test_%.py)), \
	$(foreach dir,$(PYTEST_DIRS),$(sort $(wildcard $(dir)/test_*.py))))

# The interpreter that has what the tests import, which need not be the first in PATH; else one that has pytest, and what
# the other modules are needed for is skipped there.
PYTHON := $(shell for modules in pytest,h2,redis,yaml pytest; do for p in python3 /usr/bin/python3; do \
	$$p -c "import $$modules" 2>/dev/null && echo $$p && exit; done; done; echo python3)

# Most tests wait most of the time: for timers, or for what another process does.
JOBS ?= $(shell expr 2 '*' $(NPROC))

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
BALANCER_TESTS := $(filter tests/deploy/test_balancers% tests/deploy/test_behind%,$(PYTEST_FILES))
BALANCER_TOOLS := $(if $(if $(ONLY),$(findstring $(ONLY),$(BALANCER_TESTS)),$(BALANCER_TESTS)),build/tools/balancers-made)
build/tools/balancers-made: tests/deploy/balancer-tools.sh tests/deploy/envoy.txt
	@sh $< $(@D) && { [ -e $(@D)/envoy.missing ] || touch $@; }

# The client libraries of other languages that the end-to-end tests read streams with.
LIBRARY_TEST := $(findstring tests/e2e/test_libraries.py,$(PYTEST_FILES))
CLIENT_TOOLS := $(if $(if $(ONLY),$(findstring $(ONLY),$(LIBRARY_TEST)),$(LIBRARY_TEST)),build/tools/clients-made)
build/tools/clients-made: tests/e2e/clients/tools.sh $(wildcard tests/e2e/clients/*.txt tests/e2e/clients/*/*)
	@sh $< $(@D)/clients && touch $@

# The conformance test of HTTP/2, where there is a Go.
H2SPEC_TEST := $(findstring tests/e2e/test_http2_spec.py,$(PYTEST_FILES))
H2SPEC := $(if $(if $(ONLY),$(findstring $(ONLY),$(H2SPEC_TEST)),$(H2SPEC_TEST)),build/tools/h2spec-made)
build/tools/h2spec-made: tests/e2e/h2spec.sh
	@sh $< $(@D) && { [ -e $(@D)/h2spec.missing ] || touch $@; }

NODE_MODULES := $(patsubst %-lock.json,%.stamp,$(wildcard tests/*/package-lock.json))
test-run: all test-programs $(GO_TOOLS) $(BALANCER_TOOLS) $(CLIENT_TOOLS) $(H2SPEC) $(NODE_MODULES:tests/%/package.stamp=tests/%/node_modules/.package-lock.json)
	@$(PYTHON) tests/run.py --jobs $(JOBS) --build '$(BUILD)' --sanitize '$(SANITIZE)' --only '$(ONLY)' $(if $(AGAIN),--again) \
		$(TESTS) $(REPLAYS) $(PYTEST_FILES)
test-programs: $(TESTS) $(REPLAYS) $(SIMULATE)

$(call obj,$(TEST_SRC) $(AID_SRC)): | found-for-tests
.PHONY: found-for-tests
found-for-tests:
	@pkg-config --exists cmocka || { echo "cmocka is missing: \`make deps-test\` installs what the tests need." >&2; exit 1; }

$(BUILD)/libaid.a: $(call obj,$(AID_SRC)) $(BUILD)/test-sources
$(BUILD)/test-sources: stamp = $(AID_SRC) $(SIM_SRC)
CMOCKA_CFLAGS := $(shell pkg-config --cflags cmocka 2>/dev/null)
$(BUILD)/tests/%.o: OWN_CPPFLAGS = $(CMOCKA_CFLAGS)
$(TESTS): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libaid.a $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(OWN_LIBS) $(LIBS)
$(REPLAYS): $(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/corpus_main.o $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(OWN_LIBS) $(LIBS)
$(SIMULATE): $(call obj,$(SIM_SRC)) $(BUILD)/librelay.a $(BUILD)/test-sources
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter-out $(BUILD)/test-sources,$^) $(LIBS)
# Objects are kept, or every `make test` would compile them again.
.SECONDARY:

%/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: \`make deps-test\` installs what the tests need." >&2; exit 1; }
	$(Q)cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

# One run of everything at once, for as long as one likes; a failing one is begun again by its seed.
.PHONY: chaos
SECONDS ?= 600
SEED    ?=
chaos: all $(NODE_MODULES:tests/%/package.stamp=tests/%/node_modules/.package-lock.json) ## kill, stall and cut all there is for SECONDS, and check that no event is lost; SEED= FAILOVERS=1
	@BUILD='$(BUILD)' $(PYTHON) tests/e2e/chaos.py --seconds $(SECONDS) $(if $(SEED),--seed '$(SEED)') $(if $(FAILOVERS),--failovers)

# The relay's core in simulated worlds; a failure is told with its seed, and small.
.PHONY: simulate
simulate: SECONDS = 60
simulate: $(SIMULATE) ## run the relay's core in simulated worlds for SECONDS, or WORLDS of them; SEED= begins with that one
	@$(SIMULATE) $(if $(WORLDS),--worlds '$(WORLDS)',--seconds '$(SECONDS)') $(if $(SEED),--seed '$(SEED)')

.PHONY: simulate-mutations
simulate-mutations: ## put known bugs into the core, one at a time, and tell how long `make simulate` takes to find each
	@$(PYTHON) tests/simulation/mutations.py

# The fuzzers and all that they reach are compiled for themselves, by clang, into build/fuzz.
.PHONY: fuzz fuzzers
FUZZ_SECONDS ?= 30
CLANG        ?= clang
FUZZ_MAKE = $(SUBMAKE) CC='$(CLANG)' BUILD=build/fuzz SANITIZE=fuzzer-no-link,address,undefined
fuzz: ## run every fuzzer for FUZZ_SECONDS; what they find goes to build/fuzz, nothing into the tree
	@$(SUBMAKE) deps-test
	@$(FUZZ_MAKE) fuzzers
	@$(PYTHON) tests/run.py --jobs $(NPROC) --build build/fuzz --fuzz $(FUZZ_SECONDS) $(if $(FUZZ_SEED),--fuzz-seed $(FUZZ_SEED)) --only '$(ONLY)' $(FUZZ_SRC:%.c=build/fuzz/%)
fuzzers: $(FUZZERS)
$(FUZZERS): $(BUILD)/%: $(BUILD)/%.o $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(OWN_LIBS) $(LIBS)

.PHONY: lint format
lint: ## check layers, format, file lengths and shell scripts
	@$(PYTHON) tests/lint/lint.py
format: ## put all C files into the format that lint asks for
	@find relay publisher-cli tests -name node_modules -prune -o -name '*.[ch]' -print | xargs clang-format -i

-include tests/bench/bench.mk
