/* Base64 (RFC 4648, with padding), by OpenSSL's libcrypto. */
#ifndef NNSTUDIO_BASE_BASE64_H
#define NNSTUDIO_BASE_BASE64_H

#include <stddef.h>

#include "base/error.h"

/* malloc'd text; NULL when memory is out. At most 1 GiB. */
char *base64_encode(const void *bytes, size_t size);
/* malloc'd bytes; ERROR_INPUT when the text is not base64 or stands for more than `limit` bytes. */
int base64_decode(const char *text, size_t limit, unsigned char **bytes, size_t *size,
                  struct error *error);

#endif
