/* The two ways in which the native engine trains, each a table of functions: for this folder only.
 */
#ifndef NNSTUDIO_ENGINE_NATIVE_WAY_H
#define NNSTUDIO_ENGINE_NATIVE_WAY_H

#include "engine/native/model.h"
#include "engine/native/plan.h"

struct native_engine {
    struct engine base;
    struct team *team;
    const struct native_way *way;
    struct native_model *model; /* of native_way_dense */
    struct samples lists;       /* of the attached split; native_way_dense */
    struct plan *plan;          /* of native_way_plan */
    union native_table values;  /* of the 256 codes */
};

/* As the engine's slots of the same names (engine.h). */
struct native_way {
    int (*open)(struct native_engine *self, const struct engine_config *config,
                struct error *error);
    void (*close)(struct native_engine *self); /* also of one that was not opened to the end */
    /* Room for `rows` samples at a time. */
    int (*reserve)(struct native_engine *self, size_t rows, struct error *error);
    /* The samples in a form of the way's own. */
    int (*attach)(struct native_engine *self, const struct split *split, struct error *error);
    /* Set 0: the parameters; 1 + slot: the optimizer's. */
    void (*import)(struct native_engine *self, const struct parameters *source, uint32_t set);
    void (*export)(const struct native_engine *self, struct parameters *destination, uint32_t set);
    struct optimizer *(*optimizer)(struct native_engine *self);
    uint64_t *(*steps)(struct native_engine *self); /* that the optimizer has taken */
    double *(*numbers)(struct native_engine *self); /* the optimizer's */
    /* Of as many samples at a time as are reserved. */
    void (*train)(struct native_engine *self, const uint32_t *order, size_t count, double *losses,
                  uint32_t *correct);
    int (*gradients)(struct native_engine *self, const struct engine_part *part,
                     const uint32_t *order, size_t count, struct parameters *sums, double *loss,
                     uint32_t *correct, struct error *error);
    int (*apply)(struct native_engine *self, const struct parameters *sums, double divisor,
                 struct error *error);
    size_t forward_rows; /* samples at a time in forward() */
    int (*forward)(struct native_engine *self, const uint8_t *pixels, size_t rows, double *logits,
                   struct error *error);
    int (*trace)(struct native_engine *self, const uint32_t *order, size_t count,
                 engine_trace_fn *emit, void *context, struct error *error);
};

/* Dense layers on pixels: the first layer skips what is blank (model.h). */
extern const struct native_way native_way_dense;
/* Every other network: a plan of operations (plan.h). */
extern const struct native_way native_way_plan;

#endif
