#include "code/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "base/file.h"
#include "base/path.h"
#include "code/code.h"
#include "train/fit.h"

#define TEXT_LIMIT ((size_t)4 << 20)
#define MAX_ENTRIES 32

/* A bundle being put together: a folder of files that become the zip's entries. */
struct packing {
    const struct code_bundle *bundle;
    char *folder; /* temporary, owned */
    const char *names[MAX_ENTRIES];
    char model_names[4][128]; /* NAME.pth and so on: what `names` points to */
    size_t count;
};

static int add_text(struct packing *packing, const char *name, const char *text, size_t size, struct error *error)
{
    char *path = path_join(packing->folder, name);
    if (!path) return error_set_memory(error, "the bundle");
    int status = file_write(path, text, size, error);
    free(path);
    CHECK(packing->count < MAX_ENTRIES);
    packing->names[packing->count++] = name;
    return status;
}

static int add_model(struct packing *packing, const char *name, const struct model *model, struct error *error)
{
    char *path = path_join(packing->folder, name);
    if (!path) return error_set_memory(error, "the bundle");
    int status = modelfile_write(path, model, error);
    free(path);
    CHECK(packing->count < MAX_ENTRIES);
    packing->names[packing->count++] = name;
    return status;
}

static int add_programs(struct packing *packing, struct error *error)
{
    static const struct {
        const char *engine, *program, *notebook;
    } given[] = {{"torch", "model.py", "model.ipynb"}, {"tensorflow", "model_tf.py", "model_tf.ipynb"}};
    struct buffer text;
    buffer_init(&text, TEXT_LIMIT);
    int status = -1;
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        const struct code_voice *voice;
        if (code_voice_need(given[i].engine, "python", &voice, error)) goto out;
        buffer_clear(&text);
        if (code_program(voice, packing->bundle->job, &text, error)) goto out;
        if (add_text(packing, given[i].program, text.data, text.length, error)) goto out;
        buffer_clear(&text);
        if (code_notebook(voice, packing->bundle->job, &text, error)) goto out;
        if (add_text(packing, given[i].notebook, text.data, text.length, error)) goto out;
    }
    status = add_text(packing, "requirements.txt", code_requirements(), strlen(code_requirements()), error);
out:
    buffer_free(&text);
    return status;
}

static int add_trained(struct packing *packing, struct error *error)
{
    static const char *const endings[] = {"pth", "h5", "safetensors", "onnx"};
    for (size_t i = 0; packing->bundle->model && i < 4; i++) {
        snprintf(packing->model_names[i], sizeof packing->model_names[i], "%s.%s", packing->bundle->job->name, endings[i]);
        if (add_model(packing, packing->model_names[i], packing->bundle->model, error)) return -1;
    }
    return 0;
}

/* The weights that training began with: those of the file it was started from, or drawn anew from the seed. */
static int add_initial(struct packing *packing, struct error *error)
{
    const struct job *job = packing->bundle->job;
    struct model drawn = {.activation_known = true}, *given = NULL;
    int status = -1;
    if (job->from[0]) {
        if (modelfile_read(job->from, NULL, &given, error)) return -1;
    } else {
        if (network_build(&drawn.network, 28, 28, job->hidden, job->hidden_count, job->activation, 10, error)) return -1;
        if (parameters_create(&drawn.network, job->dtype, &drawn.parameters, error)) return -1;
        parameters_draw(drawn.parameters, &drawn.network, job->init, job->seed);
    }
    const struct model *model = given ? given : &drawn;
    status = add_model(packing, "initial.pth", model, error) || add_model(packing, "initial.h5", model, error) ? -1 : 0;
    parameters_destroy(drawn.parameters);
    model_destroy(given);
    return status;
}

/* NumPy's .npy, version 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
static int add_order(struct packing *packing, struct error *error)
{
    size_t samples = packing->bundle->train_samples;
    uint32_t epochs = packing->bundle->job->epochs;
    char header[128], *path = path_join(packing->folder, "order.npy");
    uint32_t *order = malloc(samples ? samples * sizeof *order : 1);
    struct file_writer writer = {0};
    int status = -1;
    if (!path || !order) {
        error_set_memory(error, "the order of the samples");
        goto out;
    }
    if (file_create(path, &writer, error)) goto out;
    int used = snprintf(header + 10, sizeof header - 10, "{'descr': '<u4', 'fortran_order': False, 'shape': (%u, %zu), }", epochs, samples);
    memset(header + 10 + used, ' ', sizeof header - 11 - (size_t)used);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 0x76 = 118 bytes of header text */
    header[sizeof header - 1] = '\n';
    fwrite(header, 1, sizeof header, writer.stream);
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

static int add_words(struct packing *packing, struct error *error)
{
    const struct job *job = packing->bundle->job;
    json_t *settings = job_to_json(job);
    /* Places on this machine are nobody else's business. */
    static const char *const places[] = {"home", "run_dir", "out_dir", "data_dir", "from", "resume"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) json_object_del(settings, places[i]);
    char *text = settings ? json_dumps(settings, JSON_INDENT(2)) : NULL;
    json_decref(settings);
    if (!text) return error_set_memory(error, "the settings");
    int status = add_text(packing, "settings.json", text, strlen(text), error);
    free(text);
    if (status) return -1;

    struct buffer readme;
    buffer_init(&readme, TEXT_LIMIT);
    const char *set = path_base(job->dataset);
    buffer_printf(&readme,
                  "# %s\n\nA run of Neural Net Studio, engine %s, data set %s, %u epochs, batch size %u, learning rate %g, seed %llu.\n\n"
                  "| file | what it is |\n|---|---|\n"
                  "| `%s.pth` | PyTorch state dict: `torch.load(..., weights_only=True)` |\n"
                  "| `%s.h5` | Keras model: `keras.models.load_model(...)` |\n"
                  "| `%s.safetensors`, `%s.onnx` | the same numbers for everyone else |\n"
                  "| `initial.pth`, `initial.h5`, `order.npy` | where training began, and the order of the samples |\n"
                  "| `curve.csv` | the loss of every step |\n"
                  "| `model.py`, `model_tf.py` and notebooks | the training in PyTorch and in TensorFlow |\n\n"
                  "Train the same again, from the same numbers in the same order:\n\n"
                  "```\npip install -r requirements.txt\n"
                  "python model.py --data-dir DIR --initial initial.pth --order order.npy\n"
                  "python model_tf.py --data-dir DIR --initial initial.h5 --order order.npy\n```\n\n"
                  "`DIR/%s/` holds `train-images-idx3-ubyte.gz` and its three companions. In the studio:\n\n"
                  "```\nnnstudio evaluate %s.pth --dataset %s\nnnstudio inspect %s.onnx\n```\n",
                  job->name, job->engine, set, job->epochs, job->batch_size, job->optimizer.learning_rate,
                  (unsigned long long)job->seed, job->name, job->name, job->name, job->name, set, job->name, set, job->name);
    if (buffer_check(&readme, "the bundle's README", error) == 0)
        status = add_text(packing, "README.md", readme.data, readme.length, error);
    else
        status = -1;
    buffer_free(&readme);
    if (!status && packing->bundle->curve_csv)
        status = add_text(packing, "curve.csv", packing->bundle->curve_csv, strlen(packing->bundle->curve_csv), error);
    return status;
}

static int zip_files(const struct packing *packing, const char *path, struct error *error)
{
    int code = 0, status = -1;
    char *temporary;
    if (asprintf(&temporary, "%s.part-%ld", path, (long)getpid()) < 0) return error_set_memory(error, "the bundle");
    zip_t *archive = zip_open(temporary, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (!archive) {
        error_set_errno(error, errno, "cannot write %s", path);
        goto out;
    }
    for (size_t i = 0; i < packing->count; i++) {
        char *file = path_join(packing->folder, packing->names[i]);
        zip_source_t *source = file ? zip_source_file(archive, file, 0, -1) : NULL;
        free(file);
        if (!source || zip_file_add(archive, packing->names[i], source, ZIP_FL_ENC_UTF_8) < 0) {
            zip_source_free(source);
            error_set(error, ERROR_IO, "cannot put %s into %s: %s", packing->names[i], path, zip_strerror(archive));
            zip_discard(archive);
            goto out;
        }
    }
    if (zip_close(archive)) {
        error_set(error, ERROR_IO, "cannot write %s: %s", path, zip_strerror(archive));
        zip_discard(archive);
    } else if (rename(temporary, path)) {
        error_set_errno(error, errno, "cannot write %s", path);
    } else {
        status = 0;
    }
out:
    if (status) unlink(temporary);
    free(temporary);
    return status;
}

int code_bundle_write(const struct code_bundle *bundle, const char *path, struct error *error)
{
    struct packing packing = {.bundle = bundle};
    struct error ignored;
    if (asprintf(&packing.folder, "%s.files-XXXXXX", path) < 0) return error_set_memory(error, "the bundle");
    if (!mkdtemp(packing.folder)) {
        error_set_errno(error, errno, "cannot write %s", path);
        free(packing.folder);
        return -1;
    }
    int status = add_words(&packing, error) || add_programs(&packing, error) || add_trained(&packing, error) ||
                         add_initial(&packing, error) || add_order(&packing, error) || zip_files(&packing, path, error)
                     ? -1
                     : 0;
    file_remove_tree(packing.folder, &ignored);
    free(packing.folder);
    return status;
}
