#include "base/base64.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

char *base64_encode(const void *bytes, size_t size)
{
    if (size > (size_t)1 << 30) return NULL;
    char *text = malloc((size + 2) / 3 * 4 + 1);
    if (text) EVP_EncodeBlock((unsigned char *)text, bytes, (int)size);
    return text;
}

int base64_decode(const char *text, size_t limit, unsigned char **bytes, size_t *size,
                  struct error *error)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(text), padding = 0;
    if (length / 4 * 3 > limit + 2)
        return error_set(error, ERROR_INPUT, "the base64 text is too long: the most is %zu bytes",
                         limit);
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=') padding++;
    /* The decoder is lenient about white space and '=' in odd places; we are not. */
    if (length % 4 || strspn(text, alphabet) != length - padding)
        return error_set(error, ERROR_INPUT, "the text is not base64");
    *bytes = malloc(length / 4 * 3 + 1);
    if (!*bytes) return error_set_memory(error, "the decoded bytes");
    int count = length ? EVP_DecodeBlock(*bytes, (const unsigned char *)text, (int)length) : 0;
    if (count < 0 || (size_t)count < padding) {
        free(*bytes);
        return error_set(error, ERROR_INPUT, "the text is not base64");
    }
    *size = (size_t)count - padding;
    return 0;
}
