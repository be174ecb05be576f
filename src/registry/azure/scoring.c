#include "registry/azure/scoring.h"

#include <ctype.h>
#include <string.h>

#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "registry/targets.h"

#define TEXT_LIMIT    ((size_t)1 << 20)
#define SERVER        "azureml-inference-server-http==1.5.1"
#define SUFFIX_DIGITS 6

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
    "        return refuse(f\"the request is not JSON: {error}\")\n"
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

int az_scoring_script(const struct az_scoring *scoring, struct buffer *out, struct error *error)
{
    if (loader_write(&scoring->loader, out, error)) return -1;
    buffer_append_text(out, "\n\n"
                            "import json\n"
                            "import os\n"
                            "\n"
                            "from azureml_inference_server_http.api.aml_response import "
                            "AMLResponse\n"
                            "\n"
                            "FILE = ");
    js_append_string(out, scoring->file);
    buffer_append_text(out, "\nmodel = None\n");
    buffer_append_text(out, score_tail);
    return buffer_check(out, "the scoring script", error);
}

void az_scoring_conda(const struct az_scoring *scoring, struct buffer *out)
{
    buffer_append_text(out, "name: nnstudio\nchannels:\n- conda-forge\ndependencies:\n"
                            "- python=3.11\n- pip\n- pip:\n");
    for (const char *line = scoring->packages.data; line && *line;) {
        size_t length = strcspn(line, "\n");
        buffer_printf(out, "  - %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

/* What the scoring script needs, and the framework that is needed besides. */
static int list_packages(const struct az_scoring_parts *parts, struct az_scoring *own,
                         struct error *error)
{
    char hex[HASH_HEX_SIZE], package[64];
    json_t *run = json_pack("{s:s?, s:s?}", "engine", parts->engine, "engine_version",
                            parts->engine_version);
    buffer_append_text(&own->packages, SERVER "\n");
    loader_write_requirements(&own->loader, run, &own->packages);
    json_decref(run);
    if (parts->requirement) {
        snprintf(package, sizeof package, "\n%.*s==", (int)strcspn(parts->requirement, "="),
                 parts->requirement);
        if (own->packages.data && !strstr(own->packages.data, package))
            buffer_printf(&own->packages, "%s\n", parts->requirement);
    }
    if (buffer_check(&own->packages, "the list of packages", error)) return -1;
    hash_bytes(own->packages.data, own->packages.length, hex);
    snprintf(own->version, sizeof own->version, "%.8s", hex);
    return 0;
}

int az_scoring_open(const struct az_scoring_parts *parts, struct az_scoring *out,
                    struct error *error)
{
    const char *file = path_base(parts->model_path);
    *out = (struct az_scoring){0};
    buffer_init(&out->packages, TEXT_LIMIT);
    if (!path_is_plain_name(file) || strlen(file) >= sizeof out->file)
        return error_set(error, ERROR_USAGE,
                         "the file name \"%.80s\" is not valid: use letters, digits, - _ and .",
                         file);
    snprintf(out->file, sizeof out->file, "%s", file);
    return modelfile_read(parts->model_path, NULL, &out->model, error) ||
                   loader_of(out->model, &out->loader, error) || list_packages(parts, out, error)
               ? -1
               : 0;
}

void az_scoring_close(struct az_scoring *scoring)
{
    model_destroy(scoring->model);
    buffer_free(&scoring->packages);
    scoring->model = NULL;
}

/* A letter first; letters, digits and -; no - at the end: as Azure's client checks it. */
static bool is_endpoint_name(const char *name)
{
    size_t length = strlen(name);
    if (length < 3 || length > AZ_ENDPOINT_LIMIT || !isalpha((unsigned char)*name)) return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-') return false;
    return name[length - 1] != '-';
}

int az_endpoint_name(const char *given, const char *model, const char *suffix,
                     char out[AZ_ENDPOINT_LIMIT + 1], struct error *error)
{
    if (given && !is_endpoint_name(given))
        return error_set(error, ERROR_USAGE,
                         "\"%.60s\" is not a valid endpoint name: use 3 to %d letters, digits and "
                         "-, a letter first",
                         given, AZ_ENDPOINT_LIMIT);
    int most = given ? AZ_ENDPOINT_LIMIT : AZ_ENDPOINT_LIMIT - SUFFIX_DIGITS - 1;
    snprintf(out, AZ_ENDPOINT_LIMIT + 1, "%.*s", most, given ? given : model);
    if (given) return 0;
    for (char *c = out; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '-';
    if (!isalpha((unsigned char)*out)) *out = 'm';
    snprintf(out + strlen(out), SUFFIX_DIGITS + 2, "-%.*s", SUFFIX_DIGITS, suffix);
    return 0;
}
