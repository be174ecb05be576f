/* Whether a file is the shared library that it is taken for, without loading it. */
#ifndef NNSTUDIO_ENGINE_EXPORTS_H
#define NNSTUDIO_ENGINE_EXPORTS_H

#include "base/error.h"

/* 0 when the file is a whole shared library for this machine that exports `symbol`, else
 * ERROR_UNAVAILABLE with what it is instead. Reads a few pages, runs nothing. */
int exports_check(const char *path, const char *symbol, struct error *error);

#endif
