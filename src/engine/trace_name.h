/* The names of a traced step's tensors: composed here, and read here.
 *
 *   input, logits, probabilities, loss, saliency
 *   z2                 what layer 2 computes, before its activation; layers count from 1
 *   a2                 and after it
 *   grad/fc1.weight    the loss's gradient by a parameter
 *   new/fc1.weight     a parameter, or a buffer, after the update */
#ifndef NNSTUDIO_ENGINE_TRACE_NAME_H
#define NNSTUDIO_ENGINE_TRACE_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "net/layer.h"

enum trace_what {
    TRACE_INPUT,
    TRACE_BEFORE, /* a layer's output before its activation */
    TRACE_AFTER,  /* … and after it */
    TRACE_LOGITS,
    TRACE_PROBABILITIES,
    TRACE_LOSS,
    TRACE_GRADIENT,
    TRACE_NEW,
    TRACE_SALIENCY, /* the chosen logit's derivative by the input */
    TRACE_WHAT_COUNT
};

#define TRACE_NAME_SIZE 64

struct trace_name {
    enum trace_what what;
    uint32_t layer;  /* TRACE_BEFORE, TRACE_AFTER: from 1; otherwise 0 */
    char tensor[48]; /* TRACE_GRADIENT, TRACE_NEW: "fc1.weight"; otherwise "" */
};

/* Writes the name of the `what` of layer `layer` (from 1), or of the tensor of that name; what the
 * kind of tensor does not need is not looked at. Returns `out`. */
const char *trace_name(char out[TRACE_NAME_SIZE], enum trace_what what, uint32_t layer,
                       const char *tensor);
/* The reverse. False, with *out untouched, when `name` is not such a name. */
bool trace_name_parse(const char *name, struct trace_name *out);
/* What it is, in a few words; static. */
const char *trace_name_words(const struct trace_name *name);

/* True when a trace shows TRACE_BEFORE of this layer: where it can differ from TRACE_AFTER, and for
 * every dense layer. (Of a layer that is nothing but an activation, it is the layer below's
 * output.) The last layer's output is TRACE_LOGITS instead of either. */
bool trace_shows_before(const struct layer *layer);

#endif
