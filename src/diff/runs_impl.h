/* Two runs while they are compared. For this room only. */
#ifndef NNSTUDIO_DIFF_RUNS_IMPL_H
#define NNSTUDIO_DIFF_RUNS_IMPL_H

#include <jansson.h>

#include "modelfile/state_dict.h"
#include "run/rate.h"
#include "run/settings.h"
#include "store/store.h"

#define NO_STEP UINT64_MAX

struct side {
    const char *id;
    struct job job; /* as it was trained */
    struct points points;
    struct fit_change *rates; /* where the rate was changed by hand; owned */
    size_t rate_count;
};

/* What a step does, in order: where two trainings part says what can be the cause. */
enum stage {
    STAGE_INITIAL = 1, /* the values that the training begins with */
    STAGE_ORDER = 2,   /* which samples the batch has */
    STAGE_INPUT = 4,   /* what they hold */
    STAGE_FORWARD = 8,
    STAGE_GRADIENT = 16,
    STAGE_UPDATE = 32,
};

/* The first tensor that parts. */
struct parting {
    uint64_t step;   /* NO_STEP: none does */
    char tensor[64]; /* "update/fc1.weight" */
    enum stage stage;
    bool measured; /* the shapes are the same, and: */
    double max_abs;
    double values[2];
    json_t *at; /* owned; its place */
};

/* --- again.c: the runs, trained again --- */

/* How far apart two numbers may lie, relative to their size: what rounding in the dtype does. */
double again_tolerance(enum dtype dtype);
bool again_near(double a, double b, double tolerance);
/* The first `steps` steps of both jobs in brief (run/replay.h), either of which may be NULL, at
 * once, in processes of their own. Both are to be cleared. */
int again_marks(const struct job *const jobs[2], uint32_t steps, const char *folder,
                struct state_dict out[2], struct error *error);
/* Whether a step is the same in both, up to and with its stage `last`. */
bool again_same_step(const struct state_dict marks[2], uint64_t step, enum stage last,
                     double tolerance);
/* The first step at which they part; NO_STEP: none. */
uint64_t again_first(const struct state_dict marks[2], uint32_t steps, double tolerance);
/* Number `step` of a series of the marks, such as "loss". */
double again_mark(const struct state_dict *marks, const char *name, uint64_t step);
/* That step of both jobs in all detail. */
int again_step(const struct job *const jobs[2], uint64_t step, double tolerance, const char *folder,
               struct parting *out, struct error *error);

/* --- cause.c: which setting did it --- */

struct cause {
    const char *id; /* "settings", "data", "initialization", "meaning", "unexplained" */
    uint32_t row;   /* of the atlas; 0: none */
    char what[280]; /* "Momentum 0 and 0.9"; "": no setting */
    char evidence[640];
};
/* What can part two trainings at that stage, of the settings that differ (`differ[i]` of row i of
 * the table): found by training A again with B's value. `marks_b`: of B, in float64. */
int cause_find(const struct side sides[2], const bool differ[SETTINGS_MAX],
               const struct parting *parting, const struct state_dict *marks_b, const char *folder,
               struct cause *out, struct error *error);
/* The same by the settings alone, for runs that cannot be trained again, and why they cannot. */
void cause_guess(const struct side sides[2], const bool differ[SETTINGS_MAX], const char *why,
                 struct cause *out);

#endif
