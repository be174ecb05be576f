/* Words to the user on standard error. Results go to standard output, never through here. */
#ifndef NNSTUDIO_BASE_LOG_H
#define NNSTUDIO_BASE_LOG_H

#include <stdbool.h>

#include "base/error.h"

/* "nnstudio: MESSAGE" on one line. */
void log_error(const struct error *error);
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* True when standard error is a terminal that takes color (NO_COLOR and TERM=dumb are honored). */
bool log_has_color(void);

#endif
