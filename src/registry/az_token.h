/* Signing in to Azure: tokens from Entra ID, by whichever way this machine or person has.
 *
 * Formats: OAuth 2.0 (RFC 6749), device grant (RFC 8628), PKCE (RFC 7636), Microsoft identity
 * platform v2.0. Tokens stay
 * in memory and are wiped; nothing here is ever logged. */
#ifndef NNSTUDIO_REGISTRY_AZ_TOKEN_H
#define NNSTUDIO_REGISTRY_AZ_TOKEN_H

#include "registry/az_config.h"
#include "registry/web.h"

/* Azure CLI's, which azure-identity uses, too */
#define AZ_PUBLIC_CLIENT "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

/* What a person must do to go on. */
struct az_prompt {
    const char *kind; /* "device-code": open `url` and enter `code`; "browser": open `url` */
    const char *url, *code;
    int expires_in; /* seconds */
};

struct az_sign_in {
    const char *method;    /* an id of az_methods, or NULL or "auto" for the chain */
    const char *tenant;    /* NULL: $AZURE_TENANT_ID, else "organizations" */
    const char *client_id; /* NULL: $AZURE_CLIENT_ID or the public one */
    /* NULL: methods that need a person are refused */
    void (*prompt)(void *context, const struct az_prompt *prompt);
    void *context;
};

/* A way to sign in, for choosers. */
struct az_method {
    const char *id, *title;
    bool interactive;
    bool decisive; /* in the chain: when it is set up here and refused, no other way is tried */
    /* True when what it needs is set here; says into `found` what was found, or what is missing. */
    bool (*available)(const struct az_sign_in *sign_in, char *found, size_t size);
};
extern const struct az_method az_methods[];
extern const size_t az_method_count;

struct az_credential;
/* Borrows `web`, copies the rest. Asks for nothing yet. */
int az_credential_create(struct web *web, const struct az_cloud *cloud,
                         const struct az_sign_in *sign_in, struct az_credential **out,
                         struct error *error);
void az_credential_destroy(struct az_credential *credential);
/* A token for `resource` (an address without "/.default": the cloud's ARM, or
 * https://storage.azure.com), kept until five
 * minutes before it ends; `fresh` asks for a new one. *token is borrowed until the next call. In
 * the chain the first way
 * that works is kept. */
int az_credential_token(struct az_credential *credential, const char *resource, bool fresh,
                        const char **token, struct error *error);
/* The id of the way that gave the last token, "" before. */
const char *az_credential_method(const struct az_credential *credential);

/* A person's last sign-in stays in this process's memory: whether there is one (its way in
 * `method`), and forgetting it. */
bool az_signed_in(char method[32]);
void az_sign_out(void);

#endif
