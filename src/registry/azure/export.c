/* A model as Azure ML's command line (v2) takes it: YAML of the model, its environment, an
 * endpoint, a deployment and the job that trains it again, beside the files that they name. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "code/code.h"
#include "engine/engine.h"
#include "registry/azure/connection.h"
#include "registry/azure/scoring.h"
#include "registry/targets.h"

#define TEXT_LIMIT  ((size_t)1 << 20)
#define MODEL_LIMIT ((size_t)2 << 30)
#define SCHEMAS     "https://azuremlschemas.azureedge.net/latest/"

struct export_writing {
    const struct registry_export *of;
    struct az_scoring scoring;
    char name[256], endpoint[AZ_ENDPOINT_LIMIT + 1];
    const char *file; /* the model file's name */
    const struct code_voice *voice;
};

/* --- the texts --- */

static void begin(struct buffer *out, const char *schema, const char *command)
{
    buffer_printf(out, "# az ml %s\n$schema: " SCHEMAS "%s.schema.json\n", command, schema);
}

static void add_text(struct buffer *out, const char *key, const char *text)
{
    if (!text || !*text) return;
    buffer_printf(out, "%s: ", key);
    js_append_string(out, text);
    buffer_append_char(out, '\n');
}

static int write_model(const struct export_writing *own, struct buffer *out, struct error *error)
{
    const char *key;
    json_t *value;
    (void)error;
    begin(out, "model", "model create --file model.yml");
    add_text(out, "name", own->name);
    buffer_append_text(out, "type: custom_model\npath: ");
    char path[160];
    snprintf(path, sizeof path, "model/%.140s", own->file);
    js_append_string(out, path);
    buffer_append_char(out, '\n');
    add_text(out, "description", own->of->description);
    buffer_append_text(out, "tags:\n");
    json_object_foreach((json_t *)own->of->tags, key, value) {
        if (!json_is_string(value)) continue;
        buffer_append_text(out, "  ");
        js_append_string(out, key);
        buffer_append_text(out, ": ");
        js_append_string(out, json_string_value(value));
        buffer_append_char(out, '\n');
    }
    return 0;
}

static int write_conda(const struct export_writing *own, struct buffer *out, struct error *error)
{
    (void)error;
    az_scoring_conda(&own->scoring, out);
    return 0;
}

static int write_environment(const struct export_writing *own, struct buffer *out,
                             struct error *error)
{
    (void)error;
    begin(out, "environment", "environment create --file environment.yml");
    add_text(out, "name", AZ_ENVIRONMENT);
    add_text(out, "version", own->scoring.version);
    buffer_append_text(out, "image: " AZ_IMAGE "\nconda_file: conda.yml\n");
    return 0;
}

static int write_endpoint(const struct export_writing *own, struct buffer *out, struct error *error)
{
    (void)error;
    begin(out, "managedOnlineEndpoint", "online-endpoint create --file endpoint.yml");
    add_text(out, "name", own->endpoint);
    buffer_append_text(out, "auth_mode: key\n");
    add_text(out, "description", own->of->description);
    return 0;
}

static int write_deployment(const struct export_writing *own, struct buffer *out,
                            struct error *error)
{
    (void)error;
    buffer_append_text(out, "# Each instance costs money by the hour until it is deleted:\n"
                            "# az ml online-endpoint delete --name ");
    buffer_printf(out, "%s\n", own->endpoint);
    begin(out, "managedOnlineDeployment",
          "online-deployment create --file deployment.yml --all-traffic");
    buffer_append_text(out, "name: blue\n");
    add_text(out, "endpoint_name", own->endpoint);
    buffer_printf(out,
                  "model: \"azureml:%s@latest\"\ncode_configuration:\n  code: score\n"
                  "  scoring_script: score.py\nenvironment: \"azureml:%s:%s\"\n",
                  own->name, AZ_ENVIRONMENT, own->scoring.version);
    add_text(out, "instance_type", own->of->instance_type);
    buffer_printf(out, "instance_count: %u\n", own->of->instances);
    return 0;
}

static int write_job(const struct export_writing *own, struct buffer *out, struct error *error)
{
    (void)error;
    const char *made = own->voice->kind == CODE_KIND_TORCH ? "pth" : "h5";
    begin(out, "commandJob", "job create --file job.yml --stream");
    buffer_append_text(out, "type: command\nexperiment_name: nnstudio\n");
    add_text(out, "display_name", own->of->job->name);
    buffer_printf(out,
                  "code: train\ncommand: >-\n  python train.py --data-dir ${{inputs.data}} && cp "
                  "%s.%s ${{outputs.model}}/\nenvironment: \"azureml:%s:%s\"\n",
                  own->of->job->name, made, AZ_ENVIRONMENT, own->scoring.version);
    if (own->of->compute) {
        char compute[300];
        snprintf(compute, sizeof compute, "azureml:%.255s", own->of->compute);
        add_text(out, "compute", compute);
    } else {
        buffer_append_text(out, "resources:\n  instance_count: 1\n  ");
        add_text(out, "instance_type", own->of->instance_type);
    }
    buffer_append_text(out, "inputs:\n  data:\n    type: uri_folder\n    ");
    add_text(out, "path", own->of->data);
    buffer_append_text(out, "outputs:\n  model:\n    type: uri_folder\n");
    return 0;
}

static int write_score(const struct export_writing *own, struct buffer *out, struct error *error)
{
    return az_scoring_script(&own->scoring, out, error);
}

static int write_train(const struct export_writing *own, struct buffer *out, struct error *error)
{
    struct code_subject subject;
    return code_subject_of(own->of->job, &subject, error) ||
                   code_program(own->voice, &subject, out, error)
               ? -1
               : 0;
}

static const struct {
    const char *path;
    bool of_job;
    int (*write)(const struct export_writing *own, struct buffer *out, struct error *error);
} texts[] = {
    {"model.yml", false, write_model},
    {"conda.yml", false, write_conda},
    {"environment.yml", false, write_environment},
    {"endpoint.yml", false, write_endpoint},
    {"deployment.yml", false, write_deployment},
    {"score/score.py", false, write_score},
    {"job.yml", true, write_job},
    {"train/train.py", true, write_train},
};

/* --- what they are made of --- */

static int check_job(struct export_writing *own, struct error *error)
{
    const struct job *job = own->of->job;
    if (!job) return 0;
    if (job->from[0])
        return error_set(error, ERROR_INPUT,
                         "the run began with the weights of %.200s, which the job does not have: "
                         "leave it out with --no-job",
                         job->from);
    return code_voice_need(job->engine, "python", &own->voice, error);
}

static int open_scoring(struct export_writing *own, struct error *error)
{
    const struct registry_export *of = own->of;
    const struct az_scoring_parts parts = {
        .model_path = of->model_path,
        .engine = json_string_value(json_object_get(of->tags, "engine")),
        .engine_version = of->engine_version,
        .requirement = own->voice ? own->voice->engine->package.requirement : NULL};
    return az_scoring_open(&parts, &own->scoring, error);
}

static int write_text(const struct export_writing *own, const char *folder, size_t index,
                      struct error *error)
{
    char parent[4200];
    struct buffer text;
    char *path = path_join(folder, texts[index].path);
    if (!path) return error_set_memory(error, "a path");
    buffer_init(&text, TEXT_LIMIT);
    snprintf(parent, sizeof parent, "%.*s", (int)(path_base(path) - path - 1), path);
    int status = file_make_directories(parent, error) || texts[index].write(own, &text, error) ||
                         buffer_check(&text, texts[index].path, error) ||
                         file_write(path, text.data, text.length, error)
                     ? -1
                     : 0;
    buffer_free(&text);
    free(path);
    return status;
}

static int write_folder(const struct export_writing *own, const char *folder, const char *data,
                        size_t size, struct error *error)
{
    char place[4400];
    snprintf(place, sizeof place, "%s/model", folder);
    if (file_make_directories(place, error)) return -1;
    snprintf(place, sizeof place, "%s/model/%s", folder, own->file);
    if (file_write(place, data, size, error)) return -1;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if ((!texts[i].of_job || own->of->job) && write_text(own, folder, i, error)) return -1;
    return 0;
}

/* Made beside its place, where it appears whole. */
static int deliver(const struct export_writing *own, const char *directory, const char *data,
                   size_t size, struct error *error)
{
    struct file_scratch scratch;
    struct error trouble;
    if (file_scratch_create(directory, &scratch, error)) return -1;
    char *folder = path_join(scratch.folder, path_base(directory));
    int status = folder ? write_folder(own, folder, data, size, error)
                        : error_set_memory(error, "a path");
    if (!status && file_scratch_deliver(&scratch, directory, &trouble))
        status = error_set(error, ERROR_CONFLICT,
                           "%.200s is there already and is not empty: give another --out, or "
                           "remove it",
                           directory);
    free(folder);
    file_scratch_remove(&scratch);
    return status;
}

int registry_export_azureml(const struct registry_export *export, const char *directory,
                            struct error *error)
{
    struct export_writing own = {.of = export, .file = path_base(export->model_path)};
    const struct registry_request request = {.model_path = export->model_path,
                                             .tags = export->tags};
    char fallback[128], sha256[HASH_HEX_SIZE], *data = NULL, *place = path_absolute(directory);
    size_t size;
    int status = -1;
    registry_default_name(&request, fallback);
    snprintf(own.name, sizeof own.name, "%s",
             export->name && *export->name ? export->name : fallback);
    if (!place) {
        error_set_memory(error, "a path");
        goto out;
    }
    for (size_t end = strlen(place); end > 1 && place[end - 1] == '/'; end--) place[end - 1] = '\0';
    if (export->instances < 1 || export->instances > REGISTRY_MAX_INSTANCES) {
        error_set(error, ERROR_USAGE, "%u instances are out of range (1 to %d)", export->instances,
                  REGISTRY_MAX_INSTANCES);
        goto out;
    }
    if (az_model_name_check(own.name, error) || check_job(&own, error) ||
        file_read(export->model_path, MODEL_LIMIT, &data, &size, error) ||
        open_scoring(&own, error))
        goto out;
    hash_bytes(data, size, sha256);
    if (az_endpoint_name(export->endpoint, own.name, sha256, own.endpoint, error)) goto out;
    status = deliver(&own, place, data, size, error);
out:
    az_scoring_close(&own.scoring);
    free(data);
    free(place);
    return status;
}
