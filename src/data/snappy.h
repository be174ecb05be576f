/* Snappy's block format (format_description.txt of google/snappy). For the data room only. */
#ifndef NNSTUDIO_DATA_SNAPPY_H
#define NNSTUDIO_DATA_SNAPPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when `in` unpacks to exactly `wanted` bytes. */
bool snappy_unpack(const uint8_t *in, size_t size, uint8_t *out, size_t wanted);

#endif
