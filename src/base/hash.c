#include "base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct hash {
    EVP_MD_CTX *context;
};

int hash_create(struct hash **out, struct error *error)
{
    struct hash *hash = calloc(1, sizeof *hash);
    if (!hash) return error_set_memory(error, "a hash");
    hash->context = EVP_MD_CTX_new();
    if (!hash->context || !EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL)) {
        hash_destroy(hash);
        return error_set_memory(error, "a hash");
    }
    *out = hash;
    return 0;
}

void hash_update(struct hash *hash, const void *bytes, size_t count)
{
    CHECK(EVP_DigestUpdate(hash->context, bytes, count) == 1);
}

static void to_hex(const unsigned char *digest, size_t count, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * count] = '\0';
}

void hash_finish(struct hash *hash, char hex[HASH_HEX_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int count = 0;
    CHECK(EVP_DigestFinal_ex(hash->context, digest, &count) == 1 && count == 32);
    to_hex(digest, count, hex);
    hash_destroy(hash);
}

void hash_destroy(struct hash *hash)
{
    if (!hash) return;
    EVP_MD_CTX_free(hash->context);
    free(hash);
}

void hash_bytes(const void *bytes, size_t count, char hex[HASH_HEX_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    CHECK(EVP_Digest(bytes, count, digest, &size, EVP_sha256(), NULL) == 1);
    to_hex(digest, size, hex);
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
