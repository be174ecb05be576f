/* What the files of handlers share. */
#ifndef NNSTUDIO_HTTP_ROUTES_H
#define NNSTUDIO_HTTP_ROUTES_H

#include "data/dataset.h"
#include "http/router.h"

/* Starts a task for each framework that is not here. */
void install_missing(struct studio *studio);

/* All data sets, as GET /api/datasets says. A new reference. */
json_t *datasets_json(const struct studio *studio);

/* Bytes as a JSON string in base64; NULL when memory is out. */
json_t *base64_json(const void *bytes, size_t size);

/* Samples of a split as a Samples: `most` at most, chosen by the seed, of class `label` (-1: any).
 * New reference. */
int samples_json(const struct dataset *dataset, const struct split *split, int label, uint64_t seed,
                 size_t most, json_t **out, struct error *error);

/* A picture's codes as it looks, in bytes, in base64; NULL when memory is out. */
json_t *lit_json(const uint8_t light[256], const uint8_t *codes, size_t count);

/* A Run as the answer to a call, or what is wrong. */
void reply_run(struct studio *studio, struct call *call, const char *run, bool full, int status);

/* The answer of …/points. A new reference. */
json_t *points_json(const struct points *points);

/* A job from a request's "settings", for a run of `engine`: its id, paths and name made, everything
 * checked. */
int make_job(const struct studio *studio, struct store *store, const json_t *settings,
             const char *engine, const char *name, struct job *job, struct error *error);

#endif
