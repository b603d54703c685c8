# The benchmark: a load generator, the floor it measures against, and the run that puts them, Nchan
# and the relay side by side. Included by tests/tests.mk; how to read it: tests/bench/README.md.

BENCH ?=
BENCH_LOAD_SRC := $(addprefix tests/bench/,sseload.c receiver.c publisher.c stream.c payload.c \
	histogram.c net.c usage.c transport.c h2_client.c)
BENCH_PROGRAMS := $(BUILD)/tests/bench/sseload $(BUILD)/tests/bench/floor $(BUILD)/tests/bench/logread

$(BUILD)/tests/bench/sseload: $(call obj,$(BENCH_LOAD_SRC))
$(BUILD)/tests/bench/floor: $(call obj,tests/bench/floor.c tests/bench/net.c)
$(BUILD)/tests/bench/logread: $(call obj,tests/bench/logread.c)
$(BENCH_PROGRAMS):
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

test-programs: $(BENCH_PROGRAMS)

.PHONY: bench
bench: all $(BENCH_PROGRAMS) ## measure the relay, Nchan and a bare loop side by side; BENCH="--quick" is shorter
	@$(PYTHON) tests/bench/run.py --build '$(BUILD)' $(BENCH)

.PHONY: bench-tls
bench-tls: all $(BENCH_PROGRAMS) ## the same by TLS and over HTTP/2, beside a bare loop of SSL_write
	@$(PYTHON) tests/bench/run.py --build '$(BUILD)' --tls $(BENCH)

.PHONY: bench-durable
bench-durable: all $(BENCH_PROGRAMS) ## measure durable topics: publishing, replay, a killed connection, a storm
	@$(PYTHON) tests/bench/durable.py --build '$(BUILD)' $(BENCH)

.PHONY: bench-publish
bench-publish: all ## measure sse-publish with many events beside redis-benchmark
	@$(PYTHON) tests/bench/publish.py --build '$(BUILD)' $(BENCH)

.PHONY: bench-capacity
bench-capacity: all $(BENCH_PROGRAMS) ## measure what deploy/capacity.md says: memory and CPU of connections, deliveries, Redis
	@$(PYTHON) tests/bench/capacity.py --build '$(BUILD)' $(BENCH)
