/* Schedules of the learning rate: "cosine:min=0". What a schedule says of a step is a function of
 * the step alone, but for `plateau`, which watches the validation loss and keeps a state.
 *
 * Lengths are in epochs. The rate changes with every epoch, as PyTorch's schedulers are used, or
 * with every step, as Keras's schedules count: by the meaning, unless `unit` says so. */
#ifndef NNSTUDIO_TRAIN_SCHEDULE_H
#define NNSTUDIO_TRAIN_SCHEDULE_H

#include "base/error.h"
#include "net/optimizer.h"

#define SCHEDULE_MAX_LENGTH     128
#define SCHEDULE_MAX_PARAMETERS 5

enum schedule_kind {
    SCHEDULE_CONSTANT,
    SCHEDULE_STEP,
    SCHEDULE_EXPONENTIAL,
    SCHEDULE_POLYNOMIAL,
    SCHEDULE_COSINE,
    SCHEDULE_ONECYCLE,
    SCHEDULE_PLATEAU,
    SCHEDULE_KIND_COUNT
};

struct schedule {
    enum schedule_kind kind;
    enum meaning meaning;
    bool per_step;                          /* else per epoch */
    double values[SCHEDULE_MAX_PARAMETERS]; /* in the order of the kind's row in schedule.c */
    uint32_t warmup; /* over so many steps the rate rises from a share of the schedule's to all */
};

/* What `plateau` knows between two epochs; zeroed at the beginning. */
struct schedule_state {
    bool begun;
    double scale;  /* what the learning rate is multiplied by; 1 until begun */
    double best;   /* the smallest validation loss */
    uint32_t bad;  /* epochs since it became smaller */
    uint32_t rest; /* epochs of the cooldown that are left */
};

/* "constant", "step:every=3,gamma=0.5": the message names what is not known or out of range. */
int schedule_parse(const char *text, enum meaning meaning, uint32_t warmup, struct schedule *out,
                   struct error *error);
/* For users. */
#define SCHEDULE_HELP                                                                          \
    "schedule of the learning rate: constant, step:every=3,gamma=0.5, exponential:gamma=0.9, " \
    "polynomial:power=1, cosine:min=0, onecycle:max=0.1 or plateau:patience=2,factor=0.1; in " \
    "epochs; per epoch (pytorch) or per step (keras), or as unit=step says"
/* The value of a parameter by its name, such as "gamma"; the kind must have it. */
double schedule_value(const struct schedule *schedule, const char *name);

/* Whether all steps have the learning rate itself. */
bool schedule_is_constant(const struct schedule *schedule);

/* Where the steps of a run lie. */
struct schedule_span {
    double learning_rate;
    uint64_t steps_per_epoch;
    uint32_t epochs; /* in all */
};
/* The learning rate of step `step`, counted from 0. */
double schedule_rate(const struct schedule *schedule, const struct schedule_span *span,
                     const struct schedule_state *state, uint64_t step);
/* After an epoch with this validation loss. */
void schedule_note_loss(const struct schedule *schedule, const struct schedule_span *span,
                        double loss, struct schedule_state *state);

#endif
