#include "engine/trace_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What follows the stem of a name. */
enum rest { REST_NOTHING, REST_LAYER, REST_TENSOR };

static const struct row {
    const char *stem;
    enum rest rest;
    const char *words, *bias_words; /* bias_words NULL: the same for every tensor */
} rows[TRACE_WHAT_COUNT] = {
    [TRACE_INPUT] = {"input", REST_NOTHING, "the pictures, one per row", NULL},
    [TRACE_BEFORE] = {"z", REST_LAYER, "the layer's output before its activation", NULL},
    [TRACE_AFTER] = {"a", REST_LAYER, "the layer's output", NULL},
    [TRACE_LOGITS] = {"logits", REST_NOTHING, "one number per class", NULL},
    [TRACE_PROBABILITIES] = {"probabilities", REST_NOTHING, "softmax of the logits", NULL},
    [TRACE_LOSS] = {"loss", REST_NOTHING, "mean cross-entropy of the batch", NULL},
    [TRACE_GRADIENT] = {"grad/", REST_TENSOR, "the gradient of the loss by each weight",
                        "the gradient of the loss by each bias"},
    [TRACE_NEW] = {"new/", REST_TENSOR, "after the step", NULL},
    [TRACE_SALIENCY] = {"saliency", REST_NOTHING,
                        "the derivative of the chosen logit by each value of the input", NULL},
};

const char *trace_name(char out[TRACE_NAME_SIZE], enum trace_what what, uint32_t layer,
                       const char *tensor)
{
    const struct row *row = &rows[what];
    switch (row->rest) {
    case REST_NOTHING:
        snprintf(out, TRACE_NAME_SIZE, "%s", row->stem);
        break;
    case REST_LAYER:
        snprintf(out, TRACE_NAME_SIZE, "%s%u", row->stem, layer);
        break;
    case REST_TENSOR:
        snprintf(out, TRACE_NAME_SIZE, "%s%s", row->stem, tensor);
        break;
    }
    return out;
}

/* A layer's number as trace_name() writes it: digits without a leading zero. */
static bool parse_layer(const char *text, uint32_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 9 || text[digits] || text[0] == '0') return false;
    *out = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

bool trace_name_parse(const char *name, struct trace_name *out)
{
    for (int what = 0; what < TRACE_WHAT_COUNT; what++) {
        const struct row *row = &rows[what];
        struct trace_name read = {.what = (enum trace_what)what};
        size_t length = strlen(row->stem);
        if (strncmp(name, row->stem, length) != 0) continue;
        const char *rest = name + length;
        if (row->rest == REST_NOTHING && *rest) continue;
        if (row->rest == REST_LAYER && !parse_layer(rest, &read.layer)) continue;
        if (row->rest == REST_TENSOR) {
            if (!*rest || strlen(rest) >= sizeof read.tensor) continue;
            memcpy(read.tensor, rest, strlen(rest) + 1);
        }
        *out = read;
        return true;
    }
    return false;
}

const char *trace_name_words(const struct trace_name *name)
{
    const struct row *row = &rows[name->what];
    const char *role = strrchr(name->tensor, '.');
    bool bias = role && strcmp(role + 1, tensor_role_name(ROLE_BIAS)) == 0;
    return bias && row->bias_words ? row->bias_words : row->words;
}

bool trace_shows_before(const struct layer *layer)
{
    if (layer->type == LAYER_DENSE) return true;
    return layer->type != LAYER_ACTIVATION && layer->activation != ACTIVATION_NONE;
}
