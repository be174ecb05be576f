/* Where to run: the file with which a cluster trains the settings, as `nnstudio job` writes it. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "code/cluster.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/routes.h"

#define FILE_LIMIT ((size_t)4 << 20)

/* What is asked for; on a thread, for a user's own data set is opened to learn its shape. */
struct cluster_call {
    struct cluster_file file;
    struct job job;
    char texts[]; /* what the file's words point into */
};

static int write_file(const struct studio *studio, struct store *store, void *context, json_t **out,
                      struct error *error)
{
    (void)studio, (void)store;
    struct cluster_call *asked = context;
    struct buffer text, start;
    buffer_init(&text, FILE_LIMIT);
    buffer_init(&start, 4096);
    const char *name = asked->file.kind->file;
    int status = cluster_write(&asked->file, &asked->job, &text, error);
    if (!status) {
        cluster_start(&asked->file, name, &start);
        *out = json_pack("{s:s, s:s, s:s}", "file", name, "start", start.data, "text", text.data);
        status = *out ? 0 : error_set_memory(error, "a file");
    }
    buffer_free(&text);
    buffer_free(&start);
    return status;
}

/* A text that outlives the call, NULL for one that is absent or empty. */
static const char *keep(char **place, const char *text)
{
    if (!text || !*text) return NULL;
    char *kept = *place;
    *place = stpcpy(kept, text) + 1;
    return kept;
}

/* The texts that are no settings, and where each belongs. */
static const struct {
    const char *parameter;
    size_t offset;
} others[] = {{"engine", offsetof(struct cluster_file, engine)},
              {"image", offsetof(struct cluster_file, script.image)},
              {"compute", offsetof(struct cluster_file, script.compute)},
              {"partition", offsetof(struct cluster_file, script.partition)},
              {"time", offsetof(struct cluster_file, script.time)}};
#define OTHER_COUNT (sizeof others / sizeof others[0])

/* With the call's texts in memory of its own: one block, which is freed as such. */
static struct cluster_call *create_asked(const struct call *call)
{
    const char *const *settings = call_settings(call);
    size_t size = 0;
    for (size_t i = 0; i < settings_count; i++) size += settings[i] ? strlen(settings[i]) + 1 : 0;
    for (size_t i = 0; i < OTHER_COUNT; i++) {
        const char *text = call_text(call, others[i].parameter);
        size += text ? strlen(text) + 1 : 0;
    }
    struct cluster_call *asked = calloc(1, sizeof *asked + size);
    if (!asked) return NULL;
    char *place = asked->texts;
    for (size_t i = 0; i < settings_count; i++) asked->file.texts[i] = keep(&place, settings[i]);
    for (size_t i = 0; i < OTHER_COUNT; i++)
        *(const char **)((char *)&asked->file +
                         others[i].offset) = keep(&place, call_text(call, others[i].parameter));
    return asked;
}

static int read_asked(const struct studio *studio, const struct call *call,
                      struct cluster_call *asked, struct error *error)
{
    struct cluster_file *file = &asked->file;
    file->script.program = "nnstudio";
    file->script.nodes = (uint32_t)call_integer(call, "nodes");
    file->script.ranks = (uint32_t)call_integer(call, "ranks_per_node");
    if (script_kind_need(call_text(call, "launcher"), &file->kind, error) ||
        cluster_begin(file, studio->home, &asked->job, error) ||
        settings_take_texts(file->texts, &asked->job, error) ||
        library_resolve_job(studio->home, &asked->job, error))
        return -1;
    return cluster_check(file, &asked->job, error);
}

static void get_file(struct studio *studio, struct call *call)
{
    struct error error;
    struct cluster_call *asked = create_asked(call);
    if (asked && read_asked(studio, call, asked, &error)) {
        free(asked);
        call_fail(call, &error);
        return;
    }
    call_compute(studio, call, write_file, asked);
}

static const struct parameter file_parameters[] = {
    {"launcher", PARAMETER_CHOICE, 0, 0, 0, "slurm kubeflow azureml torchrun tensorflow",
     "who starts it"},
    {"engine", PARAMETER_FILTER, 0, 0, 0, "@EngineId", "who trains; a program has its own"},
    {"nodes", PARAMETER_INTEGER, 1, SCRIPT_MAX_NODES, 2, NULL, "machines"},
    {"ranks_per_node", PARAMETER_INTEGER, 1, SCRIPT_MAX_RANKS, 1, NULL, "processes per machine"},
    {"image", PARAMETER_TEXT, 0, 0, 0, NULL, "kubeflow, azureml: a container image"},
    {"compute", PARAMETER_TEXT, 0, 0, 0, NULL, "azureml: the compute cluster"},
    {"partition", PARAMETER_TEXT, 0, 0, 0, NULL, "slurm: the partition"},
    {"time", PARAMETER_TEXT, 0, 0, 0, NULL, "the time limit, HH:MM:SS"},
    {0},
};
static const struct route routes[] = {
    {"GET", "/api/cluster-file", get_file, "The file with which a cluster trains the settings",
     file_parameters, NULL, "ClusterFile", 200, ROUTE_SETTINGS},
};
const struct route_group routes_cluster = ROUTE_GROUP("code", routes);
