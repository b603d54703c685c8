# Builds build/sse-relay and build/sse-publish, runs them, tests them.
# `make help` lists the targets. Everything a target needs is installed by `make deps` (building and
# running) and `make deps-test` (testing on top of that).

CC      ?= cc
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0

# SANITIZE=address,undefined or SANITIZE=thread builds into a folder of its own, beside the plain build.
SANITIZE ?=
comma := ,
BUILD := build$(if $(SANITIZE),/sanitize-$(subst $(comma),-,$(SANITIZE)))

OPT    ?= -O2 -g
WARN   := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
WERROR ?=

# llhttp has pkg-config data in most distributions; Debian 12 ships its C sources inside node-llhttp.
LLHTTP_PC := $(shell for n in libllhttp llhttp; do pkg-config --exists $$n 2>/dev/null && echo $$n && break; done)
ifeq ($(LLHTTP_PC),)
LLHTTP_DIR    ?= /usr/share/llhttp
LLHTTP_CFLAGS := -isystem /usr/share/include/llhttp
LLHTTP_OBJ    := $(patsubst %,$(BUILD)/llhttp/%.o,llhttp http api)
else
LLHTTP_CFLAGS := $(shell pkg-config --cflags $(LLHTTP_PC))
LLHTTP_LIBS   := $(shell pkg-config --libs $(LLHTTP_PC))
endif

PKGS := libuv hiredis jansson
SAN  := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer)
ALL_CPPFLAGS := -D_GNU_SOURCE -DSSE_VERSION='"$(VERSION)"' -I. -I$(BUILD) \
	$(shell pkg-config --cflags $(PKGS) 2>/dev/null) $(LLHTTP_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS   := -std=c11 $(OPT) $(WARN) $(SAN) -pthread -MMD -MP $(CFLAGS)
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) $(LLHTTP_LIBS) -pthread -lm
ALL_LDFLAGS := $(SAN) $(LDFLAGS)

# Everything but the mains is one archive each, so that the tests link what the programs link.
RELAY_SRC   := $(filter-out relay/main.c,$(wildcard relay/*.c relay/*/*.c))
PUBLISH_SRC := $(filter-out publisher-cli/main.c,$(wildcard publisher-cli/*.c))
ASSETS      := $(wildcard relay/admin/console/*)
obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

.PHONY: all
all: $(BUILD)/sse-relay $(BUILD)/sse-publish

$(BUILD)/sse-relay: $(BUILD)/relay/main.o $(BUILD)/librelay.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/sse-publish: $(BUILD)/publisher-cli/main.o $(BUILD)/libpublish.a $(BUILD)/librelay.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/librelay.a: $(call obj,$(RELAY_SRC)) $(LLHTTP_OBJ) $(BUILD)/assets.o
$(BUILD)/libpublish.a: $(call obj,$(PUBLISH_SRC))
$(BUILD)/%.a:
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/llhttp/%.o: $(LLHTTP_DIR)/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) -std=c11 $(OPT) $(SAN) -w -c -o $@ $<

# The console's files become byte arrays in the binary.
$(BUILD)/assets.c: $(ASSETS) relay/admin/embed.sh
	@mkdir -p $(@D)
	sh relay/admin/embed.sh $(ASSETS) > $@.tmp && mv $@.tmp $@
$(BUILD)/assets.o: $(BUILD)/assets.c
	$(CC) $(ALL_CPPFLAGS) -std=c11 $(OPT) -c -o $@ $<

-include $(shell find $(BUILD) -name '*.d' -not -path '*/sanitize-*/*' 2>/dev/null)
-include tests/tests.mk

.PHONY: clean
clean:
	rm -rf build
