#include "train/predictor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "train/metrics.h"

/* The array of names in the metadata, if it fits the network. */
static json_t *read_class_names(const struct model *model, uint32_t classes)
{
    const char *text = json_string_value(json_object_get(model->metadata, "class_names"));
    json_t *names = text ? json_loads(text, 0, NULL) : NULL;
    bool good = json_is_array(names) && json_array_size(names) == classes;
    for (size_t c = 0; good && c < classes; c++) good = json_is_string(json_array_get(names, c));
    if (good) return names;
    json_decref(names);
    return NULL;
}

/* A file that says nothing of its input, but begins by dividing bytes (by 255, or by 127.5 for
 * -1 … 1), is given bytes. */
static void expect_bytes(const struct network *network, struct input_form *form)
{
    const struct layer *first = &network->layers[0];
    if (!form->known && first->type == LAYER_RESCALE && first->scale >= 1.0 / 256 &&
        first->scale <= 1.0 / 127)
        form->scale = 1;
}

int predictor_read(const char *path, const struct modelfile_options *options, struct predictor *out,
                   struct error *error)
{
    *out = (struct predictor){0};
    if (modelfile_read(path, options, &out->model, error)) return -1;
    if (network_check(&out->model->network, error)) {
        error_prefix(error, "%s", path);
        predictor_close(out);
        return -1;
    }
    if (input_form_from_metadata(out->model->metadata, &out->form, error)) {
        predictor_close(out);
        return -1;
    }
    expect_bytes(&out->model->network, &out->form);
    out->classes = network_classes(&out->model->network);
    out->inputs = network_inputs(&out->model->network);
    out->class_names = read_class_names(out->model, out->classes);
    return 0;
}

int predictor_start(struct predictor *predictor, const struct engine_ops *ops, uint32_t threads,
                    const struct preprocess *preprocess, struct error *error)
{
    struct engine_probe probe;
    ops->probe(&probe);
    if (!probe.found) return error_set(error, ERROR_UNAVAILABLE, "%s", probe.missing);
    engine_close(predictor->engine);
    predictor->engine = NULL;
    struct engine_config config = {
        .network = predictor->model->network,
        .dtype = predictor->model->parameters->dtype,
        .batch_size = 32,
        .threads = threads,
        .infers = predictor->infers,
    };
    if (preprocess)
        config.preprocess = *preprocess;
    else
        input_form_preprocess(&predictor->form, NULL, 255, &config.preprocess);
    if (optimizer_init(&config.optimizer, "sgd", error) ||
        engine_open(ops, &config, &predictor->engine, error))
        return -1;
    return engine_set_parameters(predictor->engine, predictor->model->parameters, error);
}

int predictor_open(const char *path, const struct modelfile_options *options,
                   const struct engine_ops *ops, uint32_t threads, struct predictor *out,
                   struct error *error)
{
    if (predictor_read(path, options, out, error)) return -1;
    if (!predictor_start(out, ops, threads, NULL, error)) return 0;
    predictor_close(out);
    return -1;
}

const char *predictor_class_name(const struct predictor *predictor, uint32_t class, char number[16])
{
    const char *name = json_string_value(json_array_get(predictor->class_names, class));
    if (name) return name;
    snprintf(number, 16, "%u", class);
    return number;
}

int predictor_match(const struct predictor *predictor, struct dataset *dataset, struct error *error)
{
    const char *names[DATASET_MAX_CLASSES];
    if (predictor->inputs != dataset_inputs(dataset))
        return error_set(error, ERROR_INPUT,
                         "the model takes %zu values and knows %u classes, but %s has %zu and %u: "
                         "name the data it was made for with --dataset",
                         predictor->inputs, predictor->classes, dataset->title,
                         dataset_inputs(dataset), dataset->classes);
    if (predictor->class_names && predictor->classes <= DATASET_MAX_CLASSES) {
        for (uint32_t c = 0; c < predictor->classes; c++)
            names[c] = json_string_value(json_array_get(predictor->class_names, c));
        return dataset_match_classes(dataset, names, predictor->classes, error);
    }
    if (predictor->classes == dataset->classes) return 0;
    return error_set(error, ERROR_INPUT,
                     "the model knows %u classes, but %s has %u: name the data it was made for "
                     "with --dataset",
                     predictor->classes, dataset->title, dataset->classes);
}

int predictor_describe_data(const struct dataset *dataset, json_t *metadata, struct error *error)
{
    char hash[HASH_HEX_SIZE];
    int status = -1;
    char *path = dataset->known || !dataset->source[0] ? strdup("")
                                                       : path_absolute(dataset->source);
    json_t *names = json_array();
    for (uint32_t c = 0; c < dataset->classes; c++)
        json_array_append_new(names, js_shown(dataset->class_names[c]));
    char *text = js_dump_as(names, JSON_COMPACT);
    if (!path || !text) {
        error_set_memory(error, "the description of the data");
        goto out;
    }
    if (dataset_hash(dataset, hash, error)) goto out;
    json_object_set_new(metadata, "dataset", js_shown(dataset->name));
    json_object_set_new(metadata, "dataset_path", js_shown(path));
    json_object_set_new(metadata, "dataset_hash", json_string(hash));
    if (dataset->label_column[0])
        json_object_set_new(metadata, "label_column", js_shown(dataset->label_column));
    json_object_set_new(metadata, "class_names", json_string(text));
    input_form_to_metadata(&dataset->form, metadata);
    status = 0;
out:
    json_decref(names);
    free(text);
    free(path);
    return status;
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
    json_decref(predictor->class_names);
    *predictor = (struct predictor){0};
}
