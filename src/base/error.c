#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Here the functions themselves are meant. */
#undef error_set
#undef error_set_errno
#undef error_set_memory
#undef error_prefix

int error_set_v(struct error *error, enum error_code code, const char *format, va_list arguments)
{
    error->code = code;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    /* Names out of files stand in messages: they must not break the line or talk to the terminal. */
    for (char *c = error->message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    return -1;
}

int error_set(struct error *error, enum error_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, code, format, arguments);
    va_end(arguments);
    return -1;
}

int error_set_errno(struct error *error, int number, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, ERROR_IO, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->message);
    char text[128];
    snprintf(error->message + used, sizeof error->message - used, ": %s", strerror_r(number, text, sizeof text));
    return -1;
}

int error_set_memory(struct error *error, const char *what)
{
    return error_set(error, ERROR_MEMORY, "not enough memory for %s: close other programs or use less data", what);
}

int error_prefix(struct error *error, const char *format, ...)
{
    char old[sizeof error->message];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->message);
    snprintf(error->message + used, sizeof error->message - used, ": %s", old);
    return -1;
}

void error_check_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "nnstudio: internal error at %s:%d: %s does not hold\n", file, line, condition);
    abort();
}
