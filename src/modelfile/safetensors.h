/* .safetensors: any set of named tensors with string metadata. Models go through modelfile.h; this
 * is for what else is kept so, such as a run's checkpoints.
 *
 * The format (https://github.com/huggingface/safetensors#format): 8 bytes little-endian header
 * length, a JSON object {"name":{"dtype":"F32","shape":[2,3],"data_offsets":[begin,end]},…,
 * "__metadata__":{"key":"text"}}, then the bytes. */
#ifndef NNSTUDIO_MODELFILE_SAFETENSORS_H
#define NNSTUDIO_MODELFILE_SAFETENSORS_H

#include <jansson.h>

#include "modelfile/state_dict.h"

#define SAFETENSORS_MAX_HEADER ((size_t)16 << 20)

struct safetensors_entry {
    const char *name;
    enum dtype dtype;
    uint32_t rank;
    const size_t *shape;
    const void *values; /* row-major */
};

/* Writes the whole file or nothing. `metadata` maps strings to strings; NULL for none. Borrows
 * everything. */
int safetensors_write(const char *path, const struct safetensors_entry *entries, size_t count,
                      const json_t *metadata, struct error *error);

/* The same of a whole state dict, as safetensors_read() gives it back. */
int safetensors_write_state(const char *path, const struct state_dict *state,
                            const json_t *metadata, struct error *error);

/* Reads tensors (F32, F64, and F16, BF16 widened) into the zeroed *state, in the order of their
 * bytes, and the metadata into *metadata (a new object, perhaps empty). Strict: sizes agree, and
 * the tensors cover the data without hole or overlap. On failure nothing is left to free. */
int safetensors_read(const char *path, struct state_dict *state, json_t **metadata,
                     struct error *error);

#endif
