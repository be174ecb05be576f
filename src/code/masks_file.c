#include "code/masks_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "base/zip_new.h"
#include "engine/dropout.h"

#define HEADER_SIZE 128

void npy_write_header(FILE *stream, const char *type, size_t rows, size_t columns)
{
    char header[HEADER_SIZE];
    int used = snprintf(header + 10, sizeof header - 10,
                        "{'descr': '%s', 'fortran_order': False, 'shape': (%zu, %zu), }", type,
                        rows, columns);
    memset(header + 10 + used, ' ', sizeof header - 11 - (size_t)used);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 0x76 = 118 bytes of header text */
    header[sizeof header - 1] = '\n';
    fwrite(header, 1, sizeof header, stream);
}

/* One layer's masks, a batch after another as the engines ask for them. */
static int write_layer(const struct job *job, const struct network *network, uint32_t index,
                       size_t samples, const char *path, struct error *error)
{
    const struct layer *layer = &network->layers[index];
    struct file_writer writer = {0};
    uint8_t *kept = malloc((size_t)job->batch_size * layer->outputs);
    uint64_t step = 0;
    int status = -1;
    if (!kept) return error_set_memory(error, "the masks");
    if (file_create(path, &writer, error)) goto out;
    npy_write_header(writer.stream, "|u1", job->epochs * samples, layer->outputs);
    for (uint32_t epoch = 0; epoch < job->epochs; epoch++)
        for (size_t from = 0; from < samples; from += job->batch_size, step++) {
            size_t count = samples - from < job->batch_size ? samples - from : job->batch_size;
            dropout_mask(job->seed, dropout_stream(step, index), layer->rate, 0,
                         count * layer->outputs, kept);
            fwrite(kept, layer->outputs, count, writer.stream);
        }
    status = file_commit(&writer, error);
out:
    file_abort(&writer);
    free(kept);
    return status;
}

static int write_layers(const struct job *job, const struct network *network, size_t samples,
                        const char *folder, zip_t *archive, struct error *error)
{
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        char name[LAYER_NAME_MAX + 8];
        if (layer->type != LAYER_DROPOUT) continue;
        snprintf(name, sizeof name, "%s.npy", layer->name);
        char *file = path_join(folder, name);
        int status = !file ? error_set_memory(error, "a path")
                           : write_layer(job, network, i, samples, file, error);
        if (!status) status = zip_new_add_file(archive, name, file, error);
        free(file);
        if (status) return -1;
    }
    return 0;
}

static size_t values_of(const struct network *network)
{
    size_t values = 0;
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].type == LAYER_DROPOUT) values += network->layers[i].outputs;
    return values;
}

int masks_write(const struct job *job, const struct network *network, size_t samples,
                const char *folder, const char *path, struct error *error)
{
    size_t values = values_of(network), rows = (size_t)job->epochs * samples;
    zip_t *archive;
    if (values && rows > MASKS_MAX_BYTES / values)
        return error_set(error, ERROR_INPUT,
                         "the masks of %zu samples would have %zu MB, the most is %zu: train on "
                         "fewer samples or epochs",
                         rows, rows / 1000 * values / 1000, MASKS_MAX_BYTES >> 20);
    if (zip_new(path, &archive, error)) return -1;
    if (write_layers(job, network, samples, folder, archive, error)) {
        zip_discard(archive);
        return -1;
    }
    return zip_new_finish(archive, path, error);
}
