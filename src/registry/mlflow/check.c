/* What MLflow would refuse, refused before the first request. */
#include <ctype.h>
#include <string.h>

#include "base/path.h"
#include "registry/mlflow/server.h"

#define TAGS_LIMIT      90 /* 100 per call, with the studio's own */
#define TAG_KEY_LIMIT   250
#define TAG_VALUE_LIMIT 5000

/* As MLflow's own validation (mlflow/utils/validation.py, 2.22 and 3.17) has it: letters of any
 * script, digits, / _ . - : and spaces, no path that means another. */
static bool is_tag_key(const char *key)
{
    if (!*key || *key == '/' || strlen(key) > TAG_KEY_LIMIT || key[strlen(key) - 1] == '/')
        return false;
    for (const char *c = key; *c; c++)
        if (!isalnum((unsigned char)*c) && !((unsigned char)*c & 0x80) && !strchr("/_.-: ", *c))
            return false;
    for (const char *part = key; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        size_t length = strcspn(part, "/");
        if (!length || (length == 1 && *part == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
    }
    return true;
}

int mlflow_check_tags(const json_t *tags, struct error *error)
{
    const char *key;
    json_t *value;
    size_t count = json_object_size(tags);
    if (count > TAGS_LIMIT)
        return error_set(error, ERROR_USAGE, "%zu tags are too many for MLflow: give at most %d",
                         count, TAGS_LIMIT);
    json_object_foreach((json_t *)tags, key, value) {
        if (!is_tag_key(key))
            return error_set(error, ERROR_USAGE,
                             "MLflow does not allow the tag name \"%.60s\": use 1 to %d letters, "
                             "digits, / _ . - : and spaces",
                             key, TAG_KEY_LIMIT);
        if (json_string_length(value) > TAG_VALUE_LIMIT)
            return error_set(error, ERROR_USAGE,
                             "the value of the tag \"%.60s\" has %zu bytes: MLflow allows %d", key,
                             json_string_length(value), TAG_VALUE_LIMIT);
    }
    return 0;
}

int mlflow_check(const struct registry_options *options, const struct registry_request *request,
                 struct error *error)
{
    char uri[512];
    const char *experiment = registry_value(options, REGISTRY_EXPERIMENT);
    if (request->name && *request->name && mlflow_check_name(request->name, error)) return -1;
    if (request->version && *request->version)
        return error_set(error, ERROR_USAGE, "MLflow numbers versions itself: leave --version out");
    if (strspn(experiment, " ") == strlen(experiment))
        return error_set(error, ERROR_USAGE, "the experiment's name is empty: give a name");
    if (!path_is_plain_name(path_base(request->model_path)))
        return error_set(error, ERROR_USAGE,
                         "the file name \"%.80s\" is not valid: use letters, digits, - _ and .",
                         path_base(request->model_path));
    return mlflow_check_tags(request->tags, error) || mlflow_server_uri(options, false, uri, error)
               ? -1
               : 0;
}
