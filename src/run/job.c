#include "run/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/js.h"
#include "base/path.h"
#include "base/random.h"
#include "base/text.h"
#include "engine/engine.h"
#include "ranks/ranks.h"
#include "run/settings.h"

/* The members that are no settings: which run it is and where it lies. */
static const struct place {
    const char *key;
    size_t offset, size;
    /* clang-format off */
} places[] = {
#define PLACE(member) {#member, offsetof(struct job, member), sizeof ((struct job *)0)->member}
    PLACE(run), PLACE(engine), PLACE(home), PLACE(run_dir), PLACE(out_dir), PLACE(resume), PLACE(changed_data),
#undef PLACE
};
/* clang-format on */
#define PLACE_COUNT (sizeof places / sizeof places[0])

void job_init(struct job *job)
{
    *job = (struct job){.out_dir = "models"};
    snprintf(job->engine, sizeof job->engine, "%s", engine_default->id);
    settings_init(job);
}

json_t *job_to_json(const struct job *job)
{
    json_t *value = json_object();
    for (size_t i = 0; i < PLACE_COUNT; i++)
        json_object_set_new(value, places[i].key,
                            json_string((const char *)job + places[i].offset));
    /* how it was started, no setting: a run may go on with another number of ranks */
    if (job->ranks > 1) json_object_set_new(value, "ranks", json_integer(job->ranks));
    settings_add_all(job, value);
    return value;
}

static const struct place *find_place(const char *key)
{
    for (size_t i = 0; i < PLACE_COUNT; i++)
        if (strcmp(places[i].key, key) == 0) return &places[i];
    return NULL;
}

static int read_ranks(const json_t *member, struct job *job, struct error *error)
{
    json_int_t ranks = json_integer_value(member);
    if (!json_is_integer(member) || ranks < 1 || ranks > RANKS_MAX)
        return error_set(error, ERROR_INPUT, "\"ranks\" must be a number from 1 to %d", RANKS_MAX);
    job->ranks = (uint32_t)ranks;
    return 0;
}

static int read_places(const json_t *value, struct job *job, struct error *error)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        const struct place *place = find_place(key);
        if (strcmp(key, "ranks") == 0) {
            if (read_ranks(member, job, error)) return -1;
            continue;
        }
        if (!place && !setting_find(key))
            return error_set(error, ERROR_INPUT, "a job has no member \"%.60s\": leave it out",
                             key);
        if (!place || json_is_null(member)) continue;
        const char *text = json_string_value(member);
        if (!text) return error_set(error, ERROR_INPUT, "\"%s\" must be a string", key);
        if (strlen(text) >= place->size)
            return error_set(error, ERROR_INPUT, "\"%s\" is too long: the most is %zu bytes", key,
                             place->size - 1);
        memcpy((char *)job + place->offset, text, strlen(text) + 1);
    }
    return 0;
}

/* In the jobs of older versions the optimizer is an object with its own settings. */
static int read_settings(const json_t *value, struct job *job, struct error *error)
{
    const json_t *optimizer = json_object_get(value, "optimizer");
    if (!json_is_object(optimizer)) return settings_take_all(value, job, error);
    json_t *others = json_copy((json_t *)(uintptr_t)value);
    if (!others) return error_set_memory(error, "a job");
    json_object_del(others, "optimizer");
    int status = optimizer_from_json(optimizer, &job->optimizer, error) ||
                 settings_take_all(others, job, error);
    json_decref(others);
    return status ? -1 : 0;
}

/* Those that JSON cannot hold would drop out of the job. */
static int check_places(const struct job *job, struct error *error)
{
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        const char *text = (const char *)job + places[i].offset;
        if (!js_can_hold(text))
            return error_set(error, ERROR_INPUT,
                             "the path \"%.200s\" is not UTF-8, so it cannot be kept: rename it, "
                             "or take another",
                             text_shown(text));
    }
    return 0;
}

static int check(const struct job *job, bool begun, struct error *error)
{
    const struct engine_ops *engine;
    if (engine_need(job->engine, &engine, error) || settings_check(job, begun, error) ||
        check_places(job, error))
        return -1;
    if (job->hidden_count && job->activation == ACTIVATION_NONE)
        return error_set(error, ERROR_INPUT,
                         "hidden layers need an activation: use relu, for example");
    if (!path_is_plain_name(job->name))
        return error_set(
            error, ERROR_INPUT,
            "\"%.60s\" is not a valid model name: use letters, digits, '.', '_' and '-' only, "
            "a letter or digit first",
            job->name);
    if (job->run[0] && !path_is_plain_name(job->run))
        return error_set(
            error, ERROR_INPUT,
            "\"%.60s\" is not a valid run id: use letters, digits, '.', '_' and '-' only, "
            "a letter or digit first",
            job->run);
    return 0;
}

int job_from_json(const json_t *value, struct job *job, struct error *error)
{
    if (!json_is_object(value)) return error_set(error, ERROR_INPUT, "a job must be a JSON object");
    if (read_places(value, job, error) || read_settings(value, job, error)) return -1;
    return check(job, true, error);
}

int job_check(const struct job *job, struct error *error)
{
    return check(job, job->resume[0], error);
}

int job_network(const struct job *job, uint32_t rows, uint32_t columns, uint32_t channels,
                uint32_t classes, struct network *network, struct error *error)
{
    if (!job->net[0]) {
        if (network_build(network, rows, columns, job->hidden, job->hidden_count, job->activation,
                          classes, error))
            return -1;
        network->channels = channels;
        network->layers[0].inputs = 0; /* the whole picture, whatever its colors */
        return network_finish(network, error);
    }
    *network = (struct network){.rows = rows, .columns = columns, .channels = channels};
    if (network_parse(job->net, network, error)) return -1;
    if (network_classes(network) != classes)
        return error_set(error, ERROR_INPUT,
                         "the network ends in %u units, but the data set has %u classes: end it "
                         "with dense %u",
                         network_classes(network), classes, classes);
    return 0;
}

int job_schedule(const struct job *job, struct schedule *out, struct error *error)
{
    return schedule_parse(job->schedule, job->optimizer.meaning, job->warmup, out, error);
}

void job_dataset_options(const struct job *job, struct dataset_options *out)
{
    *out = (struct dataset_options){
        .data_dir = job->data_dir[0] ? job->data_dir : NULL,
        .home = job->home[0] ? job->home : NULL,
        .limit = job->limit,
        .label_column = job->label_column[0] ? job->label_column : NULL,
        .scale = job->scale,
        .mean = job->mean,
        .std = job->std,
        .invert = job->invert,
    };
}

void job_make_id(const char *engine, char out[64])
{
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    char when[32];
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", &parts);
    uint32_t chance;
    random_fill(&chance, sizeof chance);
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
