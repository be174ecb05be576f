/* What an activation is: one row each. For this room only; others use layer.h's functions. */
#ifndef NNSTUDIO_NET_ACTIVATION_IMPL_H
#define NNSTUDIO_NET_ACTIVATION_IMPL_H

#include "net/layer.h"

struct activation_kind {
    const char *name;
    const char *member; /* the JSON member of its number, NULL for none */
    double usual;
};
extern const struct activation_kind activation_kinds[ACTIVATION_COUNT];

#endif
