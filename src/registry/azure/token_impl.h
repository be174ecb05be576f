/* What the ways to sign in share: for this room only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_TOKEN_IMPL_H
#define NNSTUDIO_REGISTRY_AZURE_TOKEN_IMPL_H

#include "registry/azure/token.h"

#define TOKEN_MAX     16384
#define AZ_ANY_TENANT "organizations" /* of whoever signs in */

struct az_credential {
    struct web *web; /* borrowed */
    struct az_cloud cloud;
    const struct registry_options *options; /* borrowed */
    const char *chosen; /* the id of the way to sign in; NULL: the chain; borrowed */
    char tenant[128], client_id[128];
    char method[32];
    char refresh[TOKEN_MAX]; /* refresh token of a user's sign-in; "" when there is none */
    struct {
        char resource[256];
        char token[TOKEN_MAX];
        double until; /* clock_monotonic() */
    } cache[4];
    size_t cached;
};

/* What a request for a token gave. */
struct az_grant {
    char token[TOKEN_MAX], refresh[TOKEN_MAX];
    double expires_in; /* seconds */
    char error[64];    /* "authorization_pending", … or "" */
};

/* A form: appends name=value, escaped. */
void az_form(struct buffer *form, const char *name, const char *value);
/* Posts a form to {authority}/{tenant}/oauth2/v2.0/PATH; 200 and OAuth errors alike give 0 with the
 * object in *out. */
int az_post_form(struct az_credential *credential, const char *path, const struct buffer *form,
                 const char *what, int *http, json_t **out, struct error *error);
/* Reads a token answer; an OAuth error is put into grant->error and described in *error, and -1
 * returned. */
int az_read_grant(const json_t *answer, int http, const char *what, struct az_grant *grant,
                  struct error *error);
/* The scopes for a user's sign-in: "RESOURCE/.default offline_access openid profile". */
void az_scope(const struct az_credential *credential, const char *resource, bool user,
              char out[512]);

/* The application that a user signs in with: the one that was set, or the Azure CLI's public
 * one. */
const char *az_user_client(const struct az_credential *credential);

/* base64url without padding (RFC 4648, 5); `out` holds 4/3 of the bytes and 4 more. */
void az_base64url(const unsigned char *bytes, size_t count, char *out);
/* True when a variable of a managed identity's endpoint is set. */
bool az_identity_is_set(void);
/* The assertion that $AZURE_CLIENT_CERTIFICATE_PATH signs for the credential's tenant and client;
 * *out is malloc'd, and a secret. */
int az_certificate_assertion(const struct az_credential *credential, char **out,
                             struct error *error);

/* The ways. Each fills *grant or describes why not. */
int az_get_service_principal(struct az_credential *credential, const char *resource,
                             struct az_grant *grant, struct error *error);
int az_get_workload(struct az_credential *credential, const char *resource, struct az_grant *grant,
                    struct error *error);
int az_get_managed_identity(struct az_credential *credential, const char *resource,
                            struct az_grant *grant, struct error *error);
int az_get_cli(struct az_credential *credential, const char *resource, struct az_grant *grant,
               struct error *error);
int az_get_device_code(struct az_credential *credential, const char *resource,
                       struct az_grant *grant, struct error *error);
int az_get_browser(struct az_credential *credential, const char *resource, struct az_grant *grant,
                   struct error *error);

#endif
