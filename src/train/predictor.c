#include "train/predictor.h"

#include "train/metrics.h"

int predictor_open(const char *path, const struct modelfile_options *options,
                   const struct engine_ops *ops, uint32_t threads, struct predictor *out,
                   struct error *error)
{
    *out = (struct predictor){0};
    if (modelfile_read(path, options, &out->model, error)) return -1;
    if (network_check(&out->model->network, error)) {
        error_prefix(error, "%s", path);
        predictor_close(out);
        return -1;
    }
    struct engine_config config = {
        .network = out->model->network,
        .dtype = out->model->parameters->dtype,
        .batch_size = 32,
        .threads = threads,
    };
    if (optimizer_init(&config.optimizer, "sgd", error) ||
        engine_open(ops, &config, &out->engine, error) ||
        engine_set_parameters(out->engine, out->model->parameters, error)) {
        predictor_close(out);
        return -1;
    }
    out->classes = network_classes(&out->model->network);
    out->inputs = network_inputs(&out->model->network);
    return 0;
}

int predictor_predict(struct predictor *predictor, const uint8_t *pixels, double *probabilities,
                      uint32_t *best, struct error *error)
{
    /* The logits come first, in the same place. */
    if (engine_forward(predictor->engine, pixels, 1, probabilities, error)) return -1;
    *best = metrics_probabilities(probabilities, predictor->classes, probabilities);
    return 0;
}

void predictor_close(struct predictor *predictor)
{
    engine_close(predictor->engine);
    model_destroy(predictor->model);
    *predictor = (struct predictor){0};
}
