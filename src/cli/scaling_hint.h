/* Whether a model from elsewhere seems to expect another scaling of its input. */
#ifndef NNSTUDIO_CLI_SCALING_HINT_H
#define NNSTUDIO_CLI_SCALING_HINT_H

#include "train/predictor.h"

struct scaling_hint {
    const char *words; /* "--mean 0.1307 --std 0.3081"; NULL: no other scaling does much better */
    struct input_form form;
    double accuracy; /* with it … */
    double now;      /* … and as evaluated, on the same samples */
    size_t samples;
};

/* Tries the usual scalings on the first test samples when the model's file says none. The engine is
 * left open with the last one tried. */
int scaling_hint_find(struct predictor *predictor, const struct engine_ops *ops, uint32_t threads,
                      const struct dataset *dataset, struct scaling_hint *out, struct error *error);
/* {"options", "scale", "mean", "std", "accuracy", "accuracy_now", "samples"} or null; new
 * reference. */
json_t *scaling_hint_json(const struct scaling_hint *hint);
void scaling_hint_print(const struct scaling_hint *hint);

#endif
