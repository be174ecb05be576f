#include "data/thrift.h"

#define DEPTH_MAX 16

enum { BYTE = 3, I16 = 4, I32 = 5, I64 = 6, DOUBLE = 7, SET = 10, MAP = 11 };

static uint8_t take_byte(struct thrift *thrift)
{
    if (thrift->failed || thrift->at == thrift->end) {
        thrift->failed = true;
        return 0;
    }
    return *thrift->at++;
}

uint64_t thrift_varint(struct thrift *thrift)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = take_byte(thrift);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return thrift->failed ? 0 : value;
    }
    thrift->failed = true;
    return 0;
}

static int64_t zigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static void move(struct thrift *thrift, uint64_t bytes)
{
    if (thrift->failed || bytes > (uint64_t)(thrift->end - thrift->at))
        thrift->failed = true;
    else
        thrift->at += bytes;
}

bool thrift_next(struct thrift *thrift, struct thrift_field *field)
{
    uint8_t byte = take_byte(thrift);
    if (thrift->failed || !byte) return false;
    int64_t id = byte >> 4 ? field->id + (byte >> 4) : zigzag(thrift_varint(thrift));
    if (id < 0 || id > INT16_MAX) thrift->failed = true;
    field->id = (int)id;
    field->type = byte & 15;
    return !thrift->failed;
}

int64_t thrift_integer(struct thrift *thrift, const struct thrift_field *field)
{
    if (field->type < I16 || field->type > I64) thrift->failed = true;
    return zigzag(thrift_varint(thrift));
}

const uint8_t *thrift_binary(struct thrift *thrift, const struct thrift_field *field, size_t *size)
{
    if (field->type != THRIFT_BINARY) thrift->failed = true;
    uint64_t length = thrift_varint(thrift);
    const uint8_t *bytes = thrift->at;
    move(thrift, length);
    *size = thrift->failed ? 0 : (size_t)length;
    return bytes;
}

/* Every element takes a byte at least. */
static size_t list_header(struct thrift *thrift, uint8_t *element)
{
    uint8_t byte = take_byte(thrift);
    uint64_t count = byte >> 4 == 15 ? thrift_varint(thrift) : byte >> 4;
    *element = byte & 15;
    if (count > (uint64_t)(thrift->end - thrift->at)) thrift->failed = true;
    return thrift->failed ? 0 : (size_t)count;
}

size_t thrift_list(struct thrift *thrift, const struct thrift_field *field, uint8_t element)
{
    uint8_t type;
    if (field->type != THRIFT_LIST) thrift->failed = true;
    size_t count = list_header(thrift, &type);
    if (count && type != element) thrift->failed = true;
    return thrift->failed ? 0 : count;
}

static void skip(struct thrift *thrift, uint8_t type, bool in_list, unsigned depth);

static void skip_struct(struct thrift *thrift, unsigned depth)
{
    struct thrift_field field = {0};
    while (thrift_next(thrift, &field)) skip(thrift, field.type, false, depth);
}

static void skip_map(struct thrift *thrift, unsigned depth)
{
    uint64_t count = thrift_varint(thrift);
    uint8_t types = count ? take_byte(thrift) : 0;
    if (count > (uint64_t)(thrift->end - thrift->at)) thrift->failed = true;
    for (uint64_t i = 0; i < count && !thrift->failed; i++) {
        skip(thrift, types >> 4, true, depth);
        skip(thrift, types & 15, true, depth);
    }
}

static void skip(struct thrift *thrift, uint8_t type, bool in_list, unsigned depth)
{
    uint8_t element;
    size_t count;
    if (depth > DEPTH_MAX) thrift->failed = true;
    if (thrift->failed) return;
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        if (in_list) move(thrift, 1);
        return;
    case BYTE:
        move(thrift, 1);
        return;
    case I16:
    case I32:
    case I64:
        thrift_varint(thrift);
        return;
    case DOUBLE:
        move(thrift, 8);
        return;
    case THRIFT_BINARY:
        move(thrift, thrift_varint(thrift));
        return;
    case THRIFT_LIST:
    case SET:
        count = list_header(thrift, &element);
        for (size_t i = 0; i < count && !thrift->failed; i++)
            skip(thrift, element, true, depth + 1);
        return;
    case MAP:
        skip_map(thrift, depth + 1);
        return;
    case THRIFT_STRUCT:
        skip_struct(thrift, depth + 1);
        return;
    default:
        thrift->failed = true;
    }
}

void thrift_skip(struct thrift *thrift, const struct thrift_field *field)
{
    skip(thrift, field->type, false, 0);
}
