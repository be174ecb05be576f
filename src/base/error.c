#include "base/error.h"
#include "base/text.h"

#include <errno.h>
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
    text_clean(error->message); /* names out of files stand in messages */
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

/* What the user can do about a failure of the system; NULL where only the circumstances tell. */
static const char *hint_of(int number)
{
    static const struct {
        int number;
        const char *hint;
    } hints[] = {
        {ENOENT, "check the name"},
        {ENOTDIR, "check the name"},
        {EISDIR, "name a file"},
        {ENAMETOOLONG, "choose a shorter name"},
        {EACCES, "get the right to it, or name another place"},
        {EPERM, "get the right to it, or name another place"},
        {EROFS, "name another place"},
        {ENOSPC, "make room there"},
        {EDQUOT, "make room there"},
        {EFBIG, "raise the limit on the size of files (ulimit -f)"},
        {EMFILE, "raise the limit on open files (ulimit -n)"},
        {ENOMEM, "close other programs"},
    };
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (hints[i].number == number) return hints[i].hint;
    return NULL;
}

int error_set_errno(struct error *error, int number, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, ERROR_IO, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->message);
    char text[128];
    const char *hint = hint_of(number);
    snprintf(error->message + used, sizeof error->message - used, ": %s%s%s",
             strerror_r(number, text, sizeof text), hint ? ": " : "", hint ? hint : "");
    return -1;
}

int error_set_memory(struct error *error, const char *what)
{
    return error_set(error, ERROR_MEMORY,
                     "not enough memory for %s: close other programs or use less data", what);
}

int error_prefix(struct error *error, const char *format, ...)
{
    char old[sizeof error->message];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, error->code, format, arguments);
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
