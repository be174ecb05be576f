/* Data sets: which there are, samples, figures, what the engines receive. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "code/microscope.h"
#include "data/fetch.h"
#include "data/preprocess.h"
#include "data/stats.h"
#include "engine/engine.h"
#include "http/kept.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/routes.h"
#include "train/fit.h"

#define SAMPLES_MAX     400
#define NAME_MAX_LENGTH 100

json_t *base64_json(const void *bytes, size_t size)
{
    char *text = base64_encode(bytes, size);
    json_t *value = text ? json_string(text) : NULL;
    free(text);
    return value;
}

json_t *lit_json(const uint8_t light[256], const uint8_t *codes, size_t count)
{
    uint8_t *bytes = malloc(count);
    for (size_t p = 0; bytes && p < count; p++) bytes[p] = light[codes[p]];
    json_t *value = bytes ? base64_json(bytes, count) : NULL;
    free(bytes);
    return value;
}

/* Where a known set is; "" when it is not on this machine. */
static void find_source(const struct studio *studio, const struct dataset_entry *entry, char *out,
                        size_t size)
{
    const struct dataset_options options = {.data_dir = studio->data_dir, .home = studio->home};
    struct error ignored;
    char *folder = NULL;
    out[0] = '\0';
    if (!entry->built_in && !dataset_locate(entry, &options, &folder, &ignored))
        snprintf(out, size, "%s", folder);
    free(folder);
}

static json_t *known_json(const struct studio *studio, const struct dataset_entry *entry)
{
    char source[4096];
    const struct fetch_set *fetch = fetch_find(entry->name);
    json_t *classes = json_array();
    find_source(studio, entry, source, sizeof source);
    for (int i = 0; i < 10; i++)
        json_array_append_new(classes,
                              json_string(entry->class_names[i] ? entry->class_names[i] : ""));
    return json_pack(
        "{s:s, s:s, s:b, s:b, s:b, s:b, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:o}", "name",
        entry->name, "title", entry->title, "available", entry->built_in || source[0], "own", 0,
        "synthetic", (int)entry->built_in, "fetchable", fetch != NULL, "source", source,
        "download_bytes", (json_int_t)(fetch && !source[0] ? fetch_total(fetch) : 0), "train",
        (int)entry->train, "test", (int)entry->test, "rows", (int)entry->rows, "columns",
        (int)entry->columns, "channels", (int)entry->channels, "classes", classes);
}

/* A user's own set in the home's data folder: what is in it is known when it is opened. */
static json_t *own_json(const char *folder, const char *name)
{
    char source[4096];
    snprintf(source, sizeof source, "%s/%s", folder, name);
    return json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:s, s:i, s:n, s:n, s:n, s:n, s:n, s:[]}",
                     "name", name, "title", name, "available", 1, "own", 1, "synthetic", 0,
                     "fetchable", 0, "source", source, "download_bytes", 0, "train", "test", "rows",
                     "columns", "channels", "classes");
}

/* Whether a name in the home's data folder is of a set of the user's own: known sets lie there too,
 * and what is being fetched. */
static bool is_own_name(const char *name)
{
    size_t count;
    const struct dataset_entry *entries = dataset_list(&count);
    bool ours = !path_is_plain_name(name) || dataset_find(name) || strstr(name, ".part");
    for (size_t i = 0; i < count && !ours; i++)
        ours = (entries[i].folders[0] && strcmp(entries[i].folders[0], name) == 0) ||
               (entries[i].folders[1] && strcmp(entries[i].folders[1], name) == 0);
    return !ours;
}

json_t *datasets_json(const struct studio *studio)
{
    size_t count;
    const struct dataset_entry *entries = dataset_list(&count);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, known_json(studio, &entries[i]));
    char *folder = path_join(studio->home, "data");
    DIR *directory = folder ? opendir(folder) : NULL;
    for (const struct dirent *entry; directory && (entry = readdir(directory));)
        if (is_own_name(entry->d_name))
            json_array_append_new(list, own_json(folder, entry->d_name));
    if (directory) closedir(directory);
    free(folder);
    return list;
}

static int compute_datasets(const struct studio *studio, struct store *store, void *context,
                            json_t **out, struct error *error)
{
    (void)store;
    (void)context;
    (void)error;
    *out = datasets_json(studio);
    return 0;
}

static void get_datasets(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compute_datasets, calloc(1, 1));
}

/* --- sets of the user's own are deleted and come back --- */

static int compute_deleted(const struct studio *studio, struct store *store, void *context,
                           json_t **out, struct error *error)
{
    (void)store;
    (void)context;
    *out = kept_deleted_json(studio->home, KEPT_DATA);
    return *out ? 0 : error_set_memory(error, "the data sets");
}

static void get_deleted(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compute_deleted, calloc(1, 1));
}

/* Not while a run reads it; *runs says how many were trained on it. */
static int delete_own(struct studio *studio, const char *name, uint32_t *runs, struct error *error)
{
    char *path, live[64];
    if (!is_own_name(name))
        return error_set(error, ERROR_NOT_FOUND, "there is no data set of your own \"%.60s\"",
                         name);
    if (library_resolve(studio->home, name, &path, error)) return -1;
    int status = store_runs_of_dataset(studio->store, path, runs, live, error);
    if (!status && live[0])
        status = error_set(error, ERROR_CONFLICT,
                           "\"%.60s\" is used by run %s: stop the run or wait for its end", name,
                           live);
    if (!status) status = kept_delete(studio->home, KEPT_DATA, name, error);
    if (!status) library_forget(studio->library, path);
    free(path);
    return status;
}

static void delete_dataset(struct studio *studio, struct call *call)
{
    struct error error;
    uint32_t runs;
    const char *name = call_path(call, "name");
    if (delete_own(studio, name, &runs, &error))
        call_fail(call, &error);
    else
        call_reply(call, 200, json_pack("{s:s, s:i}", "name", name, "runs", (int)runs));
}

static void post_restore_dataset(struct studio *studio, struct call *call)
{
    struct error error;
    const char *name = call_path(call, "name");
    if (kept_restore(studio->home, KEPT_DATA, name, &error))
        call_fail(call, &error);
    else
        call_reply(call, 200, json_pack("{s:s, s:s}", "kind", "data", "name", name));
}

/* --- one set --- */

struct dataset_question {
    char name[NAME_MAX_LENGTH + 1];
    bool test;
    int64_t count, seed, label, batch_size;
};

static struct dataset_question *ask(const struct call *call)
{
    struct dataset_question *question = calloc(1, sizeof *question);
    if (question) snprintf(question->name, sizeof question->name, "%s", call_path(call, "name"));
    return question;
}

/* The set of a question; its name came by the network. */
static int borrow(const struct studio *studio, const struct dataset_question *question,
                  const struct dataset **out, struct error *error)
{
    char *name;
    if (library_resolve(studio->home, question->name, &name, error)) return -1;
    const struct dataset_options options = {.data_dir = studio->data_dir};
    int status = library_borrow(studio->library, name, &options, out, error);
    free(name);
    return status;
}

static bool wants_test(const struct call *call)
{
    return strcmp(call_text(call, "split"), "test") == 0;
}

int samples_json(const struct dataset *dataset, const struct split *split, int label, uint64_t seed,
                 size_t most, json_t **out, struct error *error)
{
    uint32_t picked[SAMPLES_MAX];
    size_t image = dataset_inputs(dataset);
    CHECK(most <= SAMPLES_MAX);
    size_t count = stats_pick(split, label, seed, most, picked);
    uint8_t light[256], *pixels = malloc(count * image + 1);
    if (!pixels) return error_set_memory(error, "the samples");
    dataset_brightness(dataset, light);
    json_t *indices = json_array(), *labels = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(indices, json_integer(picked[i]));
        json_array_append_new(labels, json_integer(split->labels[picked[i]]));
        for (size_t p = 0; p < image; p++)
            pixels[i * image + p] = light[split->pixels[picked[i] * image + p]];
    }
    *out = json_pack("{s:o, s:o, s:i, s:i, s:i, s:o}", "indices", indices, "labels", labels, "rows",
                     (int)dataset->rows, "columns", (int)dataset->columns, "channels",
                     (int)dataset->channels, "pixels", base64_json(pixels, count * image));
    free(pixels);
    return 0;
}

static int compute_samples(const struct studio *studio, struct store *store, void *context,
                           json_t **out, struct error *error)
{
    (void)store;
    const struct dataset_question *question = context;
    const struct dataset *dataset;
    if (borrow(studio, question, &dataset, error)) return -1;
    int status = question->label >= (int64_t)dataset->classes
                     ? error_set(error, ERROR_INPUT, "there is no class %lld: %s has %u",
                                 (long long)question->label, dataset->title, dataset->classes)
                     : samples_json(dataset, question->test ? &dataset->test : &dataset->train,
                                    (int)question->label, (uint64_t)question->seed,
                                    (size_t)question->count, out, error);
    library_give_back(studio->library, dataset);
    return status;
}

static void get_samples(struct studio *studio, struct call *call)
{
    struct dataset_question *question = ask(call);
    if (question) {
        question->count = call_integer(call, "count");
        question->seed = call_integer(call, "seed");
        question->label = call_integer(call, "label");
        question->test = wants_test(call);
    }
    call_compute(studio, call, compute_samples, question);
}

/* Mean pictures as bytes, for the screen. */
static json_t *mean_pictures_json(const struct dataset *dataset, const struct split *split,
                                  struct error *error)
{
    size_t count = dataset->classes * dataset_inputs(dataset);
    float *means = malloc(count * sizeof *means);
    uint8_t *bytes = malloc(count);
    json_t *value = NULL;
    if (means && bytes && !stats_mean_pictures(dataset, split, means, error)) {
        for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)(means[i] + 0.5f);
        value = base64_json(bytes, count);
    }
    free(means);
    free(bytes);
    return value;
}

static int stats_json(const struct dataset *dataset, const struct split *split, json_t **out,
                      struct error *error)
{
    if (!split->count)
        return error_set(error, ERROR_NOT_FOUND, "%s has no samples in that split", dataset->title);
    struct split_stats *stats = calloc(1, sizeof *stats);
    if (!stats) return error_set_memory(error, "the figures");
    stats_measure(dataset, split, stats);
    json_t *classes = json_array(), *per_class = json_array(),
           *means = mean_pictures_json(dataset, split, error);
    for (uint32_t i = 0; i < dataset->classes; i++) {
        json_array_append_new(classes, js_shown(dataset->class_names[i]));
        json_array_append_new(per_class, json_integer((json_int_t)stats->per_class[i]));
    }
    *out = json_pack("{s:I, s:i, s:i, s:i, s:o, s:o, s:f, s:f, s:f, s:f, s:b, s:s, s:s, s:o}",
                     "count", (json_int_t)split->count, "channels", (int)dataset->channels, "rows",
                     (int)dataset->rows, "columns", (int)dataset->columns, "classes", classes,
                     "per_class", per_class, "mean", stats->mean, "std", stats->std, "min",
                     stats->low, "max", stats->high, "synthetic", (int)dataset->synthetic, "title",
                     dataset->title, "source", dataset->source, "mean_images", means);
    free(stats);
    return *out ? 0 : error_set_memory(error, "the figures");
}

static int compute_stats(const struct studio *studio, struct store *store, void *context,
                         json_t **out, struct error *error)
{
    (void)store;
    const struct dataset_question *question = context;
    const struct dataset *dataset;
    if (borrow(studio, question, &dataset, error)) return -1;
    int status = stats_json(dataset, question->test ? &dataset->test : &dataset->train, out, error);
    library_give_back(studio->library, dataset);
    return status;
}

static void get_stats(struct studio *studio, struct call *call)
{
    struct dataset_question *question = ask(call);
    if (question) question->test = wants_test(call);
    call_compute(studio, call, compute_stats, question);
}

/* --- what the engines receive --- */

/* A digest of which samples a batch holds, in their order. */
static json_t *indices_digest(const json_t *indices)
{
    char digest[HASH_HEX_SIZE], *text = js_dump_as(indices, JSON_COMPACT);
    hash_bytes(text ? text : "", text ? strlen(text) : 0, digest);
    free(text);
    return json_string(digest);
}

/* The digest that the microscope has of one engine's "input" tensor; NULL when the engine was not
 * in it. */
static const char *input_digest(const json_t *step, const char *engine)
{
    const json_t *stage = json_array_get(json_object_get(step, "stages"), 0), *entry;
    const json_t *tensor = json_array_get(json_object_get(stage, "tensors"), 0);
    size_t i;
    json_array_foreach(json_object_get(tensor, "histogram"), i, entry) {
        if (strcmp(json_string_value(json_object_get(entry, "engine")), engine) == 0)
            return json_string_value(json_object_get(entry, "sha256"));
    }
    return NULL;
}

/* What each engine really got: its own process draws the order and prepares the batch, and a digest
 * of the tensor that went into the first layer comes back. Engines that are not here are named
 * without one. */
static json_t *ask_engines(const struct studio *studio, const struct dataset_question *question,
                           const char *order_hash, const char *batch_hash, struct error *error)
{
    struct job job;
    const char *names[MICROSCOPE_MAX_ENGINES];
    char *name;
    json_t *step = NULL, *engines, *entry;
    size_t count = 0, i;
    if (library_resolve(studio->home, question->name, &name, error)) return NULL;
    job_init(&job);
    snprintf(job.dataset, sizeof job.dataset, "%s", name);
    free(name);
    engines = json_array();
    snprintf(job.home, sizeof job.home, "%s", studio->home);
    if (studio->data_dir) snprintf(job.data_dir, sizeof job.data_dir, "%s", studio->data_dir);
    job.seed = (uint64_t)question->seed;
    job.batch_size = (uint32_t)question->batch_size;
    for (i = 0; i < engine_table_count && count < MICROSCOPE_MAX_ENGINES; i++) {
        struct engine_probe probe;
        engine_table[i]->probe(&probe);
        if (probe.found) names[count++] = engine_table[i]->id;
    }
    char *scratch = path_join(studio->home, "scratch");
    if (!scratch) {
        error_set_memory(error, "a path");
    } else {
        code_microscope(&job, names, count, 0, scratch, &step, error);
        free(scratch);
    }
    json_array_foreach(json_object_get(step, "engines"), i, entry) {
        const char *id = json_string_value(json_object_get(entry, "id")),
                   *digest = input_digest(step, id);
        json_t *own_order = indices_digest(json_object_get(entry, "indices"));
        bool equal = digest && strcmp(digest, batch_hash) == 0 &&
                     strcmp(json_string_value(own_order), order_hash) == 0;
        json_array_append_new(engines,
                              json_pack("{s:s, s:o, s:s?, s:b, s:O}", "id", id, "order_hash",
                                        own_order, "batch_hash", digest, "equal", (int)equal,
                                        "error", json_object_get(entry, "error")));
    }
    if (!step) {
        json_decref(engines);
        return NULL;
    }
    json_decref(step);
    return engines;
}

static int batch_json(const struct studio *studio, const struct dataset *dataset,
                      const struct dataset_question *question, json_t **out, struct error *error)
{
    const struct split *split = &dataset->train;
    size_t image = dataset_inputs(dataset);
    size_t batch = (size_t)question->batch_size < split->count ? (size_t)question->batch_size
                                                               : split->count;
    uint32_t *order = malloc(split->count * sizeof *order);
    double *values = calloc(batch * image, sizeof *values);
    json_t *indices = json_array(), *digest = NULL, *engines = NULL;
    int status = -1;
    if (!order || !values || !batch) {
        error_set_memory(error, "a batch");
        goto out;
    }
    char batch_hash[HASH_HEX_SIZE];
    float table[256];
    preprocess_fill_f32(&dataset->preprocess, table);
    double sum = 0, squares = 0, low = (double)table[split->pixels[0]], high = low,
           count = (double)(batch * image);
    fit_order((uint64_t)question->seed, 0, order, split->count);
    for (size_t i = 0; i < batch; i++) {
        json_array_append_new(indices, json_integer(order[i]));
        for (size_t p = 0; p < image; p++)
            values[i * image + p] = (double)table[split->pixels[order[i] * image + p]];
    }
    for (size_t i = 0; i < batch * image; i++) {
        sum += values[i];
        squares += values[i] * values[i];
        if (values[i] < low) low = values[i];
        if (values[i] > high) high = values[i];
    }
    double mean = sum / count, variance = squares / count - mean * mean;
    hash_bytes(values, batch * image * sizeof *values, batch_hash);
    digest = indices_digest(indices);
    engines = ask_engines(studio, question, json_string_value(digest), batch_hash, error);
    if (!engines) goto out;
    *out = json_pack("{s:[I,I], s:s, s:f, s:f, s:f, s:o, s:O, s:s, s:O}", "shape",
                     (json_int_t)batch, (json_int_t)image, "dtype", "float32", "min", low, "max",
                     high, "mean", mean, "std",
                     js_real(variance > 0 ? __builtin_sqrt(variance) : 0), "order_hash", digest,
                     "batch_hash", batch_hash, "engines", engines);
    status = 0;
out:
    json_decref(indices);
    json_decref(digest);
    json_decref(engines);
    free(order);
    free(values);
    return status;
}

static int compute_batch(const struct studio *studio, struct store *store, void *context,
                         json_t **out, struct error *error)
{
    (void)store;
    const struct dataset_question *question = context;
    const struct dataset *dataset;
    if (borrow(studio, question, &dataset, error)) return -1;
    int status = batch_json(studio, dataset, question, out, error);
    library_give_back(studio->library, dataset);
    return status;
}

static void get_batch(struct studio *studio, struct call *call)
{
    struct dataset_question *question = ask(call);
    if (question) {
        question->seed = call_integer(call, "seed");
        question->batch_size = call_integer(call, "batch_size");
    }
    call_compute(studio, call, compute_batch, question);
}

#define SPLIT_PARAMETER                                                 \
    {                                                                   \
        "split", PARAMETER_CHOICE, 0, 0, 0, "train test", "which split" \
    }
#define SEED_PARAMETER                                                           \
    {                                                                            \
        "seed", PARAMETER_INTEGER, 0, INT64_MAX, 0, NULL, "of the random choice" \
    }
static const struct parameter samples_parameters[] = {
    {"count", PARAMETER_INTEGER, 1, SAMPLES_MAX, 24, NULL, "how many"},
    SEED_PARAMETER,
    {"label", PARAMETER_INTEGER, -1, DATASET_MAX_CLASSES - 1, -1, NULL,
     "of this class only; -1: of any"},
    SPLIT_PARAMETER,
    {0},
};
static const struct parameter stats_parameters[] = {SPLIT_PARAMETER, {0}};
static const struct parameter batch_parameters[] = {
    SEED_PARAMETER,
    {"batch_size", PARAMETER_INTEGER, 1, 65536, 32, NULL, "samples per batch"},
    {0},
};

static const struct route routes[] = {
    {"GET", "/api/datasets", get_datasets, "All data sets, here or to be fetched", NULL, NULL,
     "DatasetList", 200, 0},
    {"GET", "/api/datasets/deleted", get_deleted, "Data sets that can be restored", NULL, NULL,
     "KeptNames", 200, 0},
    {"DELETE", "/api/datasets/{name}", delete_dataset,
     "Delete a data set of the user's own; can be undone for a day", NULL, NULL, "DeletedDataset",
     200, 0},
    {"POST", "/api/datasets/{name}/restore", post_restore_dataset, "Undo a deletion", NULL,
     "Nothing", "KeptUpload", 200, ROUTE_CHANGES},
    {"GET", "/api/datasets/{name}/samples", get_samples, "Random samples", samples_parameters, NULL,
     "Samples", 200, 0},
    {"GET", "/api/datasets/{name}/stats", get_stats,
     "Counts, figures and the mean picture of every class", stats_parameters, NULL, "DatasetStats",
     200, 0},
    {"GET", "/api/datasets/{name}/engines", get_batch,
     "What the engines receive: the first batch and the order", batch_parameters, NULL,
     "FirstBatch", 200, 0},
};
const struct route_group routes_datasets = ROUTE_GROUP("data", routes);
