#include "registry/mlflow/folder.h"

#include <string.h>

#include "base/clock.h"
#include "base/js.h"
#include "base/random.h"
#include "registry/loader.h"
#include "registry/targets.h"

#define TEXT_LIMIT     ((size_t)256 << 10)
#define MLFLOW_VERSION "2.22.0" /* the oldest whose form of MLmodel this is; newer ones read it */

static struct buffer *add_file(struct mlflow_folder *folder, const char *path)
{
    CHECK(folder->count < MLFLOW_FILES);
    struct mlflow_file *file = &folder->files[folder->count++];
    snprintf(file->path, sizeof file->path, "%s", path);
    buffer_init(&file->text, TEXT_LIMIT);
    return &file->text;
}

/* The signature names no inputs: MLflow would refuse every dtype and shape but one, before the
 * loader, which takes several, sees them. */
static void write_mlmodel(const struct mlflow_folder_parts *parts, const struct input_form *form,
                          const char *loader, struct buffer *out)
{
    char time[32], words[128], uuid[33];
    const struct model *model = parts->model;
    random_hex(uuid, 32);
    clock_format_utc(parts->made_at ? parts->made_at : clock_wall_ms(), time);
    time[10] = ' ';
    time[strlen(time) - 1] = '\0';
    buffer_append_text(out, "artifact_path: model\n"
                            "flavors:\n"
                            "  python_function:\n"
                            "    code: code\n"
                            "    data: data\n"
                            "    env:\n"
                            "      conda: conda.yaml\n"
                            "      virtualenv: python_env.yaml\n"
                            "    loader_module: ");
    buffer_printf(
        out,
        "%s\n    python_version: 3.11.0\nmlflow_version: " MLFLOW_VERSION "\nmodel_uuid: ", loader);
    buffer_append_text(out, parts->made_at ? parts->run_id : uuid);
    if (!parts->made_at) buffer_printf(out, "\nrun_id: %s", parts->run_id);
    buffer_printf(
        out,
        "\nsignature:\n"
        "  outputs: '[{\"type\": \"tensor\", \"tensor-spec\": {\"dtype\": \"%s\", "
        "\"shape\": [-1, %u]}}]'\n"
        "metadata:\n"
        "  inputs: 'pixels [N, %u] or [N, %u, %u]: uint8 0 to 255, or floats as the network "
        "receives them (%s)'\n"
        "utc_time_created: '%s'\n",
        dtype_name(model->parameters->dtype), network_classes(&model->network),
        network_inputs(&model->network), model->network.rows, model->network.columns,
        input_form_words(form, words), time);
}

int mlflow_folder_make(const struct mlflow_folder_parts *parts, struct mlflow_folder *out,
                       struct error *error)
{
    const struct model *model = parts->model;
    struct loader of;
    *out = (struct mlflow_folder){0};
    if (loader_of(model, &of, error)) return -1;
    /* Python keeps a module by its name: two models loaded in one process need two names. */
    char loader[64], loader_path[80];
    snprintf(loader, sizeof loader, "nnstudio_loader_%.32s", parts->run_id);
    snprintf(loader_path, sizeof loader_path, "code/%s.py", loader);
    write_mlmodel(parts, &of.form, loader, add_file(out, "MLmodel"));
    struct buffer *module = add_file(out, loader_path);
    if (loader_write(&of, module, error)) {
        mlflow_folder_clear(out);
        return -1;
    }
    buffer_printf(module,
                  "\n\ndef _load_pyfunc(path):\n    return Model(str(Path(path) / \"%s\"))\n",
                  parts->file);
    loader_write_requirements(&of, parts->request->run, add_file(out, "requirements.txt"));
    buffer_append_text(
        add_file(out, "python_env.yaml"),
        "python: 3.11.0\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n");
    buffer_append_text(add_file(out, "conda.yaml"),
                       "name: mlflow-env\nchannels:\n- conda-forge\ndependencies:\n- "
                       "python=3.11\n- pip\n- pip:\n  - -r requirements.txt\n");
    if (registry_model_card(parts->request, parts->name, parts->sha256,
                            add_file(out, REGISTRY_CARD), error)) {
        mlflow_folder_clear(out);
        return -1;
    }
    for (size_t i = 0; i < out->count; i++) {
        if (!buffer_check(&out->files[i].text, out->files[i].path, error)) continue;
        mlflow_folder_clear(out);
        return -1;
    }
    return 0;
}

void mlflow_folder_clear(struct mlflow_folder *folder)
{
    for (size_t i = 0; i < folder->count; i++) buffer_free(&folder->files[i].text);
    folder->count = 0;
}
