/* Who may ask: the rules that keep other machines and other pages out. Pure functions. */
#ifndef NNSTUDIO_HTTP_SECURITY_H
#define NNSTUDIO_HTTP_SECURITY_H

#include <stdbool.h>

/* True for an address that only this machine can reach: 127.0.0.0/8, ::1, localhost. */
bool security_is_loopback(const char *host);
/* The Host header must name us by an address or a name of this machine: a foreign name that was
 * made to point here (DNS rebinding) is refused. `bound` is what --host said. The port does not
 * matter: it may be a tunnel's. */
bool security_host_ok(const char *host_header, const char *bound);
/* The part of a request's target from its path on: of "/path?query" all of it, of
 * "http://authority/path" what follows the authority, which is put into `authority` ("" when there
 * is none). NULL when it is neither. */
#define HOST_SIZE 256
const char *security_local_target(const char *target, char authority[HOST_SIZE]);
/* An Origin, when there is one, must be the page's own: http://HOST. */
bool security_origin_ok(const char *origin, const char *host_header);
/* In time that does not depend on where they differ. */
bool security_token_equal(const char *given, const char *token);
/* The value of a cookie, into `out`; false when there is none or it is too long. */
bool security_cookie(const char *cookie_header, const char *name, char *out, unsigned size);
/* 32 random hex digits. */
void security_make_token(char out[33]);

#endif
