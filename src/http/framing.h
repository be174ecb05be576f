/* The form of a request's head beyond what libevent looks at: where two readers could disagree
 * about what belongs to a request, it is refused. RFC 9112. Pure functions. */
#ifndef NNSTUDIO_HTTP_FRAMING_H
#define NNSTUDIO_HTTP_FRAMING_H

#include <stdbool.h>
#include <stddef.h>

/* Where the bytes stand. */
enum framing_part {
    FRAMING_HEAD,
    FRAMING_SIZE,      /* a chunk's size in hex digits */
    FRAMING_EXTENSION, /* what may follow it, up to the line's end */
    FRAMING_DATA,      /* a chunk and the line end behind it */
    FRAMING_OVER,      /* of no interest: a body with a length, or what follows the last chunk */
};

/* Follows the bytes of a request: libevent hands the head's lines on as C strings, in which a NUL
 * and what follows it cannot be seen, and reads a chunk's size as strtoll() does. Zeroed: before
 * the first byte. */
struct framing {
    enum framing_part part;
    bool bad;     /* there was a byte that belongs nowhere */
    bool inside;  /* a line has begun */
    bool begun;   /* the request line has been read */
    bool chunked; /* a header said so */
    char last;
    unsigned char length, digits; /* of the line; of the chunk's size */
    unsigned long long left;      /* bytes of the chunk */
    char line[32];                /* its beginning, small letters, without spaces */
};

/* Takes the next bytes. Bad are, in the head, control characters, a carriage return without a line
 * feed and folded lines; in chunks, a size that is not 1 to 15 hex digits. A chunk's extension,
 * which is valid and means nothing here, is overwritten with spaces, since libevent knows none. */
void framing_scan(struct framing *framing, char *bytes, size_t size);

/* A header's name is a token: no space before the colon. */
bool framing_name_ok(const char *name);
/* A Content-Length is digits, at most 19. */
bool framing_length_ok(const char *value);
/* The only Transfer-Encoding that is taken is exactly "chunked". */
bool framing_encoding_ok(const char *value);

#endif
