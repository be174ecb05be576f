/* Results and their messages.
 *
 * Every function that can fail for a reason outside the program returns 0 on success and -1 on
 * failure, and describes the failure in the `struct error` it was given (which may not be NULL).
 * The message is one line, in the form "what is wrong: how to fix it", without the program's name
 * in front and without a final full stop. Programming errors use CHECK(), which aborts with file
 * and line. */
#ifndef NNSTUDIO_BASE_ERROR_H
#define NNSTUDIO_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

enum error_code {
    ERROR_NONE = 0,
    ERROR_FAILED,      /* anything without a kind of its own */
    ERROR_USAGE,       /* the user's words on the command line or in a request are wrong */
    ERROR_INPUT,       /* a file or a value is malformed */
    ERROR_IO,          /* reading or writing failed */
    ERROR_NOT_FOUND,   /* a named thing does not exist */
    ERROR_CONFLICT,    /* exists already, or is in a state that does not allow it */
    ERROR_MEMORY,      /* an allocation failed or a cap was reached */
    ERROR_UNAVAILABLE, /* a framework, a device or a server is missing */
    ERROR_INTERRUPTED, /* stopped by the user */
    ERROR_DENIED,      /* refused: rights, sign-in */
};

struct error {
    enum error_code code;
    char message[1024];
};

/* Sets code and message (cut to fit), always returns -1, so that callers may write `return
 * error_set(...)`. */
int error_set(struct error *error, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int error_set_v(struct error *error, enum error_code code, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
/* As error_set, ending in ": " and the text of the C library's error number. */
int error_set_errno(struct error *error, int number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* ERROR_MEMORY with a standard message naming what could not be had. */
int error_set_memory(struct error *error, const char *what);
/* Puts "prefix: " before the message that is there; returns -1. */
int error_prefix(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Tells the compiler and the analyser what they cannot see from here: the result is always -1. */
static inline int error_result(int always_minus_one)
{
    (void)always_minus_one;
    return -1;
}
#define error_set(...)        error_result(error_set(__VA_ARGS__))
#define error_set_errno(...)  error_result(error_set_errno(__VA_ARGS__))
#define error_set_memory(...) error_result(error_set_memory(__VA_ARGS__))
#define error_prefix(...)     error_result(error_prefix(__VA_ARGS__))

/* Aborts with file, line and the condition: for what can only be our own mistake. */
#define CHECK(condition) \
    ((condition) ? (void)0 : error_check_failed(__FILE__, __LINE__, #condition))
_Noreturn void error_check_failed(const char *file, int line, const char *condition);

#endif
