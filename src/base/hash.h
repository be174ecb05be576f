/* SHA-256, by OpenSSL's libcrypto. */
#ifndef NNSTUDIO_BASE_HASH_H
#define NNSTUDIO_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define HASH_HEX_SIZE 65 /* 64 hex digits and the NUL */

struct hash; /* a running SHA-256 */

int hash_create(struct hash **out, struct error *error);
void hash_update(struct hash *hash, const void *bytes, size_t count);
/* Writes the digest in lower-case hex and frees `hash`. */
void hash_finish(struct hash *hash, char hex[HASH_HEX_SIZE]);
void hash_destroy(struct hash *hash); /* without a result; NULL is fine */

void hash_bytes(const void *bytes, size_t count, char hex[HASH_HEX_SIZE]);
/* The digest of a file's content; `size`, if not NULL, gets its length in bytes. */
int hash_file(const char *path, char hex[HASH_HEX_SIZE], uint64_t *size, struct error *error);

#endif
