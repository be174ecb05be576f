/* A model as Azure ML's command line (v2) takes it: YAML of the model, its environment, an
 * endpoint, a deployment and the job that trains it again, beside the files that they name. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/path.h"
#include "code/code.h"
#include "engine/engine.h"
#include "registry/azure/connection.h"
#include "registry/loader.h"
#include "registry/targets.h"

#define TEXT_LIMIT     ((size_t)1 << 20)
#define MODEL_LIMIT    ((size_t)2 << 30)
#define SCHEMAS        "https://azuremlschemas.azureedge.net/latest/"
#define IMAGE          "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
#define SERVER         "azureml-inference-server-http==1.5.1"
#define ENDPOINT_LIMIT 32 /* characters, Azure's limit */
#define SUFFIX_DIGITS  6  /* of the file's hash, which make the endpoint's name likely its own */

struct writing {
    const struct registry_export *of;
    struct loader loader;
    char name[256], endpoint[ENDPOINT_LIMIT + 1], environment[64];
    char version[9]; /* of the environment: the same packages are the same version */
    struct buffer packages;
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
    registry_append_quoted(out, text);
    buffer_append_char(out, '\n');
}

static int write_model(const struct writing *own, struct buffer *out, struct error *error)
{
    const char *key;
    json_t *value;
    (void)error;
    begin(out, "model", "model create --file model.yml");
    add_text(out, "name", own->name);
    buffer_append_text(out, "type: custom_model\npath: ");
    char path[160];
    snprintf(path, sizeof path, "model/%.140s", own->file);
    registry_append_quoted(out, path);
    buffer_append_char(out, '\n');
    add_text(out, "description", own->of->description);
    buffer_append_text(out, "tags:\n");
    json_object_foreach((json_t *)own->of->tags, key, value) {
        if (!json_is_string(value)) continue;
        buffer_append_text(out, "  ");
        registry_append_quoted(out, key);
        buffer_append_text(out, ": ");
        registry_append_quoted(out, json_string_value(value));
        buffer_append_char(out, '\n');
    }
    return 0;
}

static int write_conda(const struct writing *own, struct buffer *out, struct error *error)
{
    (void)error;
    buffer_append_text(out, "name: nnstudio\nchannels:\n- conda-forge\ndependencies:\n"
                            "- python=3.11\n- pip\n- pip:\n");
    for (const char *line = own->packages.data; line && *line;) {
        size_t length = strcspn(line, "\n");
        buffer_printf(out, "  - %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    return 0;
}

static int write_environment(const struct writing *own, struct buffer *out, struct error *error)
{
    (void)error;
    begin(out, "environment", "environment create --file environment.yml");
    add_text(out, "name", own->environment);
    add_text(out, "version", own->version);
    buffer_append_text(out, "image: " IMAGE "\nconda_file: conda.yml\n");
    return 0;
}

static int write_endpoint(const struct writing *own, struct buffer *out, struct error *error)
{
    (void)error;
    begin(out, "managedOnlineEndpoint", "online-endpoint create --file endpoint.yml");
    add_text(out, "name", own->endpoint);
    buffer_append_text(out, "auth_mode: key\n");
    add_text(out, "description", own->of->description);
    return 0;
}

static int write_deployment(const struct writing *own, struct buffer *out, struct error *error)
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
                  own->name, own->environment, own->version);
    add_text(out, "instance_type", own->of->instance_type);
    buffer_printf(out, "instance_count: %u\n", own->of->instances);
    return 0;
}

static int write_job(const struct writing *own, struct buffer *out, struct error *error)
{
    (void)error;
    const char *made = own->voice->kind == CODE_KIND_TORCH ? "pth" : "h5";
    begin(out, "commandJob", "job create --file job.yml --stream");
    buffer_append_text(out, "type: command\nexperiment_name: nnstudio\n");
    add_text(out, "display_name", own->of->job->name);
    buffer_printf(out,
                  "code: train\ncommand: >-\n  python train.py --data-dir ${{inputs.data}} && cp "
                  "%s.%s ${{outputs.model}}/\nenvironment: \"azureml:%s:%s\"\n",
                  own->of->job->name, made, own->environment, own->version);
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

static const char score_tail[] =
    "\n"
    "\n"
    "# What users send and get, as nnstudio serve-model has it:\n"
    "# {\"inputs\": [[numbers as the network receives them], …]} → {\"predictions\": [[logits], "
    "…]}\n"
    "\n"
    "\n"
    "def refuse(message):\n"
    "    return AMLResponse({\"error\": message}, 400, json_str=True)\n"
    "\n"
    "\n"
    "def init():\n"
    "    \"\"\"Once, at the start: the registered file lies somewhere below "
    "AZUREML_MODEL_DIR.\"\"\"\n"
    "    global model\n"
    "    folder = Path(os.environ[\"AZUREML_MODEL_DIR\"])\n"
    "    found = sorted(folder.rglob(FILE))\n"
    "    if not found:\n"
    "        raise FileNotFoundError(f\"{FILE} is not below {folder}: deploy the model of "
    "model.yml\")\n"
    "    model = Model(str(found[0]))\n"
    "\n"
    "\n"
    "def run(text):\n"
    "    try:\n"
    "        body = json.loads(text)\n"
    "    except ValueError as error:\n"
    "        return refuse(f\"the request is no JSON: {error}\")\n"
    "    rows = next((body[key] for key in (\"inputs\", \"instances\") if key in body), None) if "
    "isinstance(body, dict) else None\n"
    "    if not isinstance(rows, list) or not rows:\n"
    "        return refuse('no samples: send {\"inputs\": [[numbers], …]}')\n"
    "    try:\n"
    "        pixels = pixels_of(np.asarray(rows, np.float64))\n"
    "    except (TypeError, ValueError) as error:\n"
    "        return refuse(str(error))\n"
    "    if not np.isfinite(pixels).all():\n"
    "        return refuse(\"a number of the samples is not finite\")\n"
    "    return {\"predictions\": model.predict(pixels).tolist()}\n";

static int write_score(const struct writing *own, struct buffer *out, struct error *error)
{
    (void)error;
    loader_write(&own->loader, out);
    buffer_append_text(out, "\n\n"
                            "import json\n"
                            "import os\n"
                            "\n"
                            "from azureml_inference_server_http.api.aml_response import "
                            "AMLResponse\n"
                            "\n"
                            "FILE = ");
    registry_append_quoted(out, own->file);
    buffer_append_text(out, "\nmodel = None\n");
    buffer_append_text(out, score_tail);
    return 0;
}

static int write_train(const struct writing *own, struct buffer *out, struct error *error)
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
    int (*write)(const struct writing *own, struct buffer *out, struct error *error);
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

/* A letter first; letters, digits and -; no - at the end: as Azure's client checks it. */
static bool is_endpoint_name(const char *name)
{
    size_t length = strlen(name);
    if (length < 3 || length > ENDPOINT_LIMIT || !isalpha((unsigned char)*name)) return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-') return false;
    return name[length - 1] != '-';
}

static int name_endpoint(struct writing *own, const char *sha256, struct error *error)
{
    const char *given = own->of->endpoint;
    if (given && !is_endpoint_name(given))
        return error_set(error, ERROR_USAGE,
                         "\"%.60s\" is not a valid endpoint name: use 3 to %d letters, digits and "
                         "-, a letter first",
                         given, ENDPOINT_LIMIT);
    int most = given ? ENDPOINT_LIMIT : ENDPOINT_LIMIT - SUFFIX_DIGITS - 1;
    snprintf(own->endpoint, sizeof own->endpoint, "%.*s", most, given ? given : own->name);
    if (given) return 0;
    for (char *c = own->endpoint; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '-';
    if (!isalpha((unsigned char)*own->endpoint)) *own->endpoint = 'm';
    snprintf(own->endpoint + strlen(own->endpoint), SUFFIX_DIGITS + 2, "-%.*s", SUFFIX_DIGITS,
             sha256);
    return 0;
}

static int check_job(struct writing *own, struct error *error)
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

/* What the scoring script needs, and the job's framework when that is another. */
static int list_packages(struct writing *own, struct error *error)
{
    const struct registry_export *of = own->of;
    const char *engine = json_string_value(json_object_get(of->tags, "engine"));
    json_t *run = json_pack("{s:s?, s:s?}", "engine", engine, "engine_version", of->engine_version);
    buffer_append_text(&own->packages, SERVER "\n");
    loader_write_requirements(&own->loader, run, &own->packages);
    json_decref(run);
    if (own->voice) {
        const char *tested = own->voice->engine->package.requirement;
        char package[64];
        snprintf(package, sizeof package, "\n%.*s==", (int)strcspn(tested, "="), tested);
        if (own->packages.data && !strstr(own->packages.data, package))
            buffer_printf(&own->packages, "%s\n", tested);
    }
    if (buffer_check(&own->packages, "the list of packages", error)) return -1;
    char hex[HASH_HEX_SIZE];
    hash_bytes(own->packages.data, own->packages.length, hex);
    snprintf(own->version, sizeof own->version, "%.8s", hex);
    return 0;
}

static int write_text(const struct writing *own, const char *folder, size_t index,
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

static int write_folder(const struct writing *own, const char *folder, const char *data,
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
static int deliver(const struct writing *own, const char *directory, const char *data, size_t size,
                   struct error *error)
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
    struct writing own = {.of = export, .file = path_base(export->model_path)};
    const struct registry_request request = {.model_path = export->model_path,
                                             .tags = export->tags};
    struct model *model = NULL;
    char fallback[128], sha256[HASH_HEX_SIZE], *data = NULL, *place = path_absolute(directory);
    size_t size;
    int status = -1;
    buffer_init(&own.packages, TEXT_LIMIT);
    registry_default_name(&request, fallback);
    snprintf(own.name, sizeof own.name, "%s",
             export->name && *export->name ? export->name : fallback);
    snprintf(own.environment, sizeof own.environment, "nnstudio");
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
    if (!path_is_plain_name(own.file)) {
        error_set(error, ERROR_USAGE,
                  "the file name \"%.80s\" is not usable: use letters, digits, - _ and .",
                  own.file);
        goto out;
    }
    if (az_model_name_check(own.name, error) || check_job(&own, error) ||
        file_read(export->model_path, MODEL_LIMIT, &data, &size, error) ||
        modelfile_read(export->model_path, NULL, &model, error) ||
        loader_of(model, &own.loader, error))
        goto out;
    hash_bytes(data, size, sha256);
    if (name_endpoint(&own, sha256, error) || list_packages(&own, error)) goto out;
    status = deliver(&own, place, data, size, error);
out:
    model_destroy(model);
    buffer_free(&own.packages);
    free(data);
    free(place);
    return status;
}
