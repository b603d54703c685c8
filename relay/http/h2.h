/* HTTP/2 on a connection (RFC 9113): a session of nghttp2, and the exchanges that its streams
 * provide. For the files h2*.c alone, but for the protocol.
 *
 * A stream's states: READING its request → WAITING for Redis, RESPONDING (an answer is leaving) or
 * STREAMING (a subscriber of the hub) → FINISHING (its last frames are leaving) → DONE (nothing of
 * ours follows). It is freed when nghttp2 closes it. Nothing is written where it arises: whatever
 * has something to send asks for h2_write() at the end of the loop's turn, and all of the
 * connection leaves in one call.
 *
 * The connection is the memory that HTTP/1 began with, so all that is more stands aside. */
#ifndef RELAY_HTTP_H2_H
#define RELAY_HTTP_H2_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

#include "relay/base/buf.h"
#include "relay/http/conn.h"
#include "relay/http/exchange.h"
#include "relay/http/h2_floods.h"
#include "relay/http/h2_request.h"
#include "relay/hub/stream.h"

struct h2;
struct h2_batch;

enum h2_stream_state {
    H2_STREAM_READING,
    H2_STREAM_WAITING,
    H2_STREAM_RESPONDING,
    H2_STREAM_STREAMING,
    H2_STREAM_FINISHING,
    H2_STREAM_DONE
};

/* An answer's body, until it has left. */
struct h2_body {
    size_t len, sent;
    char bytes[];
};

struct h2_stream {
    struct exchange exchange;
    struct stream stream; /* what the hub sees of an exchange that streams */
    struct h2 *h2;
    struct h2_stream *next, *prev; /* all of the connection's; next: of those that are dead, too */
    struct h2_request *request;    /* NULL once it is answered */
    struct h2_body *body;          /* RESPONDING */
    uint64_t since_ms; /* READING: its head, or its body, is awaited; later: it made no progress
                          while bytes wait for its window; 0: nothing is awaited */
    int32_t id;
    uint32_t batched;   /* bytes of it in the batch */
    uint32_t discarded; /* bytes that came behind a request that was answered already */
    uint8_t state;      /* enum h2_stream_state */
    uint8_t end;        /* enum hub_end of one that is FINISHING */
    bool head_seen : 1;
    bool remote_ended : 1; /* the client sends no more of it */
    bool queued : 1;       /* nghttp2 was given its data to send, and asks for it */
    bool last : 1;         /* what nghttp2 was given last was all of that */
    bool closed : 1;       /* by nghttp2, while its bytes are in the batch */
};

struct h2 {
    struct conn *conn;
    nghttp2_session *session;
    struct conn_later later; /* h2_write() */
    struct h2_stream *streams;
    struct h2_batch *batch;  /* while one is made */
    struct h2_stream *dead;  /* closed while their bytes are in it */
    struct buf pending;      /* of a batch, what the socket did not take */
    size_t pending_sent;     /* bytes of that */
    size_t held_bytes;       /* of requests' and answers' bodies */
    size_t fields_bytes;     /* of the list of fields that is being read, as h2_request counts */
    uint64_t now_ms;         /* of the last look at the clock */
    uint64_t blocked_ms;     /* when the socket began to take nothing */
    uint64_t idle_since_ms;  /* 0: there are streams */
    uint64_t due_ms;         /* what the deadline is set to; 0: none is set */
    uint64_t drain_ms;       /* when the last GOAWAY is due; 0: it was sent, or is not wanted */
    struct h2_floods floods; /* what it sent too often */
    size_t discarded;        /* LINGERING: bytes */
    int32_t last_id;         /* of the streams that the client opened */
    int32_t skipped_id;      /* the last one that it might have opened and did not */
    int32_t opening_id;      /* its first frame came, and nghttp2 has not taken it; 0: none */
    int32_t
        reset_id; /* up to here streams were reset by us, and what follows on them is no fault */
    bool requested : 1;  /* a request was read */
    bool going_away : 1; /* no further stream */
    bool failed : 1;     /* nothing of it is read any more */
    bool lingering : 1;  /* our side is shut */
    bool shutting : 1;   /* it could not be shut yet */
    bool more : 1;       /* there is more to write than one turn's share */
};

/* What the protocol is on the connection: its first member has to be the struct conn. */
struct h2_conn {
    struct conn conn;
    struct h2 *h2;
};

extern const struct conn_protocol h2_protocol;

#endif
