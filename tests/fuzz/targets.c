#include "targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "base/js.h"
#include "data/dataset.h"
#include "data/idx.h"
#include "data/picture.h"
#include "modelfile/keras_config.h"
#include "modelfile/modelfile.h"
#include "run/checkpoint.h"
#include "run/job.h"

/* A refusal is one line with a message. */
static void check_refusal(const struct error *error)
{
    CHECK(error->code != ERROR_NONE && error->message[0] && !strchr(error->message, '\n'));
}

static void read_model(const char *format, const char *path)
{
    struct error error = {0};
    struct model *model = calloc(1, sizeof *model);
    CHECK(model);
    if (modelfile_format_find(format)->read(path, NULL, model, &error)) {
        check_refusal(&error);
    } else {
        struct network again = model->network;
        CHECK(network_finish(&again, &error) == 0 && network_equal(&again, &model->network));
        CHECK(model->parameters->value_count >= network_parameter_count(&model->network));
        json_decref(model_describe_json(model));
    }
    model_destroy(model);
}

static void read_pth(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    read_model("pth", path);
}

static void read_h5(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    read_model("h5", path);
}

static void read_safetensors(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    read_model("safetensors", path);
}

static void read_keras(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    read_model("keras", path);
}

static void read_onnx(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    read_model("onnx", path);
}

static void add_record(zip_t *archive, const char *name, const void *bytes, size_t size)
{
    zip_source_t *source = zip_source_buffer(archive, bytes, size, 0);
    CHECK(source && zip_file_add(archive, name, source, 0) >= 0);
}

/* The bytes as the pickle within a .pth whose checksums are right: past them a mutation of the file
 * itself never gets. */
static void read_pickle(const uint8_t *bytes, size_t size, const char *path)
{
    static const float values[64];
    int code;
    zip_t *archive = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    CHECK(archive);
    add_record(archive, "a/data.pkl", bytes, size);
    add_record(archive, "a/data/0", values, sizeof values);
    add_record(archive, "a/data/1", values, 12);
    CHECK(zip_close(archive) == 0);
    read_model("pth", path);
}

static void read_keras_config(const uint8_t *bytes, size_t size, const char *path)
{
    (void)path;
    struct error error = {0};
    struct keras_chain chain = {0};
    json_t *config;
    if (js_parse_object((const char *)bytes, size, "the configuration", &config, &error)) {
        check_refusal(&error);
        return;
    }
    if (keras_chain_read(config, &chain, &error))
        check_refusal(&error);
    else
        CHECK(chain.count <= NETWORK_MAX_LAYERS);
    json_decref(config);
}

static void read_images(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    struct error error = {0};
    struct idx_images images;
    if (idx_read_images(path, 0, &images, &error)) {
        check_refusal(&error);
        return;
    }
    CHECK(images.read == images.count);
    free(images.pixels);
}

static void read_labels(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    struct error error = {0};
    struct idx_labels labels;
    if (idx_read_labels(path, &labels, &error))
        check_refusal(&error);
    else
        free(labels.labels);
}

static void check_split(const struct dataset *dataset, const struct split *split)
{
    for (size_t i = 0; i < split->count; i++) CHECK(split->labels[i] < dataset->classes);
}

static void open_dataset(const char *path, const struct dataset_options *options)
{
    struct error error = {0};
    struct dataset *dataset;
    if (dataset_open(path, options, &dataset, &error)) {
        check_refusal(&error);
        return;
    }
    if (options->unlabeled) {
        for (size_t i = 0; i < dataset->train.count; i++) CHECK(dataset->ids[i]);
    } else {
        check_split(dataset, &dataset->train);
        check_split(dataset, &dataset->test);
    }
    json_decref(dataset_describe(dataset));
    free(dataset_summary(dataset));
    dataset_close(dataset);
}

/* CSV, .npz and Parquet; which, the file's ending says. */
static void read_dataset(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    const struct dataset_options options = {0};
    open_dataset(path, &options);
}

/* One array, which has no labels beside it here. */
static void read_npy(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    const struct dataset_options options = {.unlabeled = true};
    open_dataset(path, &options);
}

/* PNG, JPEG, GIF and BMP, told apart by their content. */
static void read_picture(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    struct error error = {0};
    uint8_t input[28 * 28];
    bool inverted;
    if (picture_read_input(path, 28, 28, 1, &input_form_usual, input, &inverted, &error))
        check_refusal(&error);
}

static void read_checkpoint(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    struct error error = {0};
    struct checkpoint checkpoint;
    if (checkpoint_read(path, &checkpoint, &error)) {
        check_refusal(&error);
        return;
    }
    CHECK(checkpoint.parameters->value_count == network_parameter_count(&checkpoint.network));
    checkpoint_clear(&checkpoint);
}

static void read_job(const uint8_t *bytes, size_t size, const char *path)
{
    (void)path;
    struct error error = {0};
    json_t *value;
    struct job job;
    job_init(&job);
    if (js_parse_object((const char *)bytes, size, "a job", &value, &error)) {
        check_refusal(&error);
        return;
    }
    if (job_from_json(value, &job, &error) || job_check(&job, &error))
        check_refusal(&error);
    else
        json_decref(job_to_json(&job));
    json_decref(value);
}

const struct fuzz_target fuzz_targets[] = {
    {"bmp", "bmp", read_picture},
    {"checkpoint", "safetensors", read_checkpoint},
    {"csv", "csv", read_dataset},
    {"gif", "gif", read_picture},
    {"h5", "h5", read_h5},
    {"idx_images", "idx", read_images},
    {"idx_labels", "idx", read_labels},
    {"job", NULL, read_job},
    {"jpeg", "jpg", read_picture},
    {"keras", "keras", read_keras},
    {"keras_config", NULL, read_keras_config},
    {"npy", "npy", read_npy},
    {"npz", "npz", read_dataset},
    {"onnx", "onnx", read_onnx},
    {"parquet", "parquet", read_dataset},
    {"pickle", "pth", read_pickle},
    {"png", "png", read_picture},
    {"pth", "pth", read_pth},
    {"safetensors", "safetensors", read_safetensors},
};
const size_t fuzz_target_count = sizeof fuzz_targets / sizeof fuzz_targets[0];

const struct fuzz_target *fuzz_target_find(const char *name)
{
    for (size_t i = 0; i < fuzz_target_count; i++)
        if (strcmp(fuzz_targets[i].name, name) == 0) return &fuzz_targets[i];
    return NULL;
}

/* The file of this process: in memory where there is such a place, as millions of inputs go through
 * it. */
static const char *make_path(const char *ending)
{
    static char path[64];
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, sizeof path, "%s/nnstudio-fuzz-%d.%s", folder, (int)getpid(), ending);
    return path;
}

void fuzz_target_run(const struct fuzz_target *target, const uint8_t *bytes, size_t size)
{
    if (!target->ending) {
        target->read(bytes, size, NULL);
        return;
    }
    const char *path = make_path(target->ending);
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    target->read(bytes, size, path);
    unlink(path);
}
