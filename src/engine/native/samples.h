/* Pictures as lists of their non-zero pixels. */
#ifndef NNSTUDIO_ENGINE_NATIVE_SAMPLES_H
#define NNSTUDIO_ENGINE_NATIVE_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/native/team.h"

#define SAMPLES_MAX_INPUTS 65536 /* what an index of 16 bits reaches */

struct samples {
    size_t count;
    size_t *start;    /* [count + 1]: sample s has entries start[s] … start[s + 1] */
    uint16_t *index;  /* which pixel */
    uint8_t *value;   /* its byte, not 0 */
};

/* How many of `count` bytes are not zero. */
size_t samples_nonzero(const uint8_t *pixels, size_t count);
/* Lists of `count` pictures of `inputs` bytes; the team shares the work. samples_free() ends it. */
int samples_create(struct samples *samples, const uint8_t *pixels, size_t count, size_t inputs, struct team *team,
                   struct error *error);
/* A zeroed one is fine. */
void samples_free(struct samples *samples);

#endif
