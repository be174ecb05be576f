/* The fit loop: order, batches, evaluation, callbacks. Knows engines, not processes or files. */
#ifndef NNSTUDIO_TRAIN_FIT_H
#define NNSTUDIO_TRAIN_FIT_H

#include "base/error.h"
#include "data/dataset.h"
#include "engine/engine.h"
#include "train/schedule.h"

/* The order of epoch `epoch` (from 0): a permutation of 0 … count-1 that depends on seed and epoch
 * alone. */
void fit_order(uint64_t seed, uint32_t epoch, uint32_t *out, size_t count);

/* The best epoch so far: the one with the smallest loss on the validation samples, or, without any,
 * on the test samples. Zeroed at the beginning. */
struct fit_best {
    uint32_t epoch; /* from 1; 0: none yet */
    uint32_t since; /* epochs since */
    double loss;
};

/* The learning rate was changed by hand: from `step` on it is `rate`, where the schedule had
 * `planned`. The schedule goes on, multiplied by rate / planned. */
struct fit_change {
    uint64_t step;
    double rate, planned;
};
/* The rate of a step where the schedule has `planned`, after the last change before it; NULL or a
 * zeroed one: none. */
double fit_changed_rate(const struct fit_change *change, double planned);

/* Where a run stands between two steps. */
struct fit_position {
    uint32_t epoch;       /* epochs finished */
    uint64_t step;        /* steps finished within the current epoch */
    uint64_t global_step; /* steps finished in all */
    double loss_sum;      /* of the current epoch's steps so far */
    uint64_t correct;     /* of the current epoch's samples so far */
    double train_seconds; /* of the current epoch so far, training alone */
    struct schedule_state schedule;
    struct fit_change change; /* the last one; zeroed: none */
    struct fit_best best;
};

struct fit_epoch {
    uint32_t epoch; /* from 1 */
    /* mean over the epoch's steps; share of training samples right before each update */
    double loss, accuracy;
    double val_loss, val_accuracy; /* on the test split, after the epoch */
    /* likewise on the validation split, if the data set has one */
    double validation_loss, validation_accuracy;
    bool best;      /* better than all before it (struct fit_best) */
    double seconds; /* training alone */
    double samples_per_second;
    double learning_rate; /* of its last step */
};

enum fit_request { FIT_GO_ON, FIT_STOP };

/* Callbacks, as Keras names them. Any may be NULL. Returning FIT_STOP ends the run at that point,
 * cleanly. */
struct fit_callbacks {
    void *context;
    enum fit_request (*on_steps)(void *context, const struct fit_position *position,
                                 uint64_t first_step,
                                 /* a few tens of times per second */
                                 const double *losses, size_t count);
    enum fit_request (*on_epoch_end)(void *context, const struct fit_position *position,
                                     const struct fit_epoch *epoch);
    /* Asked between two calls of the engine, and after the last one of a run that stops: the
     * learning rate from the next step on; 0: as it is. */
    double (*wanted_rate)(void *context);
    /* It is taken, position->change; or not, where the schedule has a rate of 0, of which nothing
     * is a multiple. */
    void (*on_rate)(void *context, const struct fit_position *position, bool taken);
};

struct fit_config {
    uint32_t epochs; /* total to reach, counting those before a resume */
    uint32_t batch_size;
    uint64_t seed;
    uint32_t patience; /* ends after so many epochs without a better one; 0: never */
    bool needs_best;   /* someone asks for fit_epoch.best: refused where nothing is measured */
    struct schedule schedule; /* of the engine's learning rate; zeroed: constant */
    double events_per_second; /* how often on_steps is wanted; 0: 25 */
};

/* Steps an epoch has; the last batch may be short. */
uint64_t fit_steps_per_epoch(size_t samples, uint32_t batch_size);

/* Whether the epochs are done, or those without a better one as many as the patience allows. */
bool fit_is_over(const struct fit_config *config, const struct fit_position *position);

/* Trains from *position until fit_is_over() or a FIT_STOP; *position is kept up to date. A loss
 * that is not finite ends the run with an error that names the step. */
int fit(struct engine *engine, const struct dataset *dataset, const struct fit_config *config,
        struct fit_position *position, const struct fit_callbacks *callbacks, struct error *error);

#endif
