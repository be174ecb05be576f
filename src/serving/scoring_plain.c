/* The usual request, {"inputs": [[1, 2, …]…]} and nothing else, read in one pass: building a JSON
 * tree of every number takes longer than the network does. Whatever is not exactly that is left to
 * the reader of all forms, which also knows what is wrong with it. */
#include <stdlib.h>
#include <string.h>

#include "serving/scoring_impl.h"

struct plain_cursor {
    const char *at, *end; /* the byte at `end` is NUL */
};

static void skip_space(struct plain_cursor *c)
{
    while (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t') c->at++;
}

static bool take(struct plain_cursor *c, char wanted)
{
    skip_space(c);
    if (*c->at != wanted) return false;
    c->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits into *mantissa; how many. */
static int take_digits(struct plain_cursor *c, uint64_t *mantissa)
{
    const char *first = c->at;
    for (; is_digit(*c->at); c->at++) *mantissa = *mantissa * 10 + (uint64_t)(*c->at - '0');
    return (int)(c->at - first);
}

/* A number as JSON has them (RFC 8259). One of at most 19 digits whose mantissa and power of ten
 * are both exact doubles needs one rounding (Clinger, 1990); others are strtod()'s. */
static bool take_number(struct plain_cursor *c, double *out)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *first = c->at;
    uint64_t mantissa = 0, ignored = 0;
    bool negative = *c->at == '-', plain = true;
    c->at += negative;
    const char *digits = c->at;
    int whole = take_digits(c, &mantissa), fraction = 0;
    if (!whole || (*digits == '0' && whole > 1)) return false;
    if (*c->at == '.') {
        c->at++;
        fraction = take_digits(c, &mantissa);
        if (!fraction) return false;
    }
    if (*c->at == 'e' || *c->at == 'E') {
        c->at++;
        c->at += *c->at == '-' || *c->at == '+';
        if (!take_digits(c, &ignored)) return false;
        plain = false;
    }
    if (plain && whole + fraction <= 19 && mantissa < (uint64_t)1 << 53 && fraction <= 22)
        *out = (double)mantissa / powers[fraction];
    else
        *out = strtod(negative ? first + 1 : first, NULL);
    if (negative) *out = -*out;
    return *out <= 1e300 && *out >= -1e300;
}

/* One sample's lists, `inputs` numbers. */
static bool take_lists(struct plain_cursor *c, size_t inputs, double *out)
{
    int depth = 0;
    size_t used = 0;
    do {
        skip_space(c);
        while (*c->at == '[') {
            if (++depth > SCORING_DEPTH_MAX) return false;
            c->at++;
            skip_space(c);
        }
        if (!depth || used == inputs || !take_number(c, &out[used++])) return false;
        while (take(c, ']'))
            if (!--depth) return used == inputs;
    } while (take(c, ','));
    return false;
}

static bool take_key(struct plain_cursor *c)
{
    static const char *const keys[] = {"\"inputs\"", "\"instances\""};
    skip_space(c);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        size_t length = strlen(keys[i]);
        if ((size_t)(c->end - c->at) < length || memcmp(c->at, keys[i], length) != 0) continue;
        c->at += length;
        return true;
    }
    return false;
}

/* Room for one more sample, the most at once when a second one comes. */
static bool make_room(const struct scoring_model *model, struct scoring_request *out)
{
    size_t each = model->predictor->inputs * sizeof *out->values;
    if (out->count == model->samples_max) return false;
    if (out->count & (out->count - 1)) return true; /* grown at 0, 1, 2, 4 … */
    double *grown = realloc(out->values, (out->count ? 2 * out->count : 1) * each);
    if (grown) out->values = grown;
    return grown != NULL;
}

bool scoring_read_plain(const struct scoring_model *model, const char *body, size_t size,
                        struct scoring_request *out)
{
    struct plain_cursor c = {body, body + size};
    size_t inputs = model->predictor->inputs;
    if (model->predictor->model->network.channels > 1) return false; /* channels may be last */
    bool good = take(&c, '{') && take_key(&c) && take(&c, ':') && take(&c, '[');
    while (good) {
        good = make_room(model, out) && take_lists(&c, inputs, out->values + out->count * inputs);
        if (!good) break;
        out->count++;
        if (!take(&c, ',')) break;
    }
    good = good && take(&c, ']') && take(&c, '}');
    skip_space(&c);
    if (good && c.at == c.end) return true;
    scoring_request_free(out);
    return false;
}
