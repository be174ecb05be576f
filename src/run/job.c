#include "run/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/js.h"
#include "base/path.h"
#include "engine/engine.h"

#define JOB_MAX_EPOCHS  1000000
#define JOB_MAX_BATCH   65536
#define JOB_MAX_THREADS 256

void job_init(struct job *job)
{
    struct error error;
    *job = (struct job){
        .dataset = "synthetic",
        .out_dir = "models",
        .name = "simple_nn",
        .device = "cpu",
        .hidden = {128},
        .hidden_count = 1,
        .activation = ACTIVATION_RELU,
        .dtype = DTYPE_FLOAT32,
        .init = INIT_TORCH,
        .epochs = 5,
        .batch_size = 32,
    };
    snprintf(job->engine, sizeof job->engine, "%s", engine_default->id);
    CHECK(optimizer_init(&job->optimizer, "sgd", &error) == 0);
}

/* The members that are plain text, with where they lie and how long they may be. */
static const struct text_member {
    const char *key;
    size_t offset, size;
    /* clang-format off */
} text_members[] = {
#define TEXT(member) {#member, offsetof(struct job, member), sizeof ((struct job *)0)->member}
    TEXT(run), TEXT(engine), TEXT(dataset), TEXT(data_dir), TEXT(home), TEXT(run_dir),
    TEXT(out_dir), TEXT(name), TEXT(from), TEXT(resume), TEXT(device),
#undef TEXT
};
/* clang-format on */
#define TEXT_COUNT (sizeof text_members / sizeof text_members[0])

static const struct number_member {
    const char *key, *spoken;
    size_t offset;
    uint32_t low, high;
} number_members[] = {
    {"epochs", "number of epochs", offsetof(struct job, epochs), 1, JOB_MAX_EPOCHS},
    {"batch_size", "batch size", offsetof(struct job, batch_size), 1, JOB_MAX_BATCH},
    {"threads", "number of threads", offsetof(struct job, threads), 0, JOB_MAX_THREADS},
    {"limit", "limit", offsetof(struct job, limit), 0, UINT32_MAX},
};
#define NUMBER_COUNT (sizeof number_members / sizeof number_members[0])

static const char *const other_members[] = {"hidden", "activation", "optimizer",
                                            "dtype",  "init",       "seed"};

static uint32_t *number_of(const struct job *job, const struct number_member *member)
{
    return (uint32_t *)((char *)(uintptr_t)job + member->offset);
}

json_t *job_to_json(const struct job *job)
{
    json_t *value = json_object();
    for (size_t i = 0; i < TEXT_COUNT; i++)
        json_object_set_new(value, text_members[i].key,
                            json_string((const char *)job + text_members[i].offset));
    json_t *hidden = json_array();
    for (uint32_t i = 0; i < job->hidden_count; i++)
        json_array_append_new(hidden, json_integer(job->hidden[i]));
    json_object_set_new(value, "hidden", hidden);
    json_object_set_new(value, "activation", json_string(activation_name(job->activation)));
    json_object_set_new(value, "optimizer", optimizer_to_json(&job->optimizer));
    json_object_set_new(value, "dtype", json_string(dtype_name(job->dtype)));
    json_object_set_new(value, "init", json_string(init_scheme_name(job->init)));
    for (size_t i = 0; i < NUMBER_COUNT; i++)
        json_object_set_new(value, number_members[i].key,
                            json_integer(*number_of(job, &number_members[i])));
    json_object_set_new(value, "seed", json_integer((json_int_t)job->seed));
    return value;
}

static int refuse_unknown_members(const json_t *value, struct error *error)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        bool known = false;
        for (size_t i = 0; i < TEXT_COUNT && !known; i++)
            known = strcmp(key, text_members[i].key) == 0;
        for (size_t i = 0; i < NUMBER_COUNT && !known; i++)
            known = strcmp(key, number_members[i].key) == 0;
        for (size_t i = 0; i < sizeof other_members / sizeof other_members[0] && !known; i++)
            known = strcmp(key, other_members[i]) == 0;
        if (!known)
            return error_set(error, ERROR_INPUT, "a job has no member \"%.60s\": leave it out",
                             key);
    }
    return 0;
}

static int read_texts(const json_t *value, struct job *job, struct error *error)
{
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        char *place = (char *)job + text_members[i].offset;
        const char *text = place;
        if (js_get_string(value, text_members[i].key, &text, error)) return -1;
        if (text == place) continue;
        if (strlen(text) >= text_members[i].size)
            return error_set(error, ERROR_INPUT, "\"%s\" is too long: the most is %zu bytes",
                             text_members[i].key, text_members[i].size - 1);
        memcpy(place, text, strlen(text) + 1);
    }
    return 0;
}

static int read_hidden(const json_t *value, struct job *job, struct error *error)
{
    const json_t *hidden = json_object_get(value, "hidden");
    if (!hidden || json_is_null(hidden)) return 0;
    if (!json_is_array(hidden) || json_array_size(hidden) >= NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "\"hidden\" must be an array of at most %d widths",
                         NETWORK_MAX_LAYERS - 1);
    job->hidden_count = (uint32_t)json_array_size(hidden);
    for (uint32_t i = 0; i < job->hidden_count; i++) {
        json_int_t width = json_integer_value(json_array_get(hidden, i));
        if (width < 1 || width > NETWORK_MAX_WIDTH)
            return error_set(error, ERROR_INPUT,
                             "a width in \"hidden\" must be a whole number from 1 to %d",
                             NETWORK_MAX_WIDTH);
        job->hidden[i] = (uint32_t)width;
    }
    return 0;
}

int job_from_json(const json_t *value, struct job *job, struct error *error)
{
    if (!json_is_object(value)) return error_set(error, ERROR_INPUT, "a job must be a JSON object");
    const char *activation = activation_name(job->activation), *dtype = dtype_name(job->dtype);
    const char *init = init_scheme_name(job->init);
    int64_t seed = (int64_t)job->seed;
    if (refuse_unknown_members(value, error) || read_texts(value, job, error) ||
        read_hidden(value, job, error))
        return -1;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        const struct number_member *member = &number_members[i];
        if (js_get_u32(value, member->key, member->low, member->high, number_of(job, member),
                       error))
            return -1;
    }
    if (js_get_string(value, "activation", &activation, error) ||
        activation_parse(activation, &job->activation, error) ||
        js_get_string(value, "dtype", &dtype, error) || dtype_parse(dtype, &job->dtype, error) ||
        js_get_string(value, "init", &init, error) || init_scheme_parse(init, &job->init, error) ||
        js_get_integer(value, "seed", 0, INT64_MAX, &seed, error))
        return -1;
    job->seed = (uint64_t)seed;
    const json_t *optimizer = json_object_get(value, "optimizer");
    if (optimizer && !json_is_null(optimizer) &&
        optimizer_from_json(optimizer, &job->optimizer, error))
        return -1;
    return job_check(job, error);
}

int job_check(const struct job *job, struct error *error)
{
    const struct engine_ops *engine;
    if (engine_need(job->engine, &engine, error)) return -1;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        const struct number_member *member = &number_members[i];
        uint32_t number = *number_of(job, member);
        if (number < member->low || number > member->high)
            return error_set(error, ERROR_INPUT,
                             "%u is no usable %s: give a whole number from %u to %u", number,
                             member->spoken, member->low, member->high);
    }
    if (job->seed > INT64_MAX)
        return error_set(error, ERROR_INPUT, "the seed is too large: the most is %lld",
                         (long long)INT64_MAX);
    if (job->hidden_count >= NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "too many hidden layers: the most is %d",
                         NETWORK_MAX_LAYERS - 1);
    for (uint32_t i = 0; i < job->hidden_count; i++)
        if (job->hidden[i] < 1 || job->hidden[i] > NETWORK_MAX_WIDTH)
            return error_set(error, ERROR_INPUT, "the hidden width %u is not usable: give 1 to %d",
                             job->hidden[i], NETWORK_MAX_WIDTH);
    if (job->hidden_count &&
        (job->activation <= ACTIVATION_NONE || job->activation >= ACTIVATION_COUNT))
        return error_set(error, ERROR_INPUT,
                         "hidden layers need an activation: use relu, tanh or sigmoid");
    if (optimizer_check(&job->optimizer, error)) return -1;
    if (!path_is_plain_name(job->name))
        return error_set(error, ERROR_INPUT,
                         "the name \"%.60s\" is not usable: letters, digits, '.', '_' and '-' only, a letter or digit first",
                         job->name);
    if (job->run[0] && !path_is_plain_name(job->run))
        return error_set(
            error, ERROR_INPUT,
            "the run id \"%.60s\" is not usable: letters, digits, '.', '_' and '-' only, a letter or digit first", job->run);
    if (!job->dataset[0])
        return error_set(error, ERROR_INPUT, "no data set is named: try synthetic or mnist");
    return 0;
}

void job_make_id(const char *engine, char out[64])
{
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    char when[32];
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", &parts);
    uint32_t chance = 0;
    if (getrandom(&chance, sizeof chance, 0) != sizeof chance) chance = (uint32_t)getpid();
    snprintf(out, 64, "%s-%.20s-%06x", when, engine, (unsigned)(chance & 0xffffff));
}

int job_set_home(struct job *job, const char *home, struct error *error)
{
    CHECK(job->run[0]);
    if ((size_t)snprintf(job->home, sizeof job->home, "%s", home) >= sizeof job->home ||
        (size_t)snprintf(job->run_dir, sizeof job->run_dir, "%s/runs/%s", home, job->run) >=
            sizeof job->run_dir)
        return error_set(error, ERROR_INPUT, "the path of the home folder is too long");
    return 0;
}

int job_parse_hidden(struct job *job, const char *text, struct error *error)
{
    job->hidden_count = 0;
    if (!*text || strcmp(text, "none") == 0) return 0;
    for (const char *place = text;;) {
        char *end;
        unsigned long width = strtoul(place, &end, 10);
        if (*place < '0' || *place > '9' || width < 1 || width > NETWORK_MAX_WIDTH ||
            (*end && *end != ','))
            return error_set(
                error, ERROR_USAGE,
                "the hidden widths \"%.60s\" are not usable: give whole numbers from 1 to %d, "
                "such as 128 or 128,64",
                text, NETWORK_MAX_WIDTH);
        if (job->hidden_count == NETWORK_MAX_LAYERS - 1)
            return error_set(error, ERROR_USAGE, "too many hidden layers: the most is %d",
                             NETWORK_MAX_LAYERS - 1);
        job->hidden[job->hidden_count++] = (uint32_t)width;
        if (!*end) return 0;
        place = end + 1;
    }
}
