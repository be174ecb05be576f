/* A walk over protocol buffers as they lie in the file, along protobuf-c's own descriptions of the
 * messages. The encoding: https://protobuf.dev/programming-guides/encoding */
#include "modelfile/onnx.h"
#include "modelfile/onnx.pb-c.h"

#define MAX_DEPTH  20      /* a tensor within an attribute of a node is at 5 */
#define MAX_FIELDS 2000000 /* in the whole file */

struct walk {
    size_t fields;
    struct error *error;
};

static int damaged(const struct walk *walk)
{
    error_set(walk->error, ERROR_INPUT, "it is not an ONNX model, or damaged or cut short");
    return -1;
}

static int take_varint(const unsigned char **place, const unsigned char *end, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && *place < end; shift += 7) {
        unsigned char byte = *(*place)++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return 0;
    }
    return -1;
}

/* The length of the value of a field, for the kinds whose length the tag tells. */
static int value_length(const unsigned char **place, const unsigned char *end, unsigned int wire,
                        uint64_t *length)
{
    uint64_t unused;
    *length = wire == 1 ? 8 : wire == 5 ? 4 : 0;
    if (wire == 0) return take_varint(place, end, &unused);
    if (wire == 2) return take_varint(place, end, length);
    return wire == 1 || wire == 5 ? 0 : -1;
}

static int check_message(struct walk *walk, const ProtobufCMessageDescriptor *message,
                         const unsigned char *place, const unsigned char *end, int depth)
{
    if (depth > MAX_DEPTH)
        return error_set(walk->error, ERROR_INPUT,
                         "its messages are nested too deep: the file is damaged");
    while (place < end) {
        uint64_t tag, length;
        if (++walk->fields > MAX_FIELDS)
            return error_set(walk->error, ERROR_INPUT,
                             "it has more than %d fields: the most is that", MAX_FIELDS);
        if (take_varint(&place, end, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3 ||
            value_length(&place, end, tag & 7, &length) || length > (uint64_t)(end - place))
            return damaged(walk);
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
            message, (unsigned int)(tag >> 3));
        if (field && field->type == PROTOBUF_C_TYPE_MESSAGE && (tag & 7) == 2 &&
            check_message(walk, field->descriptor, place, place + length, depth + 1))
            return -1;
        place += length;
    }
    return 0;
}

int onnx_check_wire(const unsigned char *bytes, size_t size, struct error *error)
{
    struct walk walk = {.error = error};
    return check_message(&walk, &onnx__model_proto__descriptor, bytes, bytes + size, 0);
}
