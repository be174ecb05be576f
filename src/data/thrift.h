/* Thrift's compact protocol, as far as Parquet's headers need it: read in place, never beyond the
 * end, nothing believed. For the data room only. */
#ifndef NNSTUDIO_DATA_THRIFT_H
#define NNSTUDIO_DATA_THRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* After a failure every read gives 0 and moves nowhere. */
struct thrift {
    const uint8_t *at, *end;
    bool failed;
};

struct thrift_field {
    int id;
    uint8_t type; /* as on the wire; booleans are a type each */
};

enum { THRIFT_TRUE = 1, THRIFT_FALSE = 2, THRIFT_BINARY = 8, THRIFT_LIST = 9, THRIFT_STRUCT = 12 };

uint64_t thrift_varint(struct thrift *thrift);
/* Steps to the struct's next field, beginning with *field all zero; false at its end, or on a
 * failure. */
bool thrift_next(struct thrift *thrift, struct thrift_field *field);
/* The value of an integer field. */
int64_t thrift_integer(struct thrift *thrift, const struct thrift_field *field);
/* The bytes of a text, in place. */
const uint8_t *thrift_binary(struct thrift *thrift, const struct thrift_field *field, size_t *size);
/* How many elements follow; fails unless they are of that type. */
size_t thrift_list(struct thrift *thrift, const struct thrift_field *field, uint8_t element);
void thrift_skip(struct thrift *thrift, const struct thrift_field *field);

#endif
