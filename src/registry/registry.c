#include "registry/registry.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/path.h"
#include "modelfile/modelfile.h"
#include "registry/targets.h"

const struct registry_target *const registry_targets[] = {
    &registry_azure,
    &registry_mlflow,
    &registry_local,
};
const size_t registry_target_count = sizeof registry_targets / sizeof registry_targets[0];

int registry_target_need(const char *id, const struct registry_target **out, struct error *error)
{
    for (size_t i = 0; i < registry_target_count; i++) {
        if (strcmp(registry_targets[i]->id, id) != 0) continue;
        *out = registry_targets[i];
        return 0;
    }
    return error_set(error, ERROR_USAGE, "unknown target \"%.40s\": use local, azure or mlflow",
                     id);
}

int registry_place_need(const char *word, const struct registry_target **out, const char **registry,
                        struct error *error)
{
    static const char start[] = "azureml://registries/";
    bool shared = strncmp(word, start, sizeof start - 1) == 0;
    *registry = shared ? word + sizeof start - 1 : NULL;
    if (shared && (!**registry || strchr(*registry, '/')))
        return error_set(error, ERROR_USAGE,
                         "\"%.80s\" is not a registry's address: write azureml://registries/NAME",
                         word);
    if (!shared && strncmp(word, "azureml:", 8) == 0)
        return error_set(
            error, ERROR_USAGE,
            "\"%.80s\" is not a target: write azureml://registries/NAME for a registry, "
            "azure for a workspace",
            word);
    return registry_target_need(shared ? "azure" : word, out, error);
}

void registry_default_name(const struct registry_request *request, char out[128])
{
    const struct modelfile_format *format;
    struct error none;
    bool known = modelfile_format_for_writing(request->model_path, &format, &none) == 0;
    const char *prefix = registry_framework_of(known ? format->id : "safetensors").name,
               *set = json_string_value(json_object_get(request->tags, "dataset"));
    snprintf(out, 128, "%s_%.100s", prefix, set && *set ? path_base(set) : "mnist");
    for (char *c = out; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
}

char *registry_value_text(const json_t *value)
{
    char text[JS_SHORTEST_SIZE];
    if (json_is_string(value)) return strdup(json_string_value(value));
    if (json_is_real(value)) return strdup(js_shortest(json_real_value(value), text));
    return !value || json_is_null(value) ? NULL : js_dump_as(value, JSON_ENCODE_ANY | JSON_COMPACT);
}
