// Reads a stream with a library of Java and prints what it delivers, one JSON object a line.
// Usage: java -cp 'lib/*' Libraries.java LIBRARY URL

import java.net.URI;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.logging.LogManager;

public class Libraries {
    static final Duration PAUSE = Duration.ofMillis(200);

    static String quoted(String text) {
        return text == null ? "null" : '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + '"';
    }

    static synchronized void word(String kind, String text) {
        System.out.println("{\"type\":" + quoted(kind) + ",\"text\":" + quoted(text) + "}");
    }

    static synchronized void message(String event, String data, String id) {
        System.out.println("{\"type\":\"message\",\"event\":" + quoted(event == null ? "message" : event) + ",\"data\":" + quoted(data)
            + ",\"id\":" + quoted(id == null ? "" : id) + "}");
    }

    static void okhttp(String url) throws Exception {
        var client = new okhttp3.OkHttpClient.Builder().readTimeout(0, TimeUnit.SECONDS).build();
        var last = new String[1];
        for (;;) {
            var ended = new java.util.concurrent.CountDownLatch(1);
            var request = new okhttp3.Request.Builder().url(url);
            if (last[0] != null)
                request.header("Last-Event-ID", last[0]);
            okhttp3.sse.EventSources.createFactory(client).newEventSource(request.build(), new okhttp3.sse.EventSourceListener() {
                public void onOpen(okhttp3.sse.EventSource s, okhttp3.Response r) { word("open", ""); }
                public void onEvent(okhttp3.sse.EventSource s, String id, String type, String data) {
                    message(type, data, id);
                    last[0] = id != null ? id : last[0];
                }
                public void onClosed(okhttp3.sse.EventSource s) { word("end", ""); ended.countDown(); }
                public void onFailure(okhttp3.sse.EventSource s, Throwable t, okhttp3.Response r) { word("error", "" + t); ended.countDown(); }
            });
            ended.await();
            Thread.sleep(PAUSE.toMillis());
        }
    }

    static void launchdarkly(String url) throws Exception {
        var source = new com.launchdarkly.eventsource.EventSource.Builder(URI.create(url))
            .errorStrategy(com.launchdarkly.eventsource.ErrorStrategy.alwaysContinue())
            .retryDelay(PAUSE.toMillis(), TimeUnit.MILLISECONDS).build();
        for (var event : source.anyEvents()) {
            if (event instanceof com.launchdarkly.eventsource.MessageEvent e)
                message(e.getEventName(), e.getData(), e.getLastEventId());
            else if (event instanceof com.launchdarkly.eventsource.StartedEvent)
                word("open", "");
            else if (event instanceof com.launchdarkly.eventsource.FaultEvent e)
                word("end", "" + e.getCause());
        }
    }

    static void jersey(String url) throws Exception {
        var client = jakarta.ws.rs.client.ClientBuilder.newClient();
        var source = jakarta.ws.rs.sse.SseEventSource.target(client.target(url)).reconnectingEvery(PAUSE.toMillis(), TimeUnit.MILLISECONDS).build();
        source.register(e -> message(e.getName(), e.readData(), e.getId()), e -> word("error", "" + e), () -> word("end", ""));
        source.open();
        Thread.sleep(Long.MAX_VALUE);
    }

    static void webflux(String url) throws Exception {
        var client = org.springframework.web.reactive.function.client.WebClient.builder()
            .codecs(c -> c.defaultCodecs().maxInMemorySize(4 << 20)).build();
        var type = new org.springframework.core.ParameterizedTypeReference<org.springframework.http.codec.ServerSentEvent<String>>() {};
        var last = new String[1];
        for (;;) {
            var request = client.get().uri(URI.create(url)).accept(org.springframework.http.MediaType.TEXT_EVENT_STREAM);
            if (last[0] != null)
                request.header("Last-Event-ID", last[0]);
            try {
                request.retrieve().bodyToFlux(type).doOnNext(e -> {
                    message(e.event(), e.data(), e.id());
                    last[0] = e.id() != null ? e.id() : last[0];
                }).blockLast();
                word("end", "");
            } catch (RuntimeException e) {
                word("error", "" + e);
            }
            Thread.sleep(PAUSE.toMillis());
        }
    }

    public static void main(String[] args) throws Exception {
        LogManager.getLogManager().reset();
        switch (args[0]) {
            case "okhttp-sse" -> okhttp(args[1]);
            case "okhttp-eventsource" -> launchdarkly(args[1]);
            case "jersey" -> jersey(args[1]);
            case "spring-webflux" -> webflux(args[1]);
        }
    }
}
