/* The one list of error codes, with a text for each.
 *
 * Every function that can fail returns RELAY_OK (0) or one of these negative codes. Codes of libuv,
 * hiredis, jansson and llhttp are translated into this list in the room that calls the library. */
#ifndef RELAY_BASE_ERR_H
#define RELAY_BASE_ERR_H

enum relay_err {
    RELAY_OK = 0,
    RELAY_ENOMEM = -1,    /* a size that the network chose could not be allocated */
    RELAY_EINVAL = -2,    /* input breaks a rule; an out-parameter says which, where there is one */
    RELAY_EOVERFLOW = -3, /* a limit would be exceeded; nothing was queued or changed */
    RELAY_ECLOSING = -4,  /* the object is closing and takes no more work */
    RELAY_ECANCELED = -5, /* outstanding work ended because its object closed */
    RELAY_ECONN = -6,     /* a connection could not be made, or was lost before the answer */
    RELAY_ETIMEOUT = -7,  /* no answer within the deadline */
    RELAY_EPROTO = -8,    /* the peer sent bytes that are not its protocol */
    RELAY_EREMOTE = -9,   /* the peer understood and refused; its text is passed along */
    RELAY_EAGAIN = -10,   /* nothing can be done now; try when told */
    RELAY_EIO = -11,      /* the operating system refused; errno was logged */
    RELAY_EADDRINUSE = -12 /* somebody else listens on that address */
};

/* A short English text for @code, without a full stop. Static storage, any thread. */
const char *relay_strerror(int code);

#endif
