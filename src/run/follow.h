/* One picture's way through a network: what every layer gives for it, and what of it the answer
 * depends on. */
#ifndef NNSTUDIO_RUN_FOLLOW_H
#define NNSTUDIO_RUN_FOLLOW_H

#include "engine/engine.h"
#include "modelfile/state_dict.h"

/* The class that the network answers. */
#define FOLLOW_ANSWER (ENGINE_NO_CLASS - 1)

struct follow {
    const struct engine_ops *ops;
    const struct network *network;
    const struct parameters *parameters;
    const struct preprocess *preprocess; /* of the codes in `pixels` */
    const uint8_t *pixels;               /* [network_inputs()] */
    uint32_t target;                     /* a class, FOLLOW_ANSWER or ENGINE_NO_CLASS */
};

/* The tensors of engine_follow(), as float64, into the zeroed *out, which the caller clears. An
 * engine that needs nothing installed computes here, a framework in a process of its own, which
 * works in a folder below `scratch`. */
int follow_picture(const struct follow *follow, const char *scratch, struct state_dict *out,
                   struct error *error);
/* What that process does: reads the request, writes the tensors. */
int follow_request(const char *request, const char *path, struct error *error);

#endif
