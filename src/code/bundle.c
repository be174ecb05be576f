#include "code/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "base/zip_new.h"
#include "code/masks_file.h"
#include "code/python.h"
#include "code/text.h"
#include "run/settings.h"
#include "run/setup.h"
#include "train/fit.h"

#define TEXT_LIMIT    ((size_t)4 << 20)
#define MAX_ENTRIES   32
#define TRAINED_FILES 5 /* NAME.pth and so on */

/* A bundle being put together: a folder of files that become the zip's entries. */
struct packing {
    const struct code_bundle *bundle;
    struct network network; /* as it was trained: with what its file may leave out, dropout */
    struct file_scratch scratch;
    const char *names[MAX_ENTRIES];
    char model_names[TRAINED_FILES][128]; /* NAME.pth and so on: what `names` points to */
    size_t count;
    bool has_initial;
    struct buffer left_out; /* a line for each file that its format or language cannot hold */
};

static bool holds(const struct packing *packing, const char *name)
{
    for (size_t i = 0; i < packing->count; i++)
        if (strcmp(packing->names[i], name) == 0) return true;
    return false;
}

/* What a format or language cannot say of the network leaves that file out, not the bundle. */
static int leave_out(struct packing *packing, const char *name, const struct error *error)
{
    if (error->code != ERROR_INPUT) return -1;
    return buffer_printf(&packing->left_out, "- `%s`: %s\n", name, error->message);
}

static int add_text(struct packing *packing, const char *name, const char *text, size_t size,
                    struct error *error)
{
    char *path = path_join(packing->scratch.folder, name);
    if (!path) return error_set_memory(error, "the bundle");
    int status = file_write(path, text, size, error);
    free(path);
    CHECK(packing->count < MAX_ENTRIES);
    packing->names[packing->count++] = name;
    return status;
}

static int add_model(struct packing *packing, const char *name, const struct model *model,
                     struct error *error)
{
    char *path = path_join(packing->scratch.folder, name);
    if (!path) return error_set_memory(error, "the bundle");
    int status = modelfile_write(path, model, error);
    free(path);
    if (status) return leave_out(packing, name, error);
    CHECK(packing->count < MAX_ENTRIES);
    packing->names[packing->count++] = name;
    return status;
}

static int add_programs(struct packing *packing, struct error *error)
{
    struct code_subject subject = {
        .job = packing->bundle->job, .network = packing->network, .coded = packing->bundle->coded};
    struct buffer text;
    if (input_form_from_metadata(packing->bundle->model->metadata, &subject.form, error)) return -1;
    buffer_init(&text, TEXT_LIMIT);
    int status = -1;
    for (size_t i = 0; i < code_voice_count; i++) {
        const struct code_voice *voice = code_voices[i];
        if (!voice->notebook) continue;
        buffer_clear(&text);
        if (code_program(voice, &subject, &text, error)) {
            if (leave_out(packing, voice->file, error)) goto out;
            continue;
        }
        if (add_text(packing, voice->file, text.data, text.length, error)) goto out;
        buffer_clear(&text);
        if (code_notebook(voice, &subject, &text, error)) goto out;
        if (add_text(packing, voice->notebook, text.data, text.length, error)) goto out;
    }
    status = add_text(packing, "requirements.txt", code_requirements(), strlen(code_requirements()),
                      error);
out:
    buffer_free(&text);
    return status;
}

static int add_trained(struct packing *packing, struct error *error)
{
    static const char *const endings[TRAINED_FILES] = {"pth", "h5", "keras", "safetensors", "onnx"};
    for (size_t i = 0; i < TRAINED_FILES; i++) {
        snprintf(packing->model_names[i], sizeof packing->model_names[i], "%s.%s",
                 packing->bundle->job->name, endings[i]);
        if (add_model(packing, packing->model_names[i], packing->bundle->model, error)) return -1;
    }
    return 0;
}

static int add_weights(struct packing *packing, const struct model *model, struct error *error)
{
    packing->has_initial = true;
    return add_model(packing, "initial.pth", model, error) ||
                   add_model(packing, "initial.keras", model, error)
               ? -1
               : 0;
}

/* The weights that training began with: drawn anew from the seed, or those of the file it was
 * started from. When that is gone the bundle is still worth having. */
static int add_initial(struct packing *packing, struct error *error)
{
    const struct job *job = packing->bundle->job;
    const struct modelfile_options options = setup_model_options(job);
    struct model drawn = {.network = packing->network}, *given = NULL;
    struct error ignored;
    int status;
    if (job->from[0]) {
        status = modelfile_read(job->from, &options, &given, &ignored)
                     ? 0
                     : add_weights(packing, given, error);
    } else {
        if (parameters_create(&drawn.network, job->dtype, &drawn.parameters, error)) return -1;
        parameters_draw(drawn.parameters, &drawn.network, job->init, job->seed);
        status = add_weights(packing, &drawn, error);
    }
    parameters_destroy(drawn.parameters);
    model_destroy(given);
    return status;
}

static int add_order(struct packing *packing, struct error *error)
{
    size_t samples = packing->bundle->train_samples;
    uint32_t epochs = packing->bundle->job->epochs;
    if (!samples) return 0;
    char *path = path_join(packing->scratch.folder, "order.npy");
    uint32_t *order = malloc(samples ? samples * sizeof *order : 1);
    struct file_writer writer = {0};
    int status = -1;
    if (!path || !order) {
        error_set_memory(error, "the order of the samples");
        goto out;
    }
    if (file_create(path, &writer, error)) goto out;
    npy_write_header(writer.stream, "<i4", epochs, samples);
    for (uint32_t epoch = 0; epoch < epochs; epoch++) {
        fit_order(packing->bundle->job->seed, epoch, order, samples);
        fwrite(order, sizeof *order, samples, writer.stream);
    }
    status = file_commit(&writer, error);
    packing->names[packing->count++] = "order.npy";
out:
    file_abort(&writer);
    free(order);
    free(path);
    return status;
}

/* Which samples were drawn for validation. */
static int add_validation(struct packing *packing, struct error *error)
{
    const struct code_bundle *bundle = packing->bundle;
    struct file_writer writer = {0};
    int status = -1;
    if (!bundle->validation) return 0;
    char *path = path_join(packing->scratch.folder, "validation.npy");
    if (!path) return error_set_memory(error, "a path");
    if (file_create(path, &writer, error)) goto out;
    npy_write_header(writer.stream, "<i4", 1, bundle->validation_samples);
    fwrite(bundle->validation, sizeof *bundle->validation, bundle->validation_samples,
           writer.stream);
    status = file_commit(&writer, error);
    packing->names[packing->count++] = "validation.npy";
out:
    file_abort(&writer);
    free(path);
    return status;
}

/* What dropout drops, for the programs; too much of it is left out. */
static int add_masks(struct packing *packing, struct error *error)
{
    const struct code_bundle *bundle = packing->bundle;
    const struct network *network = &packing->network;
    if (!bundle->train_samples || !python_has_type(network, LAYER_DROPOUT)) return 0;
    char *path = path_join(packing->scratch.folder, "masks.npz");
    if (!path) return error_set_memory(error, "the bundle");
    int status = masks_write(bundle->job, network, bundle->train_samples, packing->scratch.folder,
                             path, error);
    free(path);
    if (status) return leave_out(packing, "masks.npz", error);
    packing->names[packing->count++] = "masks.npz";
    return 0;
}

static void write_files(const struct packing *packing, struct buffer *text)
{
    static const struct {
        const char *ending, *about; /* a file of the model's name, or with a dot its whole name */
    } rows[] = {
        {".pth", "PyTorch state dict: `torch.load(..., weights_only=True)`"},
        {".h5", "Keras model: `keras.models.load_model(...)`"},
        {".keras", "the same in Keras 3's own format"},
        {".safetensors", "the same weights for other programs"},
        {".onnx", "the same weights for other programs"},
        {"model.py", "the training in PyTorch"},
        {"model.ipynb", "the same as a notebook"},
        {"model_tf.py", "the training in TensorFlow"},
        {"model_tf.ipynb", "the same as a notebook"},
        {"requirements.txt", "what the programs need"},
        {"initial.pth", "the weights that training began with"},
        {"initial.keras", "the weights that training began with"},
        {"validation.npy", "the numbers of the training samples that it was validated with"},
        {"masks.npz", "what dropout drops, a row per sample in the order of training"},
    };
    buffer_append_text(text, "| file | what it is |\n|---|---|\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[160];
        snprintf(name, sizeof name, "%s%s",
                 rows[i].ending[0] == '.' ? packing->bundle->job->name : "", rows[i].ending);
        if (holds(packing, name)) buffer_printf(text, "| `%s` | %s |\n", name, rows[i].about);
    }
    if (packing->bundle->train_samples)
        buffer_append_text(text, "| `order.npy` | the order of the samples, a row per epoch |\n");
    if (packing->bundle->curve_csv)
        buffer_append_text(text, "| `curve.csv` | the loss of every step |\n");
    buffer_append_text(text, "| `settings.json` | what was chosen |\n");
    if (packing->left_out.length)
        buffer_printf(text, "\nLeft out, because they cannot hold what the run has:\n\n%s",
                      packing->left_out.data);
}

/* How `data export` has to open the data to write what the run was given. */
static void write_export_options(const struct job *job, struct buffer *text)
{
    if (job->label_column[0]) buffer_printf(text, " --label-column '%s'", job->label_column);
    if (job->invert != DATASET_INVERT_AUTO)
        buffer_printf(text, " --invert %s", dataset_invert_name(job->invert));
}

/* The six words of a program's line; empty when the bundle does not hold the program. */
#define COMMAND(program, initial)                                                        \
    holds(packing, program) ? "python " program " --data-dir DIR" : "",                  \
        holds(packing, program) && holds(packing, initial) ? " --initial " initial : "", \
        holds(packing, program) ? order : "", holds(packing, program) ? validation : "", \
        holds(packing, program) ? masks : "", holds(packing, program) ? "\n" : ""

static void write_commands(const struct packing *packing, struct buffer *text)
{
    const struct job *job = packing->bundle->job;
    const char *set = path_base(job->dataset),
               *order = packing->bundle->train_samples ? " --order order.npy" : "",
               *validation = holds(packing, "validation.npy") ? " --validation validation.npy" : "",
               *masks = holds(packing, "masks.npz") ? " --masks masks.npz" : "";
    buffer_printf(text,
                  "\n## Train it again\n\nFrom the same numbers in the same order; the losses "
                  "agree with `curve.csv` to rounding.\n\n"
                  "```\npip install -r requirements.txt\n"
                  "%s%s%s%s%s%s%s%s%s%s%s%s```\n\n"
                  "`DIR/%s/` holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, "
                  "`t10k-images-idx3-ubyte` and\n"
                  "`t10k-labels-idx1-ubyte`, plain or `.gz`. The studio writes them: `nnstudio "
                  "data export %s --out DIR",
                  COMMAND("model.py", "initial.pth"), COMMAND("model_tf.py", "initial.keras"), set,
                  set);
    write_export_options(job, text);
    buffer_append_text(text, "`.\n");
    if (!packing->has_initial)
        buffer_append_text(text, "\nThe weights it began with came from a file that is gone, so "
                                 "that it cannot begin with the same.\n");
    buffer_printf(text,
                  "\n## In the studio\n\n```\nnnstudio evaluate %s.pth --dataset %s --data-dir "
                  "DIR\nnnstudio inspect %s.onnx\n```\n",
                  job->name, set, job->name);
}

/* Tells only of what is really there, so it is written last. */
static int add_readme(struct packing *packing, struct error *error)
{
    const struct job *job = packing->bundle->job;
    struct buffer text;
    buffer_init(&text, TEXT_LIMIT);
    buffer_printf(&text,
                  "# %s\n\nA run of Neural Net Studio: engine %s, data set %s, %u epochs, batch "
                  "size %u, learning rate %s, seed %llu.\n\n",
                  job->name, job->engine, path_base(job->dataset), job->epochs, job->batch_size,
                  code_real(job->optimizer.learning_rate), (unsigned long long)job->seed);
    write_files(packing, &text);
    write_commands(packing, &text);
    int status = buffer_check(&text, "the bundle's README", error);
    if (!status) status = add_text(packing, "README.md", text.data, text.length, error);
    buffer_free(&text);
    return status;
}

static int add_settings(struct packing *packing, struct error *error)
{
    const struct job *job = packing->bundle->job;
    const char *set = path_base(job->dataset);
    json_t *settings = settings_to_json(job);
    /* Places on this machine are nobody else's business. */
    json_object_del(settings, "from");
    json_object_set_new(settings, "dataset", json_string(set));
    json_object_set_new(settings, "run", json_string(job->run));
    json_object_set_new(settings, "engine", json_string(job->engine));
    char *text = js_dump_as(settings, JSON_INDENT(2));
    json_decref(settings);
    if (!text) return error_set_memory(error, "the settings");
    int status = add_text(packing, "settings.json", text, strlen(text), error);
    free(text);
    return status;
}

static int add_curve(struct packing *packing, struct error *error)
{
    const char *curve = packing->bundle->curve_csv;
    return curve ? add_text(packing, "curve.csv", curve, strlen(curve), error) : 0;
}

static int zip_files(const struct packing *packing, const char *path, struct error *error)
{
    zip_t *archive;
    if (zip_new(path, &archive, error)) return -1;
    for (size_t i = 0; i < packing->count; i++) {
        char *file = path_join(packing->scratch.folder, packing->names[i]);
        int status = file ? zip_new_add_file(archive, packing->names[i], file, error)
                          : error_set_memory(error, "a path");
        free(file);
        if (status) {
            zip_discard(archive);
            return -1;
        }
    }
    return zip_new_finish(archive, path, error);
}

/* The settings' network where it is the model's; a run may have begun with a file's own. */
static struct network trained_network(const struct code_bundle *bundle)
{
    const struct network *model = &bundle->model->network;
    struct network network;
    struct error ignored;
    bool same = !job_network(bundle->job, model->rows, model->columns, model->channels,
                             network_classes(model), &network, &ignored) &&
                network_alike(&network, model);
    return same ? network : *model;
}

int code_bundle_write(const struct code_bundle *bundle, const char *path, struct error *error)
{
    struct packing packing = {.bundle = bundle, .network = trained_network(bundle)};
    buffer_init(&packing.left_out, TEXT_LIMIT);
    if (file_scratch_create(path, &packing.scratch, error)) return -1;
    char *made = path_join(packing.scratch.folder, path_base(path));
    int status = made ? 0 : error_set_memory(error, "a path");
    if (!status)
        status = add_settings(&packing, error) || add_curve(&packing, error) ||
                         add_programs(&packing, error) || add_trained(&packing, error) ||
                         add_initial(&packing, error) || add_order(&packing, error) ||
                         add_validation(&packing, error) || add_masks(&packing, error) ||
                         add_readme(&packing, error) || zip_files(&packing, made, error)
                     ? -1
                     : file_scratch_deliver(&packing.scratch, path, error);
    free(made);
    buffer_free(&packing.left_out);
    file_scratch_remove(&packing.scratch);
    return status;
}
