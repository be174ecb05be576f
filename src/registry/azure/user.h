/* Pieces of a user's sign-in that have published test vectors: for this room and its tests. */
#ifndef NNSTUDIO_REGISTRY_AZURE_USER_H
#define NNSTUDIO_REGISTRY_AZURE_USER_H

#include <stdbool.h>
#include <stddef.h>

/* BASE64URL(SHA256(verifier)), RFC 7636, 4.2. */
void az_pkce_challenge(const char *verifier, char out[64]);
/* The decoded value of NAME in "a=b&c=d"; false when absent or too long. */
bool az_form_member(const char *form, const char *name, char *out, size_t size);

#endif
