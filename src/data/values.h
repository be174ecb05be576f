/* Numbers that are no bytes, as codes 0 … 255 into a table of values: exact, for data with at most
 * 256 different values. For the readers of this room only. */
#ifndef NNSTUDIO_DATA_VALUES_H
#define NNSTUDIO_DATA_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct values {
    size_t count;
    float sorted[256];
};

/* Adds the numbers' different values; the first that finds no place anymore stops it: its index,
 * or `count` when all are in. */
size_t values_collect(struct values *values, const float *numbers, size_t count);
/* True when all values are k / 255 to the digits that programs print: bytes divided by 255. */
bool values_are_bytes_over_255(const struct values *values);
/* Codes of numbers that were all collected: the place in `sorted`, or k when they are k / 255. */
void values_encode(const struct values *values, bool bytes, const float *numbers, size_t count,
                   uint8_t *codes);

#endif
