#include "targets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "data/choices.h"
#include "data/dataset.h"
#include "data/idx.h"
#include "data/picture.h"
#include "data/snappy.h"
#include "http/upload.h"
#include "modelfile/h5_lzf.h"
#include "modelfile/keras_config.h"
#include "modelfile/modelfile.h"
#include "net/compact.h"
#include "run/checkpoint.h"
#include "run/job.h"

/* A refusal is one line with a message. */
static void check_refusal(const struct error *error)
{
    CHECK(error->code != ERROR_NONE && error->message[0] && !strchr(error->message, '\n'));
}

/* What a reader made holds together, and its metadata gives a form or is refused. */
static void check_model(const struct model *model)
{
    struct error error = {0};
    struct network again = model->network;
    struct input_form form;
    CHECK(network_finish(&again, &error) == 0 && network_equal(&again, &model->network));
    CHECK(model->parameters->value_count >= network_parameter_count(&model->network));
    json_decref(model_describe_json(model));
    if (input_form_from_metadata(model->metadata, &form, &error)) check_refusal(&error);
}

static void read_model_as(const char *format, const char *path,
                          const struct modelfile_options *options)
{
    struct error error = {0};
    struct model *model = calloc(1, sizeof *model);
    CHECK(model);
    if (modelfile_format_find(format)->read(path, options, model, &error))
        check_refusal(&error);
    else
        check_model(model);
    model_destroy(model);
}

static void read_model(const char *format, const char *path)
{
    read_model_as(format, path, NULL);
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

/* Tensors for layers that the user described, which .pth gets likewise. */
static void read_weights(const uint8_t *bytes, size_t size, const char *path)
{
    struct modelfile_options options = {.rows = 6, .columns = 6};
    struct error error = {0};
    (void)bytes;
    (void)size;
    options.network.rows = options.network.columns = 6;
    CHECK(network_read("conv 2 3x3, batchnorm relu, maxpool 2, flatten, dense 3", &options.network,
                       &error) == 0);
    read_model_as("safetensors", path, &options);
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

/* A file beside the input, in its folder, as long as `read` runs. */
static char *put_beside(const char *path, const char *name, const void *bytes, size_t size)
{
    char *folder = strndup(path, (size_t)(path_base(path) - path)),
         *beside = folder ? path_join(folder, name) : NULL;
    FILE *file = beside ? fopen(beside, "wb") : NULL;
    CHECK(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    free(folder);
    return beside;
}

static void take_away(char *beside)
{
    unlink(beside);
    free(beside);
}

static void read_onnx_external(const uint8_t *bytes, size_t size, const char *path)
{
    static const float values[256];
    (void)bytes;
    (void)size;
    char *data = put_beside(path, "weights.data", values, sizeof values);
    read_model("onnx", path);
    take_away(data);
}

/* An index of shards, of which two are there. */
static void read_shards(const uint8_t *bytes, size_t size, const char *path)
{
    static const char *const heads[] = {
        "{\"fc1.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],\"data_offsets\":[0,48]}}",
        "{\"fc1.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}"};
    static const char *const names[] = {"a.safetensors", "b.safetensors"};
    char *beside[2];
    (void)bytes;
    (void)size;
    for (size_t i = 0; i < 2; i++) {
        uint8_t shard[256] = {0};
        uint64_t length = strlen(heads[i]);
        memcpy(shard, &length, sizeof length);
        memcpy(shard + sizeof length, heads[i], length);
        beside[i] = put_beside(path, names[i], shard, sizeof length + length + (i ? 12 : 48));
    }
    read_model("safetensors", path);
    for (size_t i = 0; i < 2; i++) take_away(beside[i]);
}

/* The first two bytes are the room there is. */
static void read_lzf(const uint8_t *bytes, size_t size, const char *path)
{
    (void)path;
    if (size < 2) return;
    size_t room = (size_t)bytes[0] << 8 | bytes[1], done;
    uint8_t *out = malloc(room ? room : 1);
    CHECK(out);
    if (lzf_unpack(bytes + 2, size - 2, out, room, &done)) CHECK(done <= room);
    free(out);
}

static void add_record(zip_t *archive, const char *name, const void *bytes, size_t size)
{
    zip_source_t *source = zip_source_buffer(archive, bytes, size, 0);
    CHECK(source && zip_file_add(archive, name, source, 0) >= 0);
}

/* The first two bytes are the size that is claimed. */
static void read_snappy(const uint8_t *bytes, size_t size, const char *path)
{
    (void)path;
    if (size < 2) return;
    size_t wanted = (size_t)bytes[0] << 8 | bytes[1];
    uint8_t *out = malloc(wanted ? wanted : 1);
    CHECK(out);
    (void)snappy_unpack(bytes + 2, size - 2, out, wanted);
    free(out);
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
        for (size_t i = 0; dataset->ids && i < dataset->train.count; i++) CHECK(dataset->ids[i]);
    } else {
        check_split(dataset, &dataset->train);
        check_split(dataset, &dataset->test);
    }
    json_decref(dataset_describe(dataset));
    free(dataset_summary(dataset));
    dataset_close(dataset);
}

/* CSV, .npz and Parquet; which, the file's ending says. To train on, and to predict. */
static void read_dataset(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    const struct dataset_options train = {0}, predict = {.unlabeled = true, .features = 4};
    open_dataset(path, &train);
    open_dataset(path, &predict);
}

/* A file without an ending: told by its content, or named for what it is. */
static void read_any(const uint8_t *bytes, size_t size, const char *path)
{
    const struct dataset_options options = {0};
    struct error error = {0};
    struct model *model = NULL;
    (void)bytes;
    (void)size;
    open_dataset(path, &options);
    if (modelfile_read(path, NULL, &model, &error))
        check_refusal(&error);
    else
        check_model(model);
    model_destroy(model);
}

/* What its user said of a table lies beside it. */
static void read_choices(const uint8_t *bytes, size_t size, const char *path)
{
    struct dataset_choices choices;
    struct error error = {0};
    (void)bytes;
    (void)size;
    char *folder = strndup(path, (size_t)(path_base(path) - path)),
         *data = folder ? path_join(folder, "input.csv") : NULL;
    CHECK(data);
    if (dataset_choices_read(data, &choices, &error)) check_refusal(&error);
    free(data);
    free(folder);
}

/* One array, which has no labels beside it here. */
static void read_npy(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    const struct dataset_options options = {.unlabeled = true};
    open_dataset(path, &options);
}

/* A tar archive, plain or behind gzip, in its folder. The first header's sum is set right: past a
 * wrong one nothing is read. */
static void read_cifar(const uint8_t *bytes, size_t size, const char *path)
{
    const struct dataset_options options = {0};
    if (size >= 512) {
        char header[512], octal[8];
        unsigned sum = 0;
        memcpy(header, bytes, sizeof header);
        memset(header + 148, ' ', 8);
        for (size_t i = 0; i < sizeof header; i++) sum += (unsigned char)header[i];
        snprintf(octal, sizeof octal, "%06o", sum);
        memcpy(header + 148, octal, 7);
        FILE *file = fopen(path, "r+b");
        CHECK(file && fwrite(header, 1, sizeof header, file) == sizeof header && !fclose(file));
    }
    char *folder = strndup(path, (size_t)(path_base(path) - path));
    CHECK(folder);
    open_dataset(folder, &options);
    free(folder);
}

/* Nothing of an archive may come to lie outside of the folder it is unpacked into. */
static void read_zip(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    struct error error = {0};
    atomic_bool stop = false;
    size_t skipped;
    char folder[128];
    snprintf(folder, sizeof folder, "%s.unpacked", path);
    if (upload_unpack(path, folder, &stop, &skipped, &error)) check_refusal(&error);
    CHECK(file_remove_tree(folder, &error) == 0);
}

/* PNG, JPEG, GIF and BMP, told apart by their content. */
static void read_picture(const uint8_t *bytes, size_t size, const char *path)
{
    (void)bytes;
    (void)size;
    uint8_t input[3 * 28 * 28];
    bool inverted;
    for (uint32_t channels = 1; channels <= 3; channels += 2) {
        struct error error = {0};
        if (picture_read_input(path, 28, 28, channels, &input_form_usual, input, &inverted, &error))
            check_refusal(&error);
    }
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
    {"any", "input", read_any},
    {"bmp", "input.bmp", read_picture},
    {"checkpoint", "input.safetensors", read_checkpoint},
    {"choices", ".input.csv.json", read_choices},
    {"cifar", "cifar-10-binary.tar.gz", read_cifar},
    {"csv", "input.csv", read_dataset},
    {"gif", "input.gif", read_picture},
    {"h5", "input.h5", read_h5},
    {"idx_images", "input.idx", read_images},
    {"idx_labels", "input.idx", read_labels},
    {"job", NULL, read_job},
    {"jpeg", "input.jpg", read_picture},
    {"keras", "input.keras", read_keras},
    {"keras_config", NULL, read_keras_config},
    {"lzf", NULL, read_lzf},
    {"npy", "input.npy", read_npy},
    {"npz", "input.npz", read_dataset},
    {"onnx", "input.onnx", read_onnx},
    {"onnx_external", "input.onnx", read_onnx_external},
    {"parquet", "input.parquet", read_dataset},
    {"pickle", "input.pth", read_pickle},
    {"png", "input.png", read_picture},
    {"pth", "input.pth", read_pth},
    {"safetensors", "input.safetensors", read_safetensors},
    {"shards", "model.safetensors.index.json", read_shards},
    {"snappy", NULL, read_snappy},
    {"weights", "input.safetensors", read_weights},
    {"zip", "input.zip", read_zip},
};
const size_t fuzz_target_count = sizeof fuzz_targets / sizeof fuzz_targets[0];

const struct fuzz_target *fuzz_target_find(const char *name)
{
    for (size_t i = 0; i < fuzz_target_count; i++)
        if (strcmp(fuzz_targets[i].name, name) == 0) return &fuzz_targets[i];
    return NULL;
}

/* The folder of this process: in memory where there is such a place, as millions of inputs go
 * through it. */
static const char *make_folder(void)
{
    static char path[64];
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, sizeof path, "%s/nnstudio-fuzz-%d", folder, (int)getpid());
    CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
    return path;
}

void fuzz_target_run(const struct fuzz_target *target, const uint8_t *bytes, size_t size)
{
    if (!target->file) {
        target->read(bytes, size, NULL);
        return;
    }
    const char *folder = make_folder();
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, target->file);
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    target->read(bytes, size, path);
    unlink(path);
    CHECK(rmdir(folder) == 0); /* a reader leaves nothing behind */
}
