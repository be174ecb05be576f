/* An engine and the reference side by side: the networks that every engine is tried on, the samples
 * they learn, and how results are compared. For test_engines.c and the engines' own small tests. */
#ifndef NNSTUDIO_TESTS_TRIAL_H
#define NNSTUDIO_TESTS_TRIAL_H

/* clang-format off: cmocka.h needs the others before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "base/rng.h"
#include "engine/engine.h"
#include "reference.h"

/* One row per network; a new layer type adds its rows, with a build function of its own. */
struct trial_case {
    const char *label;
    int (*build)(const struct trial_case *c, enum activation activation, struct network *out,
                 struct error *error);
    uint32_t rows, columns, classes;
    uint32_t hidden[3], depth; /* dense: the hidden layers' widths */
    uint32_t samples, batch;
    double share; /* of pixels that are not zero */
    bool core;    /* tried with every activation, optimizer and dtype together */
};
extern const struct trial_case trial_cases[];
extern const size_t trial_case_count;
/* The case of that label. */
const struct trial_case *trial_find(const char *label);
/* The activation after `last` that this case is tried with: every one that network_check() lets
 * through. Begins at ACTIVATION_NONE, ends with ACTIVATION_COUNT; one only without hidden
 * layers. */
enum activation trial_activation(const struct trial_case *c, enum activation last);
#define EACH_ACTIVATION(activation, c)                                  \
    (enum activation activation = trial_activation(c, ACTIVATION_NONE); \
     activation < ACTIVATION_COUNT; activation = trial_activation(c, activation))

struct trial_optimizer {
    const char *label;
    struct optimizer optimizer;
};
extern const struct trial_optimizer trial_optimizers[];
extern const size_t trial_optimizer_count;
const struct optimizer *trial_find_optimizer(const char *label);

struct trial {
    const struct trial_case *c;
    struct engine_config config;
    struct split split;
    uint32_t *order;            /* [split.count], a permutation */
    size_t steps;               /* of an epoch; the last batch may be short */
    struct parameters *initial; /* float64, drawn as float32 */
    struct reference reference; /* begins with them */
    struct error error;
};

/* The samples, the initial parameters and the reference; no engine yet. Ended by trial_end(). */
void trial_begin(struct trial *trial, const struct trial_case *c, enum activation activation,
                 const struct optimizer *optimizer);
void trial_end(struct trial *trial);
/* The samples in step `step` of an epoch: where they begin in the order, and how many. */
size_t trial_step(const struct trial *trial, size_t step, size_t *count);
/* The reference begins anew, with its initial parameters. */
void trial_restart_reference(struct trial *trial);

/* An engine with the trial's network, samples and initial parameters; the caller closes it. */
struct engine *trial_open(struct trial *trial, const struct engine_ops *ops, enum dtype dtype);
/* What is in the engine; the caller destroys it. */
struct parameters *trial_parameters(struct trial *trial, struct engine *engine);
struct optimizer_state *trial_state(struct trial *trial, struct engine *engine);

/* Fails the test with the call's message when `result` is not 0. */
void trial_succeed(const struct trial *trial, int result);
/* Fails the test, naming the trial, unless |got - expected| ≤ tolerance · max(1, |expected|). */
void trial_near(const struct trial *trial, double got, double expected, double tolerance,
                const char *what);
/* All values of two parameter blocks, in any dtypes. */
void trial_near_parameters(const struct trial *trial, const struct parameters *got,
                           const struct parameters *expected, double tolerance);
/* The engine's parameters and optimizer state against the reference's. */
void trial_near_reference(struct trial *trial, struct engine *engine, double tolerance);
void trial_same_bits(const struct trial *trial, const struct parameters *a,
                     const struct parameters *b);

/* Indices below `count` at which to try a slope: all of few, else some drawn. Returns how many. */
#define TRIAL_PROBES 12
size_t trial_probes(struct rng *rng, size_t count, size_t out[TRIAL_PROBES]);

/* What a trace has shown. */
#define TRIAL_MAX_SEEN 160
struct trial_seen {
    size_t count, next; /* next: the one that trial_shown() looks at */
    struct {
        char name[64];
        uint32_t rank;
        size_t shape[4], size;
        double *values;
    } tensors[TRIAL_MAX_SEEN];
};
/* An engine_trace_fn; `context` is a zeroed struct trial_seen, freed by trial_forget(). */
int trial_see(void *context, const char *name, const size_t *shape, uint32_t rank,
              const double *values);
void trial_forget(struct trial_seen *seen);
/* The values under that name; fails the test when there are none, or not `size`. */
const double *trial_seen_values(const struct trial *trial, const struct trial_seen *seen,
                                const char *name, size_t size);

#endif
