/* A Parquet column's pages: compression, levels, encodings. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "data/parquet_file.h"
#include "data/snappy.h"
#include "data/thrift.h"

#define PAGE_MAX ((uint64_t)256 << 20)

enum { CODEC_NONE, CODEC_SNAPPY, CODEC_GZIP, CODEC_ZSTD = 6 };
enum { PAGE_DATA, PAGE_INDEX, PAGE_DICTIONARY, PAGE_DATA_2 };
enum { PLAIN = 0, PLAIN_DICTIONARY = 2, RLE_DICTIONARY = 8 };

struct page {
    int64_t type, unpacked, packed, values, encoding, defined_bytes, repeated_bytes;
    bool compressed;
};

/* --- headers --- */

static void read_page_details(struct thrift *thrift, struct page *page, bool second)
{
    struct thrift_field field = {0};
    while (thrift_next(thrift, &field)) {
        if (field.id == 1)
            page->values = thrift_integer(thrift, &field);
        else if (field.id == (second ? 4 : 2))
            page->encoding = thrift_integer(thrift, &field);
        else if (second && field.id == 5)
            page->defined_bytes = thrift_integer(thrift, &field);
        else if (second && field.id == 6)
            page->repeated_bytes = thrift_integer(thrift, &field);
        else if (second && field.id == 7)
            page->compressed = field.type == THRIFT_TRUE;
        else
            thrift_skip(thrift, &field);
    }
}

static void read_page_header(struct thrift *thrift, struct page *page)
{
    struct thrift_field field = {0};
    *page = (struct page){.type = -1, .compressed = true};
    while (thrift_next(thrift, &field)) {
        int64_t *place = field.id == 1   ? &page->type
                         : field.id == 2 ? &page->unpacked
                         : field.id == 3 ? &page->packed
                                         : NULL;
        if (place)
            *place = thrift_integer(thrift, &field);
        else if ((field.id == 5 || field.id == 7 || field.id == 8) && field.type == THRIFT_STRUCT)
            read_page_details(thrift, page, field.id == 8);
        else
            thrift_skip(thrift, &field);
    }
}

/* --- compression --- */

static bool gunzip(const uint8_t *in, size_t size, uint8_t *out, size_t wanted)
{
    z_stream stream = {.next_in = (uint8_t *)(uintptr_t)in,
                       .avail_in = (uInt)size,
                       .next_out = out,
                       .avail_out = (uInt)wanted};
    if (inflateInit2(&stream, 15 + 32) != Z_OK) return false;
    bool good = inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out == wanted;
    inflateEnd(&stream);
    return good;
}

static bool unzstd(const uint8_t *in, size_t size, uint8_t *out, size_t wanted)
{
    size_t made = ZSTD_decompress(out, wanted, in, size);
    return !ZSTD_isError(made) && made == wanted;
}

static bool copy(const uint8_t *in, size_t size, uint8_t *out, size_t wanted)
{
    if (size != wanted) return false;
    memcpy(out, in, size);
    return true;
}

/* What each can do at best: more is a lie, and no memory is had for it. (zstd has blocks of 128 kB
 * that are one byte repeated.) */
static const struct codec {
    int id;
    uint64_t ratio;
    bool (*unpack)(const uint8_t *in, size_t size, uint8_t *out, size_t wanted);
} codecs[] = {
    {CODEC_NONE, 1, copy},
    {CODEC_SNAPPY, 32, snappy_unpack},
    {CODEC_GZIP, 1032, gunzip},
    {CODEC_ZSTD, 32768, unzstd},
};

static const struct codec *find_codec(int id)
{
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (codecs[i].id == id) return &codecs[i];
    return NULL;
}

/* `size` bytes at `in` to *out, malloc'd, of `wanted` bytes and 8 zeros more. */
static int unpack(const struct parquet_file *file, int codec, const uint8_t *in, size_t size,
                  uint64_t wanted, uint8_t **out, struct error *error)
{
    const struct codec *known = find_codec(codec);
    if (!known)
        return error_set(error, ERROR_INPUT,
                         "%s is compressed in a way the studio does not read (codec %d): save it "
                         "with compression=\"snappy\", \"gzip\" or \"zstd\"",
                         file->path, codec);
    if (wanted > size * known->ratio + 64 || wanted > PAGE_MAX)
        return parquet_damaged(file, "a page's size", error);
    *out = calloc(wanted + 8, 1);
    if (!*out) return error_set_memory(error, "a page");
    if (known->unpack(in, size, *out, wanted)) return 0;
    free(*out);
    *out = NULL;
    return parquet_damaged(file, "a page cannot be unpacked", error);
}

/* --- levels and dictionary indices: runs, and packed bits --- */

struct packed_runs {
    struct thrift bytes; /* for its numbers and its bounds */
    unsigned width;
    uint64_t left;
    bool packed;
    uint32_t value;
    unsigned bit; /* within a packed run */
};

static uint32_t take_packed(struct packed_runs *runs)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < runs->width; i++) {
        if (runs->bytes.at == runs->bytes.end) {
            runs->bytes.failed = true;
            return 0;
        }
        value |= (uint32_t)(*runs->bytes.at >> runs->bit & 1) << i;
        if (++runs->bit == 8) {
            runs->bit = 0;
            runs->bytes.at++;
        }
    }
    return value;
}

static void next_run(struct packed_runs *runs)
{
    uint64_t header = thrift_varint(&runs->bytes);
    runs->packed = header & 1;
    runs->left = runs->packed ? (header >> 1) * 8 : header >> 1;
    runs->bit = 0;
    runs->value = 0;
    if (!runs->left || header >> 32) runs->bytes.failed = true;
    for (unsigned i = 0; !runs->packed && i < (runs->width + 7) / 8; i++) {
        if (runs->bytes.at == runs->bytes.end) {
            runs->bytes.failed = true;
            return;
        }
        runs->value |= (uint32_t)*runs->bytes.at++ << (8 * i);
    }
}

static uint32_t take_run(struct packed_runs *runs)
{
    if (!runs->left) next_run(runs);
    if (runs->bytes.failed) return 0;
    runs->left--;
    return runs->packed ? take_packed(runs) : runs->value;
}

static unsigned width_of(unsigned most)
{
    unsigned width = 0;
    while (most >> width) width++;
    return width;
}

/* --- values --- */

/* The next PLAIN value at *at. */
static int take_plain(int type, const uint8_t **at, const uint8_t *end, struct parquet_value *out)
{
    bool wide = type == PARQUET_INT64 || type == PARQUET_DOUBLE;
    size_t left = (size_t)(end - *at), size = wide ? 8 : 4;
    uint64_t bits = 0;
    *out = (struct parquet_value){0};
    if (left < size) return -1;
    for (size_t i = 0; i < size; i++) bits |= (uint64_t)(*at)[i] << (8 * i);
    *at += size;
    if (type == PARQUET_DOUBLE) {
        memcpy(&out->real, &bits, sizeof out->real);
        return 0;
    }
    if (type == PARQUET_FLOAT) {
        uint32_t half = (uint32_t)bits;
        float number;
        memcpy(&number, &half, sizeof number);
        out->real = (double)number;
        return 0;
    }
    if (type != PARQUET_BYTES) {
        out->integer = size == 8 ? (int64_t)bits : (int32_t)(uint32_t)bits;
        out->real = (double)out->integer;
        return 0;
    }
    if (bits > left - size) return -1;
    out->bytes = *at;
    out->size = (size_t)bits;
    *at += bits;
    return 0;
}

struct page_reading {
    const struct parquet_file *file;
    const struct parquet_column *column;
    int codec;
    parquet_value_fn *each;
    void *context;
    uint64_t row, left;
    uint8_t *dictionary_bytes; /* owned */
    struct parquet_value *dictionary;
    size_t dictionary_count;
};

static int read_dictionary(struct page_reading *reading, const struct page *page,
                           const uint8_t *bytes, struct error *error)
{
    if (reading->dictionary_bytes ||
        (page->encoding != PLAIN && page->encoding != PLAIN_DICTIONARY))
        return parquet_damaged(reading->file, "its dictionary", error);
    if (unpack(reading->file, reading->codec, bytes, (size_t)page->packed, (uint64_t)page->unpacked,
               &reading->dictionary_bytes, error))
        return -1;
    const uint8_t *at = reading->dictionary_bytes, *end = at + page->unpacked;
    if (page->values < 0 || page->values > page->unpacked / 4)
        return parquet_damaged(reading->file, "its dictionary", error);
    reading->dictionary_count = (size_t)page->values;
    reading->dictionary = calloc((size_t)page->values + 1, sizeof *reading->dictionary);
    if (!reading->dictionary) return error_set_memory(error, "a dictionary");
    for (size_t i = 0; i < reading->dictionary_count; i++)
        if (take_plain(reading->column->type, &at, end, &reading->dictionary[i]))
            return parquet_damaged(reading->file, "its dictionary", error);
    return 0;
}

/* The values of one page, `at` … `end`, whose levels are taken from `levels`. */
static int each_value(struct page_reading *reading, const struct page *page,
                      struct packed_runs *levels, const uint8_t *at, const uint8_t *end,
                      struct error *error)
{
    bool by_index = page->encoding != PLAIN;
    struct packed_runs indices = {0};
    size_t bit = 0; /* truth values are packed, the low bits first */
    if (by_index && at < end) {
        indices = (struct packed_runs){.bytes = {at + 1, end, false}, .width = *at};
        if (indices.width > 32) return parquet_damaged(reading->file, "a page's indices", error);
    }
    for (int64_t i = 0; i < page->values; i++) {
        struct parquet_value value = {.null = true};
        bool there = !reading->column->most_defined ||
                     take_run(levels) == reading->column->most_defined;
        if (there && by_index) {
            uint32_t index = at < end ? take_run(&indices) : UINT32_MAX;
            if (indices.bytes.failed || index >= reading->dictionary_count)
                return parquet_damaged(reading->file, "a page's indices", error);
            value = reading->dictionary[index];
        } else if (there && reading->column->type == PARQUET_BOOL) {
            if (at + bit / 8 >= end)
                return parquet_damaged(reading->file, "a page's values", error);
            value = (struct parquet_value){.integer = at[bit / 8] >> bit % 8 & 1};
            value.real = (double)value.integer;
            bit++;
        } else if (there && take_plain(reading->column->type, &at, end, &value)) {
            return parquet_damaged(reading->file, "a page's values", error);
        }
        if (levels->bytes.failed) return parquet_damaged(reading->file, "a page's levels", error);
        if (reading->each(reading->context, reading->row++, &value, error)) return -1;
    }
    reading->left -= (uint64_t)page->values;
    return 0;
}

static int check_data_page(const struct page_reading *reading, const struct page *page,
                           struct error *error)
{
    if (page->values < 0 || (uint64_t)page->values > reading->left || page->repeated_bytes != 0 ||
        page->defined_bytes < 0 || page->defined_bytes > page->packed ||
        page->defined_bytes > page->unpacked)
        return parquet_damaged(reading->file, "a page's header", error);
    if (page->encoding == PLAIN || page->encoding == PLAIN_DICTIONARY ||
        page->encoding == RLE_DICTIONARY)
        return 0;
    return error_set(
        error, ERROR_INPUT,
        "%s has the column \"%s\" in an encoding the studio does not read (%lld): save "
        "it with pandas as it is by default",
        reading->file->path, reading->column->name, (long long)page->encoding);
}

/* Version 1 has the levels within what is compressed, with their length; version 2 before it. */
static int read_data(struct page_reading *reading, const struct page *page, const uint8_t *bytes,
                     struct error *error)
{
    bool second = page->type == PAGE_DATA_2;
    size_t before = second ? (size_t)page->defined_bytes : 0, after = 0;
    uint8_t *unpacked = NULL;
    if (check_data_page(reading, page, error)) return -1;
    if (unpack(reading->file, page->compressed ? reading->codec : CODEC_NONE, bytes + before,
               (size_t)page->packed - before, (uint64_t)page->unpacked - before, &unpacked, error))
        return -1;
    const uint8_t *at = unpacked, *end = at + ((size_t)page->unpacked - before);
    struct packed_runs levels = {.width = width_of(reading->column->most_defined)};
    int status = -1;
    if (second) {
        levels.bytes = (struct thrift){bytes, bytes + before, false};
    } else if (reading->column->most_defined) {
        if (end - at < 4) goto damaged;
        after = at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
        if (after > (size_t)(end - at) - 4) goto damaged;
        levels.bytes = (struct thrift){at + 4, at + 4 + after, false};
        at += 4 + after;
    }
    status = each_value(reading, page, &levels, at, end, error);
    free(unpacked);
    return status;
damaged:
    free(unpacked);
    return parquet_damaged(reading->file, "a page's levels", error);
}

int parquet_read_chunk(const struct parquet_file *file, const struct parquet_column *column,
                       const struct parquet_chunk *chunk, parquet_value_fn *each, void *context,
                       struct error *error)
{
    struct page_reading reading = {.file = file,
                                   .column = column,
                                   .codec = chunk->codec,
                                   .each = each,
                                   .context = context,
                                   .row = chunk->first_row,
                                   .left = chunk->values};
    struct thrift thrift = {chunk->at, chunk->end, false};
    int status = 0;
    while (reading.left && !status) {
        struct page page;
        read_page_header(&thrift, &page);
        if (thrift.failed || page.packed < 0 || page.unpacked < 0 ||
            page.packed > thrift.end - thrift.at) {
            status = parquet_damaged(file, "a page's header", error);
            break;
        }
        if (page.type == PAGE_DICTIONARY)
            status = read_dictionary(&reading, &page, thrift.at, error);
        else if (page.type == PAGE_DATA || page.type == PAGE_DATA_2)
            status = read_data(&reading, &page, thrift.at, error);
        thrift.at += page.packed;
    }
    free(reading.dictionary);
    free(reading.dictionary_bytes);
    return status;
}
