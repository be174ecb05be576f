/* Signing in to Azure: tokens from Entra ID, by whichever way this machine or user has.
 *
 * Formats: OAuth 2.0 (RFC 6749), device grant (RFC 8628), PKCE (RFC 7636), Microsoft identity
 * platform v2.0. Tokens stay in memory and are wiped; nothing here is ever logged. */
#ifndef NNSTUDIO_REGISTRY_AZURE_TOKEN_H
#define NNSTUDIO_REGISTRY_AZURE_TOKEN_H

#include "registry/azure/config.h"
#include "registry/registry.h"
#include "registry/web.h"

/* Azure CLI's, which azure-identity also uses */
#define AZ_PUBLIC_CLIENT "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

/* What conditional access asks for: a way that shows the tenant's own page. */
#define AZ_OTHER_SIGN_INS                                                                   \
    "the tenant's conditional access does not accept this sign-in: sign in by browser, by " \
    "device-code, or as a service principal that the policy allows"

/* A way to sign in, for choosers. */
struct az_method {
    const char *id, *title;
    bool interactive;
    bool decisive; /* in the chain: when it is set up here and refused, no other way is tried */
    /* True when what it needs is set here; says into `found` what was found, or what is missing. */
    bool (*available)(const struct registry_options *options, char *found, size_t size);
};
extern const struct az_method az_methods[];
extern const size_t az_method_count;

struct az_credential;
/* Borrows `web` and `options`. Makes no request yet. */
int az_credential_create(struct web *web, const struct az_cloud *cloud,
                         const struct registry_options *options, struct az_credential **out,
                         struct error *error);
void az_credential_destroy(struct az_credential *credential);
/* A token for `resource` (an address without "/.default": the cloud's ARM, or
 * https://storage.azure.com), kept until five minutes before it ends; `fresh` asks for a new one.
 * *token is borrowed until the next call. In the chain the first way that works is kept. */
int az_credential_token(struct az_credential *credential, const char *resource, bool fresh,
                        const char **token, struct error *error);
/* The id of the way that gave the last token, "" before. */
const char *az_credential_method(const struct az_credential *credential);

#endif
