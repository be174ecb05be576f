/* A service principal's certificate: the signed assertion that takes a secret's place (RFC 7523;
 * learn.microsoft.com/entra/identity-platform/certificate-credentials). */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/js.h"
#include "base/random.h"
#include "registry/azure/token_impl.h"

#define CERTIFICATE_LIMIT ((size_t)256 << 10)
#define ASSERTION_SECONDS 600
#define CHAIN_LIMIT       10

struct certificate {
    EVP_PKEY *key;
    X509 *leaf;
    STACK_OF(X509) * others; /* the chain above it; may be NULL */
};

static void certificate_clear(struct certificate *own)
{
    EVP_PKEY_free(own->key);
    X509_free(own->leaf);
    sk_X509_pop_free(own->others, X509_free);
}

/* OpenSSL asks at the terminal unless it is answered here. */
static int give_password(char *out, int size, int writing, void *context)
{
    (void)writing;
    const char *password = context;
    int length = password ? (int)strlen(password) : 0;
    if (length > size) return -1;
    if (length) memcpy(out, password, (size_t)length);
    return length;
}

static int read_pem(const char *data, size_t size, char *password, struct certificate *out)
{
    BIO *text = BIO_new_mem_buf(data, (int)size);
    out->key = text ? PEM_read_bio_PrivateKey(text, NULL, give_password, password) : NULL;
    BIO_free(text);
    text = BIO_new_mem_buf(data, (int)size);
    out->others = sk_X509_new_null();
    for (X509 *one; text && out->others && (one = PEM_read_bio_X509(text, NULL, NULL, NULL));) {
        if (!out->leaf && out->key && X509_check_private_key(one, out->key) == 1)
            out->leaf = one;
        else if (sk_X509_num(out->others) >= CHAIN_LIMIT || !sk_X509_push(out->others, one))
            X509_free(one);
    }
    BIO_free(text);
    return out->key ? 0 : -1;
}

static int read_pfx(const char *data, size_t size, const char *password, struct certificate *out)
{
    BIO *bytes = BIO_new_mem_buf(data, (int)size);
    PKCS12 *store = bytes ? d2i_PKCS12_bio(bytes, NULL) : NULL;
    int parsed = store &&
                 PKCS12_parse(store, password ? password : "", &out->key, &out->leaf, &out->others);
    PKCS12_free(store);
    BIO_free(bytes);
    return parsed ? 0 : -1;
}

static int explain(const char *path, const char *password, bool pem, struct error *error)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    bool old = reason && strstr(reason, "unsupported");
    ERR_clear_error();
    return error_set(error, ERROR_DENIED,
                     "AZURE_CLIENT_CERTIFICATE_PATH: %s cannot be read as %s (%s): %s", path,
                     pem ? "PEM with a private key" : "PFX", reason ? reason : "no reason given",
                     old        ? "export it again with AES encryption, or as PEM"
                     : password ? "check AZURE_CLIENT_CERTIFICATE_PASSWORD"
                                : "set AZURE_CLIENT_CERTIFICATE_PASSWORD if it has a password");
}

static int certificate_read(struct certificate *out, struct error *error)
{
    char *path = getenv("AZURE_CLIENT_CERTIFICATE_PATH"), *data,
         *password = getenv("AZURE_CLIENT_CERTIFICATE_PASSWORD");
    size_t size;
    if (password && !*password) password = NULL;
    if (file_read(path ? path : "", CERTIFICATE_LIMIT, &data, &size, error))
        return error_prefix(error, "AZURE_CLIENT_CERTIFICATE_PATH");
    bool pem = memmem(data, size, "-----BEGIN", 10) != NULL;
    ERR_clear_error();
    int status = pem ? read_pem(data, size, password, out) : read_pfx(data, size, password, out);
    explicit_bzero(data, size);
    free(data);
    if (status) return explain(path, password, pem, error);
    ERR_clear_error();
    if (!out->leaf)
        return error_set(error, ERROR_DENIED,
                         "AZURE_CLIENT_CERTIFICATE_PATH: %s holds no certificate of its private "
                         "key: put both into the file",
                         path);
    if (!EVP_PKEY_is_a(out->key, "RSA"))
        return error_set(error, ERROR_DENIED,
                         "AZURE_CLIENT_CERTIFICATE_PATH: the key in %s is not RSA: Entra ID takes "
                         "RSA keys only",
                         path);
    if (X509_cmp_current_time(X509_get0_notAfter(out->leaf)) < 0)
        return error_set(error, ERROR_DENIED,
                         "AZURE_CLIENT_CERTIFICATE_PATH: the certificate in %s has expired: renew "
                         "it",
                         path);
    return 0;
}

/* The certificate's bytes in base64 into a list: what x5c holds (RFC 7515, 4.1.6). */
static void add_der(json_t *list, X509 *certificate)
{
    unsigned char *der = NULL;
    int size = i2d_X509(certificate, &der);
    char *text = size > 0 ? malloc((size_t)size * 4 / 3 + 8) : NULL;
    if (text) {
        EVP_EncodeBlock((unsigned char *)text, der, size);
        json_array_append_new(list, json_string(text));
    }
    free(text);
    OPENSSL_free(der);
}

static json_t *make_header(const struct certificate *own)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char thumbprint[96];
    const char *chain = getenv("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
    if (!X509_digest(own->leaf, EVP_sha256(), digest, &size)) return NULL;
    az_base64url(digest, size, thumbprint);
    json_t *header = json_pack("{s:s, s:s, s:s}", "alg", "PS256", "typ", "JWT", "x5t#S256",
                               thumbprint);
    if (!chain || (strcasecmp(chain, "true") != 0 && strcmp(chain, "1") != 0)) return header;
    json_t *list = json_array();
    add_der(list, own->leaf);
    for (int i = 0; i < sk_X509_num(own->others); i++) add_der(list, sk_X509_value(own->others, i));
    json_object_set_new(header, "x5c", list);
    return header;
}

static json_t *make_claims(const struct az_credential *credential)
{
    unsigned char id[16];
    char text[48];
    json_int_t now = (json_int_t)time(NULL);
    random_fill(id, sizeof id);
    az_base64url(id, sizeof id, text);
    return json_pack(
        "{s:o, s:s, s:s, s:s, s:I, s:I, s:I}", "aud",
        json_sprintf("%s/%s/oauth2/v2.0/token", credential->cloud.authority, credential->tenant),
        "iss", credential->client_id, "sub", credential->client_id, "jti", text, "nbf", now, "iat",
        now, "exp", now + ASSERTION_SECONDS);
}

/* Appends a part in base64url; takes the reference. */
static int add_part(struct buffer *out, json_t *part, struct error *error)
{
    char *text = part ? js_dump(part) : NULL, *encoded = NULL;
    json_decref(part);
    if (text) encoded = malloc(strlen(text) * 4 / 3 + 8);
    if (encoded) {
        az_base64url((const unsigned char *)text, strlen(text), encoded);
        buffer_printf(out, "%s%s", out->length ? "." : "", encoded);
    }
    free(text);
    free(encoded);
    return encoded ? 0 : error_set_memory(error, "the signed assertion");
}

/* RSASSA-PSS with SHA-256 (RFC 7518, 3.5). */
static int sign(EVP_PKEY *key, struct buffer *out, struct error *error)
{
    unsigned char signature[1024];
    char encoded[sizeof signature * 4 / 3 + 8];
    size_t size = sizeof signature;
    EVP_PKEY_CTX *padding = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool made = context && EVP_DigestSignInit(context, &padding, EVP_sha256(), NULL, key) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) == 1 &&
                (size_t)EVP_PKEY_get_size(key) <= sizeof signature &&
                EVP_DigestSign(context, signature, &size, (const unsigned char *)out->data,
                               out->length) == 1;
    EVP_MD_CTX_free(context);
    if (!made)
        return error_set(error, ERROR_DENIED,
                         "the certificate's key cannot sign: use an RSA key of 2048 to 8192 bits");
    az_base64url(signature, size, encoded);
    buffer_printf(out, ".%s", encoded);
    return buffer_check(out, "the signed assertion", error);
}

int az_certificate_assertion(const struct az_credential *credential, char **out,
                             struct error *error)
{
    struct certificate own = {0};
    struct buffer text;
    buffer_init(&text, 65536);
    int status = certificate_read(&own, error) || add_part(&text, make_header(&own), error) ||
                         add_part(&text, make_claims(credential), error) ||
                         sign(own.key, &text, error)
                     ? -1
                     : 0;
    certificate_clear(&own);
    *out = status ? NULL : strdup(text.data);
    if (!status && !*out) status = error_set_memory(error, "the signed assertion");
    if (text.data) explicit_bzero(text.data, text.capacity);
    buffer_free(&text);
    return status;
}
