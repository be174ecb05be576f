/* The low-level functions, which need neither memory nor OpenSSL's default context: a process that
 * runs out of memory while libcrypto 3 sets that up crashes in it. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

struct hash {
    SHA256_CTX context;
};

int hash_create(struct hash **out, struct error *error)
{
    struct hash *hash = calloc(1, sizeof *hash);
    if (!hash) return error_set_memory(error, "a hash");
    CHECK(SHA256_Init(&hash->context) == 1);
    *out = hash;
    return 0;
}

void hash_update(struct hash *hash, const void *bytes, size_t count)
{
    CHECK(SHA256_Update(&hash->context, bytes, count) == 1);
}

static void end(SHA256_CTX *context, char hex[HASH_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[SHA256_DIGEST_LENGTH];
    CHECK(SHA256_Final(digest, context) == 1);
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[HASH_HEX_SIZE - 1] = '\0';
}

void hash_finish(struct hash *hash, char hex[HASH_HEX_SIZE])
{
    end(&hash->context, hex);
    hash_destroy(hash);
}

void hash_destroy(struct hash *hash)
{
    free(hash);
}

void hash_bytes(const void *bytes, size_t count, char hex[HASH_HEX_SIZE])
{
    SHA256_CTX context;
    CHECK(SHA256_Init(&context) == 1 && SHA256_Update(&context, bytes, count) == 1);
    end(&context, hex);
}

int hash_file(const char *path, char hex[HASH_HEX_SIZE], uint64_t *size, struct error *error)
{
    FILE *file = fopen(path, "rbe");
    if (!file) return error_set_errno(error, errno, "cannot read %s", path);
    struct hash *hash;
    if (hash_create(&hash, error)) {
        fclose(file);
        return -1;
    }
    unsigned char block[65536];
    uint64_t total = 0;
    size_t got;
    while ((got = fread(block, 1, sizeof block, file)) > 0) {
        hash_update(hash, block, got);
        total += got;
    }
    int status = 0;
    if (ferror(file)) {
        status = error_set_errno(error, errno, "cannot read %s", path);
        hash_destroy(hash);
    } else {
        hash_finish(hash, hex);
        if (size) *size = total;
    }
    fclose(file);
    return status;
}
