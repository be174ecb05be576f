/* A growing byte buffer with a mandatory cap. Always NUL-terminated past `length`, so text can be
 * read in place. */
#ifndef NNSTUDIO_BASE_BUFFER_H
#define NNSTUDIO_BASE_BUFFER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct buffer {
    char *data;      /* owned; NULL until the first byte */
    size_t length;   /* bytes used */
    size_t capacity; /* bytes had */
    size_t limit;    /* bytes never exceeded */
    bool failed;     /* sticky: an append did not fit or could not be had */
};

/* `limit` is the most bytes the buffer may ever hold. */
void buffer_init(struct buffer *buffer, size_t limit);
void buffer_free(struct buffer *buffer);
/* Forgets the content, keeps the memory; clears `failed`. */
void buffer_clear(struct buffer *buffer);

/* Appends; 0, or -1 when the cap or memory is reached. The failure is sticky: a chain of appends
 * may be checked once at its end, with buffer_check(). */
int buffer_append(struct buffer *buffer, const void *bytes, size_t count);
int buffer_append_text(struct buffer *buffer, const char *text);
int buffer_append_char(struct buffer *buffer, char c);
int buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int buffer_vprintf(struct buffer *buffer, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
/* Makes room for `count` more bytes and returns where they go (length unchanged); NULL on failure.
 */
char *buffer_reserve(struct buffer *buffer, size_t count);
/* Drops the first `count` bytes. */
void buffer_consume(struct buffer *buffer, size_t count);
/* 0, or -1 with "WHAT is too large" when some append failed. */
int buffer_check(const struct buffer *buffer, const char *what, struct error *error);

#endif
