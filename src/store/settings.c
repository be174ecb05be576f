/* Settings (the words of people and of api.md) and jobs (what a worker is started with). */
#include <string.h>

#include "base/js.h"
#include "store/store.h"

json_t *settings_from_job(const struct job *job)
{
    json_t *hidden = json_array();
    for (uint32_t i = 0; i < job->hidden_count; i++)
        json_array_append_new(hidden, json_integer(job->hidden[i]));
    return json_pack(
        "{s:s, s:i, s:f, s:i, s:I, s:s, s:s, s:i, s:o, s:s, s:s, s:f, s:f, s:I, s:s, s:s?}",
        "dataset", job->dataset, "epochs", (int)job->epochs, "lr", job->optimizer.learning_rate,
        "batch_size", (int)job->batch_size, "seed", (json_int_t)job->seed, "init",
        init_scheme_name(job->init), "dtype", dtype_name(job->dtype), "threads", (int)job->threads,
        "hidden", hidden, "activation", activation_name(job->activation), "optimizer",
        optimizer_type_name(job->optimizer.type), "momentum", job->optimizer.momentum,
        "weight_decay", job->optimizer.weight_decay, "limit", (json_int_t)job->limit, "device",
        job->device, "from", job->from[0] ? job->from : NULL);
}

static const char *const setting_names[] = {
    "dataset", "epochs",     "lr",     "batch_size", "seed",     "init",         "dtype", "threads",
    "hidden",  "activation", "device", "optimizer",  "momentum", "weight_decay", "limit", "from"};

static int refuse_unknown(const json_t *settings, struct error *error)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)settings, key, member) {
        bool known = false;
        for (size_t i = 0; i < sizeof setting_names / sizeof setting_names[0] && !known; i++)
            known = strcmp(key, setting_names[i]) == 0;
        if (!known)
            return error_set(error, ERROR_INPUT, "there is no setting \"%.60s\": leave it out",
                             key);
    }
    return 0;
}

static int read_text(const json_t *settings, const char *key, char *out, size_t size,
                     struct error *error)
{
    const char *text = out;
    if (js_get_string(settings, key, &text, error)) return -1;
    if (text == out) return 0;
    if (strlen(text) >= size)
        return error_set(error, ERROR_INPUT, "\"%s\" is too long: the most is %zu bytes", key,
                         size - 1);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int read_hidden(const json_t *settings, struct job *job, struct error *error)
{
    const json_t *hidden = json_object_get(settings, "hidden");
    if (!hidden || json_is_null(hidden)) return 0;
    if (!json_is_array(hidden) || json_array_size(hidden) >= NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "\"hidden\" must be an array of at most %d widths",
                         NETWORK_MAX_LAYERS - 1);
    job->hidden_count = (uint32_t)json_array_size(hidden);
    for (uint32_t i = 0; i < job->hidden_count; i++) {
        const json_t *width = json_array_get(hidden, i);
        if (!json_is_integer(width) || json_integer_value(width) < 1 ||
            json_integer_value(width) > NETWORK_MAX_WIDTH)
            return error_set(error, ERROR_INPUT,
                             "a width in \"hidden\" must be a whole number from 1 to %d",
                             NETWORK_MAX_WIDTH);
        job->hidden[i] = (uint32_t)json_integer_value(width);
    }
    return 0;
}

static int read_optimizer(const json_t *settings, struct optimizer *optimizer, struct error *error)
{
    const char *type = optimizer_type_name(optimizer->type);
    if (js_get_string(settings, "optimizer", &type, error) ||
        optimizer_init(optimizer, type, error))
        return -1;
    return js_get_real(settings, "lr", 0, 1e6, &optimizer->learning_rate, error) ||
                   js_get_real(settings, "momentum", 0, 1, &optimizer->momentum, error) ||
                   js_get_real(settings, "weight_decay", 0, 1e6, &optimizer->weight_decay, error)
               ? -1
               : 0;
}

int settings_to_job(const json_t *settings, struct job *job, struct error *error)
{
    job_init(job);
    if (!settings || json_is_null(settings)) return 0;
    if (!json_is_object(settings))
        return error_set(error, ERROR_INPUT, "\"settings\" must be an object");
    const char *activation = activation_name(job->activation), *dtype = dtype_name(job->dtype);
    const char *init = init_scheme_name(job->init);
    int64_t seed = (int64_t)job->seed;
    if (refuse_unknown(settings, error) ||
        read_text(settings, "dataset", job->dataset, sizeof job->dataset, error) ||
        read_text(settings, "device", job->device, sizeof job->device, error) ||
        read_text(settings, "from", job->from, sizeof job->from, error) ||
        read_hidden(settings, job, error) || read_optimizer(settings, &job->optimizer, error) ||
        js_get_u32(settings, "epochs", 1, 1000000, &job->epochs, error) ||
        js_get_u32(settings, "batch_size", 1, 65536, &job->batch_size, error) ||
        js_get_u32(settings, "threads", 0, 256, &job->threads, error) ||
        js_get_u32(settings, "limit", 0, INT32_MAX, &job->limit, error) ||
        js_get_integer(settings, "seed", 0, INT64_MAX, &seed, error) ||
        js_get_string(settings, "activation", &activation, error) ||
        activation_parse(activation, &job->activation, error) ||
        js_get_string(settings, "dtype", &dtype, error) || dtype_parse(dtype, &job->dtype, error) ||
        js_get_string(settings, "init", &init, error) || init_scheme_parse(init, &job->init, error))
        return -1;
    job->seed = (uint64_t)seed;
    return 0;
}
