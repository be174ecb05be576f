#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "modelfile/modelfile.h"
#include "registry/targets.h"

struct registry_framework registry_framework_of(const char *format)
{
    static const struct registry_framework frameworks[] = {
        {"pth", "pytorch", "pytorch"},
        {"h5", "tensorflow", "keras"},
        {"keras", "tensorflow", "keras"},
        {"onnx", "onnx", "onnx"},
        {"safetensors", "native", "safetensors"},
    };
    for (size_t i = 0; i < sizeof frameworks / sizeof frameworks[0]; i++)
        if (strcmp(format, frameworks[i].format) == 0) return frameworks[i];
    return (struct registry_framework){format, format, format};
}

int registry_describe_model(const char *path, json_t **tags, struct error *error)
{
    static const char *const kept[] = {"engine", "dataset",    "epochs", "accuracy", "val_accuracy",
                                       "run",    "batch_size", "lr",     "seed"};
    struct model *model;
    char sha256[HASH_HEX_SIZE];
    if (modelfile_read(path, NULL, &model, error)) return -1;
    int status = hash_file(path, sha256, NULL, error);
    if (!status) {
        *tags = json_pack(
            "{s:s, s:s, s:o, s:s}", "framework", registry_framework_of(model->format).name,
            "format", model->format, "parameters",
            json_sprintf("%zu", network_parameter_count(&model->network)), "sha256", sha256);
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
            const json_t *value = json_object_get(model->metadata, kept[i]);
            if (!json_is_string(value)) continue;
            bool figure = strstr(kept[i], "accuracy") != NULL; /* for readers: not all its digits */
            json_object_set_new(*tags, kept[i],
                                figure
                                    ? json_sprintf("%.4f", strtod(json_string_value(value), NULL))
                                    : json_incref((json_t *)value));
        }
    }
    model_destroy(model);
    return status;
}
