"""Well-behaved subscribers who must lose nothing, whatever others do to the relay meanwhile."""

import itertools
import threading

from http2 import Client


class Crowd:
    """Streams over HTTP/1.1, and more on one connection of HTTP/2; a thread publishes numbers to them all the while."""

    def __init__(self, relay, redis, topic, http1=50, http2=50):
        self.redis, self.topic, self.count = redis, topic, 0
        self.streams = [relay.live(topic) for _ in range(http1)]
        self.client = Client(relay.address)
        self.h2_streams = [self.client.live(topic) for _ in range(http2)]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.publish)
        self.thread.start()

    def publish(self):
        for n in itertools.count():
            self.redis.publish(self.topic, str(n))
            self.count = n + 1
            if self.over.wait(0.01) and n >= 50:
                return

    def check(self):
        """Each got every number, in order, and was told of no gap."""
        self.over.set()
        self.thread.join()
        wanted = [str(n) for n in range(self.count)]
        for stream in self.streams:
            stream.wait_data(wanted[-1])
            assert [e.data for e in stream.named("message")] == wanted and not stream.named("relay.reset")
        for stream in self.h2_streams:
            self.client.read_until(lambda: stream.data() == wanted, f"all {self.count} events")
            assert stream.reset is None and not any(e.name == "relay.reset" for e in stream.events)
        assert not self.client.goaways

    def close(self):
        self.over.set()
        self.thread.join()
        self.client.socket.close()
        for stream in self.streams:
            stream.close()
