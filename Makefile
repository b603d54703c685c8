# Builds build/sse-relay and build/sse-publish, runs, tests and installs them: see `make help`.
# The rules for tests, fuzzers, lint and benchmark are in tests/tests.mk.
#
# For GNU make 3.81, which is what macOS has: no `private`, no `!=`, no `&:`, no $(file).

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
# clang 19 calls an enum's constant among doubles a conversion, which is how constants are written here. macOS calls it cc.
WARN   += $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),-Wno-enum-float-conversion)
WERROR ?=

# V=1 shows whole commands instead of one short line each.
V ?=
Q    := $(if $(V),,@)
say   = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

# A run of `make run` or `make test` uses every core unless told how many.
NPROC := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
SUBMAKE = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(NPROC))

# Where Homebrew keeps headers that have no pkg-config data, such as uthash's: no compiler of macOS looks there by itself.
BREW_PREFIX ?= $(shell if [ "$$(uname)" = Darwin ]; then brew --prefix; fi 2>/dev/null)
# Its OpenSSL may stand aside, lest it be taken for the one of macOS.
PKG_CONFIG := $(BREW_PREFIX:%=PKG_CONFIG_PATH=%/opt/openssl@3/lib/pkgconfig:$$PKG_CONFIG_PATH) pkg-config

PKGS := 'libuv >= 1.44' 'hiredis >= 0.14' jansson 'libnghttp2 >= 1.52' 'libssl >= 3.0' 'libcrypto >= 3.0' 'libcurl >= 7.74'

# llhttp has pkg-config data in most distributions; Debian 12 ships its C sources inside node-llhttp.
LLHTTP_PC := $(shell for n in libllhttp llhttp; do pkg-config --exists $$n 2>/dev/null && echo $$n && break; done)
ifeq ($(LLHTTP_PC),)
LLHTTP_DIR    ?= /usr/share/llhttp
LLHTTP_CFLAGS := -I/usr/share/include/llhttp
LLHTTP_OBJ    := $(patsubst %,$(BUILD)/llhttp/%.o,llhttp http api)
endif

# Headers of others are system headers: our warnings are not about them.
PKG_CFLAGS := $(patsubst -I%,-isystem %, \
	$(shell $(PKG_CONFIG) --cflags $(PKGS) $(LLHTTP_PC) 2>/dev/null) $(LLHTTP_CFLAGS)) \
	$(BREW_PREFIX:%=-isystem %/include)
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) $(LLHTTP_PC) 2>/dev/null)

SAN := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_CPPFLAGS := -D_GNU_SOURCE -DSSE_VERSION='"$(VERSION)"' -DSSE_DATE='"$(DATE)"' -I. -I$(BUILD) $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS   := -std=c11 $(OPT) $(WARN) $(WERROR) $(SAN) -pthread -MMD -MP $(CFLAGS)
ALL_LDFLAGS  := $(SAN) -pthread $(LDFLAGS)
LIBS := $(PKG_LIBS) -lm

# What a rule sets for its target alone: make hands such a variable on to all that the target is made from, so it is in no
# stamp (below), and those who compile or link something else do not look at it.
OWN_CPPFLAGS :=
OWN_LIBS     :=

# Everything but the mains is one archive each, so that the tests link what the programs link.
RELAY_SRC   := $(filter-out relay/main.c,$(wildcard relay/*.c relay/*/*.c))
PUBLISH_SRC := $(filter-out publisher-cli/main.c,$(wildcard publisher-cli/*.c publisher-cli/*/*.c))
ASSETS      := $(filter-out %.md,$(wildcard relay/admin/console/*)) relay/wire/publish.lua relay/wire/delete.lua relay/wire/kick.lua
obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

# What is installed beneath share/. The programs write it themselves, from their tables of options.
SHARE := man/man8/sse-relay.8 man/man1/sse-publish.1 $(foreach program,sse-relay sse-publish, \
	bash-completion/completions/$(program) zsh/site-functions/_$(program) fish/vendor_completions.d/$(program).fish)

# For publishers in other languages: the scripts that they send to Redis, and the page that says how.
SHARE += sse-relay/publish.lua sse-relay/delete.lua sse-relay/kick.lua doc/sse-relay/contract.md

.PHONY: all
all: $(BUILD)/sse-relay $(BUILD)/sse-publish $(SHARE:%=$(BUILD)/share/%) ## build both programs, their manuals and completions (the default)

$(BUILD)/sse-relay: $(BUILD)/relay/main.o $(BUILD)/librelay.a
$(BUILD)/sse-publish: $(BUILD)/publisher-cli/main.o $(BUILD)/libpublish.a $(BUILD)/librelay.a
$(BUILD)/sse-relay $(BUILD)/sse-publish:
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(OWN_LIBS) $(LIBS)

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

copy = @mkdir -p $(@D) && $(if $(V),,printf '  %-8s %s\n' COPY '$@' &&) cp $< $@
$(BUILD)/share/sse-relay/%.lua: relay/wire/%.lua
	$(copy)
$(BUILD)/share/doc/sse-relay/contract.md: relay/wire/README.md
	$(copy)

$(BUILD)/librelay.a: $(call obj,$(RELAY_SRC)) $(LLHTTP_OBJ) $(BUILD)/assets.o $(BUILD)/sources
$(BUILD)/libpublish.a: $(call obj,$(PUBLISH_SRC)) $(BUILD)/sources
$(BUILD)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(OWN_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

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
	@$(PKG_CONFIG) --print-errors --exists $(PKGS) && { [ -n "$(LLHTTP_PC)" ] || [ -e "$(LLHTTP_DIR)/llhttp.c" ]; } || \
		{ echo "A library is missing or too old: \`make deps\` installs them." >&2; exit 1; }

-include $(shell find $(BUILD) -type f -name '*.d' -not -path '$(BUILD)/sanitize-*' 2>/dev/null)

.PHONY: deps deps-test deps-bench
deps: ## install what building and running need
	@sh deploy/deps.sh build
deps-test: ## install what the tests need beyond that
	@sh deploy/deps.sh build test
deps-bench: ## install the peers that the benchmark measures beside the relay
	@sh deploy/deps.sh build test bench

# Asked before anything else, since installing and building may take minutes.
port_taken = $(shell sh deploy/port-taken.sh $(RUN_ARGS))
.PHONY: run
RUN_ARGS ?=
TLS      ?=
# Whoever tries tokens wants them asked for.
RUN_PUBLISH = $(if $(findstring --token-,$(RUN_ARGS)),,--allow-anonymous-publish)
# With TLS=1, by a certificate that is made for this machine; RUN_ARGS may name other addresses.
RUN_TLS = $(if $(findstring --listen,$(RUN_ARGS)),,--listen https://127.0.0.1:8080) --tls-cert build/tls/localhost.pem --tls-key build/tls/localhost.pem
run: ## build and start a relay with a private Redis and a demo; TLS=1: by https; RUN_ARGS= adds options; Ctrl-C ends it
	$(if $(port_taken),$(error another program listens on port $(port_taken) already. Stop it, or choose another port: make run$(if $(TLS), TLS=1) RUN_ARGS='--listen $(if $(TLS),https://)127.0.0.1:$(if $(filter 8090,$(port_taken)),8091,8090)'))
	@$(SUBMAKE) deps
	@$(SUBMAKE) all
	$(if $(TLS),@sh deploy/compose/certificate.sh build/tls)
	$(if $(TLS),@echo 'The certificate is signed by itself: a browser asks whether to trust it. For curl: --cacert build/tls/localhost.crt')
	@exec $(BUILD)/sse-relay --embedded-redis --demo $(RUN_PUBLISH) --drain 0s --drain-grace 0s $(if $(TLS),$(RUN_TLS)) $(RUN_ARGS)

.PHONY: docs
docs: $(BUILD)/sse-relay ## write relay/config/OPTIONS.md from the table of options, the chart's values from their comments, kustomize's alerts
	$(Q)$< --generate markdown > $(BUILD)/OPTIONS.md && mv $(BUILD)/OPTIONS.md relay/config/OPTIONS.md
	$(Q)$(PYTHON) deploy/helm/table.py
	$(Q)sh deploy/kustomize/alerts.sh

.PHONY: install uninstall
install: all ## install programs, manuals, completions and the publish script into $(DESTDIR)$(PREFIX)
	install -d '$(DESTDIR)$(PREFIX)/bin' $(patsubst %/,'$(DESTDIR)$(PREFIX)/share/%',$(sort $(dir $(SHARE))))
	install -m 755 $(BUILD)/sse-relay $(BUILD)/sse-publish '$(DESTDIR)$(PREFIX)/bin'
	for file in $(SHARE); do install -m 644 "$(BUILD)/share/$$file" "$(DESTDIR)$(PREFIX)/share/$$file" || exit 1; done
uninstall: ## remove what install put there
	rm -f '$(DESTDIR)$(PREFIX)/bin/sse-relay' '$(DESTDIR)$(PREFIX)/bin/sse-publish' $(SHARE:%='$(DESTDIR)$(PREFIX)/share/%')

# Its files carry the time of the last commit, so the same commit gives the same image, to the byte. Without a tag of its own it
# gets the version's as well, which is the one that chart and kustomize render.
.PHONY: image
IMAGE      ?= sse-relay
IMAGE_ARGS ?=
image: ## build the container image with docker; IMAGE= names it, IMAGE_ARGS= are for docker build (deploy/containers.md)
	docker build -f deploy/Dockerfile -t '$(IMAGE)' $(if $(findstring :,$(notdir $(IMAGE))),,-t '$(IMAGE):$(VERSION)') \
		--build-arg VERSION='$(VERSION)' --build-arg REVISION="$$(git rev-parse HEAD)" \
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
