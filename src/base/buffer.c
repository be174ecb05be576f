#include "base/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_init(struct buffer *buffer, size_t limit)
{
    *buffer = (struct buffer){.limit = limit};
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){.limit = buffer->limit};
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    buffer->failed = false;
    if (buffer->data) buffer->data[0] = '\0';
}

char *buffer_reserve(struct buffer *buffer, size_t count)
{
    if (buffer->failed || count > buffer->limit - buffer->length) goto fail;
    size_t needed = buffer->length + count + 1;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 256;
        while (capacity < needed) capacity *= 2;
        char *grown = realloc(buffer->data, capacity);
        if (!grown) goto fail;
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->length;
fail:
    buffer->failed = true;
    return NULL;
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t count)
{
    char *place = buffer_reserve(buffer, count);
    if (!place) return -1;
    if (count) memcpy(place, bytes, count);
    buffer->length += count;
    buffer->data[buffer->length] = '\0';
    return 0;
}

int buffer_append_text(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, text, strlen(text));
}

int buffer_append_char(struct buffer *buffer, char c)
{
    return buffer_append(buffer, &c, 1);
}

int buffer_vprintf(struct buffer *buffer, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int count = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (count < 0) {
        buffer->failed = true;
        return -1;
    }
    char *place = buffer_reserve(buffer, (size_t)count);
    if (!place) return -1;
    vsnprintf(place, (size_t)count + 1, format, arguments);
    buffer->length += (size_t)count;
    return 0;
}

int buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int status = buffer_vprintf(buffer, format, arguments);
    va_end(arguments);
    return status;
}

void buffer_consume(struct buffer *buffer, size_t count)
{
    CHECK(count <= buffer->length);
    if (!count) return;
    memmove(buffer->data, buffer->data + count, buffer->length - count + 1);
    buffer->length -= count;
}

int buffer_check(const struct buffer *buffer, const char *what, struct error *error)
{
    if (!buffer->failed) return 0;
    return error_set(error, ERROR_MEMORY, "%s is too large: the most is %zu bytes", what,
                     buffer->limit);
}
