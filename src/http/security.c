#include "http/security.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/random.h"

bool security_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(host, "localhost") == 0;
}

/* The name in "name:port", "[v6]:port" or either without a port. */
static bool host_name(const char *header, char *name, size_t size)
{
    const char *end = header[0] == '[' ? strchr(header, ']') : strchr(header, ':');
    const char *start = header[0] == '[' ? header + 1 : header;
    if (header[0] == '[' && !end) return false;
    size_t length = end ? (size_t)(end - start) : strlen(start);
    if (!length || length >= size) return false;
    memcpy(name, start, length);
    name[length] = '\0';
    const char *rest = end ? (*end == ']' ? end + 1 : end) : "";
    return !*rest ||
           (rest[0] == ':' && rest[1] && strspn(rest + 1, "0123456789") == strlen(rest + 1));
}

bool security_host_ok(const char *host_header, const char *bound)
{
    char name[256], own[256];
    struct in_addr v4;
    struct in6_addr v6;
    if (!host_header || !host_name(host_header, name, sizeof name)) return false;
    if (security_is_loopback(name) || strcasecmp(name, bound) == 0) return true;
    if (security_is_loopback(bound)) return false;
    /* Reachable from elsewhere: by address, or by this machine's name. No page can make a name of
     * its own an address. */
    if (inet_pton(AF_INET, name, &v4) == 1 || inet_pton(AF_INET6, name, &v6) == 1) return true;
    if (gethostname(own, sizeof own - 1)) return false;
    own[sizeof own - 1] = '\0';
    size_t length = strlen(own);
    return length && strncasecmp(name, own, length) == 0 &&
           (!name[length] || strcasecmp(name + length, ".local") == 0);
}

const char *security_local_target(const char *target, char authority[HOST_SIZE])
{
    static const char scheme[] = "http://";
    authority[0] = '\0';
    if (target[0] == '/') return target;
    if (strncasecmp(target, scheme, sizeof scheme - 1) != 0) return NULL;
    target += sizeof scheme - 1;
    size_t length = strcspn(target, "/?#");
    if (!length || length >= HOST_SIZE) return NULL;
    memcpy(authority, target, length);
    authority[length] = '\0';
    if (!target[length]) return "/";
    return target[length] == '/' ? target + length : NULL;
}

bool security_origin_ok(const char *origin, const char *host_header)
{
    if (!origin) return true;
    return host_header && strncmp(origin, "http://", 7) == 0 &&
           strcasecmp(origin + 7, host_header) == 0;
}

bool security_token_equal(const char *given, const char *token)
{
    size_t length = strlen(token);
    return given && strlen(given) == length && CRYPTO_memcmp(given, token, length) == 0;
}

bool security_cookie(const char *cookie_header, const char *name, char *out, unsigned size)
{
    size_t length = strlen(name);
    for (const char *place = cookie_header; place && *place;) {
        place += strspn(place, "; ");
        size_t part = strcspn(place, ";");
        if (part > length && strncmp(place, name, length) == 0 && place[length] == '=') {
            size_t count = part - length - 1;
            if (count >= size) return false;
            memcpy(out, place + length + 1, count);
            out[count] = '\0';
            return true;
        }
        place += part;
    }
    return false;
}

void security_make_token(char out[33])
{
    random_hex(out, 32);
}
