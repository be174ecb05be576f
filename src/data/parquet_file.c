/* The description at a Parquet file's end (https://parquet.apache.org/docs/file-format/). */
#include "data/parquet_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/dataset_impl.h"
#include "data/thrift.h"

#define MAGIC     "PAR1"
#define NESTS_MAX 8

/* Of a column's number that is another: ConvertedType's decimals, dates, times and time stamps; and
 * a type of old time stamps. */
enum { MEANING_DECIMAL = 5, MEANING_MICROS = 10, INT96 = 3 };

int parquet_damaged(const struct parquet_file *file, const char *what, struct error *error)
{
    return error_set(error, ERROR_INPUT, "%s is a damaged Parquet file (%s): copy or save it again",
                     file->path, what);
}

static void copy_name(char out[PARQUET_NAME_MAX], const uint8_t *bytes, size_t size)
{
    snprintf(out, PARQUET_NAME_MAX, "%.*s", (int)(size < PARQUET_NAME_MAX ? size : 63),
             (const char *)bytes);
}

struct element {
    char name[PARQUET_NAME_MAX];
    int64_t type, repetition, children, meaning;
};

static void read_element(struct thrift *thrift, struct element *out)
{
    struct thrift_field field = {0};
    size_t size;
    *out = (struct element){.type = -1, .meaning = -1};
    while (thrift_next(thrift, &field)) {
        switch (field.id) {
        case 1:
            out->type = thrift_integer(thrift, &field);
            break;
        case 3:
            out->repetition = thrift_integer(thrift, &field);
            break;
        case 4: {
            const uint8_t *name = thrift_binary(thrift, &field, &size);
            copy_name(out->name, name, size);
            break;
        }
        case 5:
            out->children = thrift_integer(thrift, &field);
            break;
        case 6:
            out->meaning = thrift_integer(thrift, &field);
            break;
        default:
            thrift_skip(thrift, &field);
        }
    }
}

/* The tree of columns, written depth first: the leaves are what is stored. */
static void read_schema(struct thrift *thrift, const struct thrift_field *field,
                        struct parquet_file *file)
{
    struct {
        char name[PARQUET_NAME_MAX];
        int64_t left;
        unsigned defined;
        bool repeated;
    } nests[NESTS_MAX] = {0};
    size_t count = thrift_list(thrift, field, THRIFT_STRUCT), depth = 0;
    struct element element;
    if (count) read_element(thrift, &element); /* the root, without a name that matters */
    nests[0].left = count ? element.children : 0;
    for (size_t i = 1; i < count && !thrift->failed; i++) {
        read_element(thrift, &element);
        while (depth && !nests[depth].left) depth--;
        if (nests[depth].left-- < 1) thrift->failed = true;
        unsigned defined = nests[depth].defined + (element.repetition != 0);
        bool repeated = nests[depth].repeated || element.repetition == 2;
        if (element.children > 0) {
            if (++depth == NESTS_MAX) {
                thrift->failed = true;
                return;
            }
            memcpy(nests[depth].name, element.name, sizeof element.name);
            nests[depth].left = element.children;
            nests[depth].defined = defined;
            nests[depth].repeated = repeated;
            continue;
        }
        if (file->column_count == PARQUET_MAX_COLUMNS) {
            thrift->failed = true;
            return;
        }
        struct parquet_column *column = &file->columns[file->column_count++];
        *column = (struct parquet_column){.type = (int)element.type,
                                          .most_defined = defined,
                                          .repeated = repeated,
                                          .not_plain = (element.meaning >= MEANING_DECIMAL &&
                                                        element.meaning <= MEANING_MICROS) ||
                                                       element.type < 0 || element.type == INT96 ||
                                                       element.type > PARQUET_BYTES};
        memcpy(column->name, element.name, sizeof element.name);
        memcpy(column->parent, nests[depth].name, sizeof column->parent);
    }
}

static void read_notes(struct thrift *thrift, const struct thrift_field *field,
                       struct parquet_file *file)
{
    size_t count = thrift_list(thrift, field, THRIFT_STRUCT);
    for (size_t i = 0; i < count && !thrift->failed; i++) {
        struct thrift_field part = {0};
        const uint8_t *key = NULL, *value = NULL;
        size_t key_size = 0, value_size = 0;
        while (thrift_next(thrift, &part)) {
            if (part.id == 1)
                key = thrift_binary(thrift, &part, &key_size);
            else if (part.id == 2)
                value = thrift_binary(thrift, &part, &value_size);
            else
                thrift_skip(thrift, &part);
        }
        if (value && key_size == 11 && memcmp(key, "huggingface", 11) == 0) {
            file->note = (const char *)value;
            file->note_size = value_size;
        }
    }
}

static int read_description(struct parquet_file *file, const uint8_t *at, const uint8_t *end,
                            struct error *error)
{
    struct thrift thrift = {at, end, false};
    struct thrift_field field = {0};
    int64_t rows = -1;
    while (thrift_next(&thrift, &field)) {
        const uint8_t *start = thrift.at;
        if (field.id == 2)
            read_schema(&thrift, &field, file);
        else if (field.id == 3)
            rows = thrift_integer(&thrift, &field);
        else if (field.id == 5)
            read_notes(&thrift, &field, file);
        else
            thrift_skip(&thrift, &field);
        if (field.id == 4 && !thrift.failed) {
            struct thrift again = {start, end, false};
            file->group_count = thrift_list(&again, &field, THRIFT_STRUCT);
            file->groups = again.at;
            if (again.failed) return parquet_damaged(file, "its row groups", error);
        }
    }
    if (thrift.failed || rows < 0 || !file->column_count)
        return parquet_damaged(file, "its description", error);
    file->rows = (uint64_t)rows;
    return 0;
}

int parquet_open(const char *path, struct parquet_file *out, struct error *error)
{
    *out = (struct parquet_file){.path = path};
    if (file_read(path, DATASET_MAX_BYTES, &out->bytes, &out->size, error)) return -1;
    const uint8_t *bytes = (const uint8_t *)out->bytes, *end = bytes + out->size;
    int status = -1;
    if (out->size < 12 || memcmp(bytes, MAGIC, 4) != 0 || memcmp(end - 4, MAGIC, 4) != 0) {
        error_set(error, ERROR_INPUT, "%s is not a whole Parquet file: copy it again", path);
    } else {
        size_t length = end[-8] | (size_t)end[-7] << 8 | (size_t)end[-6] << 16 |
                        (size_t)end[-5] << 24;
        status = length > out->size - 12
                     ? parquet_damaged(out, "its description is longer than the file", error)
                     : read_description(out, end - 8 - length, end - 8, error);
    }
    if (status) parquet_close(out);
    return status;
}

void parquet_close(struct parquet_file *file)
{
    free(file->bytes);
    file->bytes = NULL;
}

struct chunk_places {
    int64_t codec, values, compressed, data, dictionary;
    bool elsewhere;
};

static void read_chunk_details(struct thrift *thrift, struct chunk_places *out)
{
    struct thrift_field field = {0};
    while (thrift_next(thrift, &field)) {
        int64_t *place = field.id == 4    ? &out->codec
                         : field.id == 5  ? &out->values
                         : field.id == 7  ? &out->compressed
                         : field.id == 9  ? &out->data
                         : field.id == 11 ? &out->dictionary
                                          : NULL;
        if (place)
            *place = thrift_integer(thrift, &field);
        else
            thrift_skip(thrift, &field);
    }
}

static void read_chunk_places(struct thrift *thrift, struct chunk_places *out)
{
    struct thrift_field field = {0};
    *out = (struct chunk_places){.dictionary = -1, .data = -1, .values = -1, .compressed = -1};
    while (thrift_next(thrift, &field)) {
        if (field.id == 3 && field.type == THRIFT_STRUCT) {
            read_chunk_details(thrift, out);
            continue;
        }
        if (field.id == 1) out->elsewhere = true;
        thrift_skip(thrift, &field);
    }
}

/* One row group: the chunk of the wanted column. */
static int find_chunk(struct thrift *thrift, size_t column, struct chunk_places *out)
{
    struct thrift_field field = {0};
    bool found = false;
    while (thrift_next(thrift, &field)) {
        if (field.id != 1) {
            thrift_skip(thrift, &field);
            continue;
        }
        size_t count = thrift_list(thrift, &field, THRIFT_STRUCT);
        for (size_t c = 0; c < count && !thrift->failed; c++) {
            struct chunk_places places;
            read_chunk_places(thrift, &places);
            if (c != column) continue;
            *out = places;
            found = true;
        }
    }
    return found && !thrift->failed ? 0 : -1;
}

int parquet_each(const struct parquet_file *file, size_t column, parquet_value_fn *each,
                 void *context, struct error *error)
{
    const uint8_t *bytes = (const uint8_t *)file->bytes;
    struct thrift thrift = {file->groups, bytes + file->size - 8, false};
    uint64_t row = 0;
    for (size_t g = 0; g < file->group_count; g++) {
        struct chunk_places places = {0};
        if (find_chunk(&thrift, column, &places))
            return parquet_damaged(file, "a row group", error);
        if (places.elsewhere)
            return error_set(error, ERROR_INPUT,
                             "%s keeps its values in another file: save it as one file",
                             file->path);
        int64_t start = places.dictionary > 0 && places.dictionary < places.data ? places.dictionary
                                                                                 : places.data;
        if (start < 4 || places.compressed < 0 || places.values < 0 ||
            (uint64_t)start > file->size ||
            (uint64_t)places.compressed > file->size - (uint64_t)start ||
            (uint64_t)places.values > file->rows - row)
            return parquet_damaged(file, "where its values are", error);
        const struct parquet_chunk chunk = {bytes + start, bytes + start + places.compressed,
                                            (int)places.codec, (uint64_t)places.values, row};
        if (parquet_read_chunk(file, &file->columns[column], &chunk, each, context, error))
            return -1;
        row += (uint64_t)places.values;
    }
    return row == file->rows ? 0 : parquet_damaged(file, "rows are missing", error);
}
