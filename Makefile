# Builds build/sse-relay and build/sse-publish, runs, tests and installs them: see `make help`.
# The rules for tests, fuzzers, lint and benchmark are in tests/tests.mk.

CC      ?= cc
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0
DATE    := 2026-11-25

# SANITIZE=address,undefined or SANITIZE=thread builds into a folder of its own, beside the plain build.
SANITIZE ?=
comma := ,
BUILD := build$(if $(SANITIZE),/sanitize-$(subst $(comma),-,$(SANITIZE)))

OPT    ?= -O2 -g
WARN   := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
WERROR ?=

# V=1 shows whole commands instead of one short line each.
V ?=
Q    := $(if $(V),,@)
say   = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

# A run of `make run` or `make test` uses every core unless told how many.
NPROC := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
SUBMAKE = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(NPROC))

PKGS := 'libuv >= 1.44' 'hiredis >= 0.14' jansson

# llhttp has pkg-config data in most distributions; Debian 12 ships its C sources inside node-llhttp.
LLHTTP_PC := $(shell for n in libllhttp llhttp; do pkg-config --exists $$n 2>/dev/null && echo $$n && break; done)
ifeq ($(LLHTTP_PC),)
LLHTTP_DIR    ?= /usr/share/llhttp
LLHTTP_CFLAGS := -I/usr/share/include/llhttp
LLHTTP_OBJ    := $(patsubst %,$(BUILD)/llhttp/%.o,llhttp http api)
endif

# What the command line needs beyond that; the relay is linked without it.
PUBLISH_PKGS := 'libcurl >= 7.74'

# Headers of others are system headers: our warnings are not about them.
PKG_CFLAGS := $(patsubst -I%,-isystem %, \
	$(shell pkg-config --cflags $(PKGS) $(PUBLISH_PKGS) $(LLHTTP_PC) 2>/dev/null) $(LLHTTP_CFLAGS))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) $(LLHTTP_PC) 2>/dev/null)
PUBLISH_LIBS := $(shell pkg-config --libs $(PUBLISH_PKGS) 2>/dev/null)

SAN := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_CPPFLAGS := -D_GNU_SOURCE -DSSE_VERSION='"$(VERSION)"' -DSSE_DATE='"$(DATE)"' -I. -I$(BUILD) $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS   := -std=c11 $(OPT) $(WARN) $(WERROR) $(SAN) -pthread -MMD -MP $(CFLAGS)
ALL_LDFLAGS  := $(SAN) -pthread $(LDFLAGS)
LIBS := $(PKG_LIBS) -lm

# Everything but the mains is one archive each, so that the tests link what the programs link.
RELAY_SRC   := $(filter-out relay/main.c,$(wildcard relay/*.c relay/*/*.c))
PUBLISH_SRC := $(filter-out publisher-cli/main.c,$(wildcard publisher-cli/*.c publisher-cli/*/*.c))
ASSETS      := $(filter-out %.md,$(wildcard relay/admin/console/*)) relay/wire/publish.lua
obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

# What is installed beneath share/. The programs write it themselves, from their tables of options.
SHARE := man/man8/sse-relay.8 man/man1/sse-publish.1 $(foreach program,sse-relay sse-publish, \
	bash-completion/completions/$(program) zsh/site-functions/_$(program) fish/vendor_completions.d/$(program).fish)

.PHONY: all
all: $(BUILD)/sse-relay $(BUILD)/sse-publish $(SHARE:%=$(BUILD)/share/%) ## build both programs, their manuals and completions (the default)

$(BUILD)/sse-relay: $(BUILD)/relay/main.o $(BUILD)/librelay.a
$(BUILD)/sse-publish: $(BUILD)/publisher-cli/main.o $(BUILD)/libpublish.a $(BUILD)/librelay.a
$(BUILD)/sse-publish: private LIBS += $(PUBLISH_LIBS)
$(BUILD)/sse-relay $(BUILD)/sse-publish:
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

generate = @mkdir -p $(@D) && $(if $(V),,printf '  %-8s %s\n' WRITE '$@' &&) $< --generate $(1) > $@.tmp && mv $@.tmp $@
$(BUILD)/share/man/man1/%.1: $(BUILD)/%
	$(call generate,man)
$(BUILD)/share/man/man8/%.8: $(BUILD)/%
	$(call generate,man)
$(BUILD)/share/bash-completion/completions/%: $(BUILD)/%
	$(call generate,bash)
$(BUILD)/share/zsh/site-functions/_%: $(BUILD)/%
	$(call generate,zsh)
$(BUILD)/share/fish/vendor_completions.d/%.fish: $(BUILD)/%
	$(call generate,fish)

$(BUILD)/librelay.a: $(call obj,$(RELAY_SRC)) $(LLHTTP_OBJ) $(BUILD)/assets.o $(BUILD)/sources
$(BUILD)/libpublish.a: $(call obj,$(PUBLISH_SRC)) $(BUILD)/sources
$(BUILD)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/llhttp/%.o: $(LLHTTP_DIR)/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -w -c -o $@ $<

# The console's files and the publish script become byte arrays in the binaries.
$(BUILD)/assets.c: $(ASSETS) relay/admin/embed.sh $(BUILD)/sources
	$(call say,EMBED,$@)
	$(Q)sh relay/admin/embed.sh $(ASSETS) > $@.tmp && mv $@.tmp $@
$(BUILD)/assets.o: $(BUILD)/assets.c $(BUILD)/flags
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# Stamps, touched when what they hold changes: other flags recompile everything, and a file that came
# or went rebuilds the archives.
$(BUILD)/flags: stamp = $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(LIBS)
$(BUILD)/sources: stamp = $(RELAY_SRC) $(PUBLISH_SRC) $(ASSETS)
$(BUILD)/flags $(BUILD)/sources $(BUILD)/test-sources: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(stamp))' | cmp -s - $@ || echo '$(subst ','\'',$(stamp))' > $@
$(BUILD)/flags: | found
.PHONY: FORCE found
found:
	@pkg-config --print-errors --exists $(PKGS) $(PUBLISH_PKGS) && { [ -n "$(LLHTTP_PC)" ] || [ -e "$(LLHTTP_DIR)/llhttp.c" ]; } || \
		{ echo "A library is missing or too old: \`make deps\` installs them." >&2; exit 1; }

-include $(shell find $(BUILD) -type f -name '*.d' -not -path '$(BUILD)/sanitize-*' 2>/dev/null)

.PHONY: deps deps-test deps-bench
deps: ## install what building and running need
	@sh deploy/deps.sh build
deps-test: ## install what the tests need beyond that
	@sh deploy/deps.sh build test
deps-bench: ## install the peers that the benchmark measures beside the relay
	@sh deploy/deps.sh build test bench

.PHONY: run
RUN_ARGS ?=
run: ## build and start a relay with a private Redis and a demo; RUN_ARGS= adds options; Ctrl-C ends it
	@$(SUBMAKE) deps
	@$(SUBMAKE) all
	@exec $(BUILD)/sse-relay --embedded-redis --demo --allow-anonymous-publish --drain 0s --drain-grace 0s $(RUN_ARGS)

.PHONY: docs
docs: $(BUILD)/sse-relay ## write relay/config/OPTIONS.md from the table of options, and the chart's values from their comments
	$(Q)$< --generate markdown > $(BUILD)/OPTIONS.md && mv $(BUILD)/OPTIONS.md relay/config/OPTIONS.md
	$(Q)$(PYTHON) deploy/helm/table.py

.PHONY: install uninstall
install: all ## install programs, manuals and completions into $(DESTDIR)$(PREFIX)
	install -d '$(DESTDIR)$(PREFIX)/bin' $(patsubst %/,'$(DESTDIR)$(PREFIX)/share/%',$(sort $(dir $(SHARE))))
	install -m 755 $(BUILD)/sse-relay $(BUILD)/sse-publish '$(DESTDIR)$(PREFIX)/bin'
	for file in $(SHARE); do install -m 644 "$(BUILD)/share/$$file" "$(DESTDIR)$(PREFIX)/share/$$file" || exit 1; done
uninstall: ## remove what install put there
	rm -f '$(DESTDIR)$(PREFIX)/bin/sse-relay' '$(DESTDIR)$(PREFIX)/bin/sse-publish' $(SHARE:%='$(DESTDIR)$(PREFIX)/share/%')

# Its files carry the time of the last commit, so the same commit gives the same image, to the byte.
.PHONY: image
IMAGE      ?= sse-relay
IMAGE_ARGS ?=
image: ## build the container image with docker; IMAGE= names it, IMAGE_ARGS= are for docker build (deploy/containers.md)
	docker build -f deploy/Dockerfile -t '$(IMAGE)' --build-arg VERSION='$(VERSION)' --build-arg REVISION="$$(git rev-parse HEAD)" \
		--build-arg SOURCE_DATE_EPOCH="$$(git log -1 --format=%ct)" $(IMAGE_ARGS) .

.PHONY: deb
deb: ## build the Debian package, build/sse-relay_VERSION_ARCH.deb
	@sh deploy/deps.sh build deb
	@sh deploy/deb.sh build

.PHONY: clean help
clean: ## remove everything built
	rm -rf build
help: ## show this list
	@echo 'Targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(filter-out %.d,$(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'
	@echo 'Settings: CC= CFLAGS= LDFLAGS= WERROR=-Werror V=1 SANITIZE=address,undefined or SANITIZE=thread'
	@echo '          PREFIX=/usr/local DESTDIR= (install), FUZZ_SECONDS=30 (fuzz), RUN_ARGS= (run)'

include tests/tests.mk
