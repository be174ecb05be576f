/* The fields that a layer's JSON and its compact words have in common. For this room only; others
 * use layer.h's functions. */
#ifndef NNSTUDIO_NET_LAYER_IMPL_H
#define NNSTUDIO_NET_LAYER_IMPL_H

#include "net/layer.h"

enum field_kind { FIELD_COUNT, FIELD_PAIR, FIELD_REAL, FIELD_CHANNELS, FIELD_PADDING, FIELD_BIAS };

/* A field of a type of layer. Numbers go from `low` to `high`. Without a usual value (0 in `usual`
 * of a count or a pair) it must be given. */
struct layer_field {
    const char *name, *label; /* as JSON and as a form calls it */
    enum field_kind kind;
    size_t offset; /* of its member in struct layer */
    double low, high, usual;
    bool trains_only; /* says how the layer is trained, and nothing of what it computes */
};

/* The type's field of that name, NULL: it has none. */
const struct layer_field *layer_field_find(enum layer_type type, const char *name);
/* The same of a kind; the first. */
const struct layer_field *layer_field_of_kind(enum layer_type type, enum field_kind kind);
bool layer_field_equal(const struct layer *a, const struct layer *b,
                       const struct layer_field *field);

/* An activation's number goes from minus this to this. */
#define ACTIVATION_MAX_SLOPE 100.0

#endif
