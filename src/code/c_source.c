/* The C voices: what really runs, cut from the engines' sources when the studio was built. */
#include "code/text.h"

#include <string.h>

/* The layers of the type that an extract computes, a bit each. */
static uint64_t layers_of(const struct network *network, const char *type)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (strcmp(layer_kind(network->layers[i].type)->name, type) == 0) bits |= 1ull << i;
    return bits;
}

/* Of the functions per type only those that the network uses. */
static void write_stage(const struct code_voice *voice, enum code_stage stage,
                        const struct code_subject *subject, struct code_text *out)
{
    for (size_t i = 0; i < code_extract_count; i++) {
        const struct code_extract *extract = &code_extracts[i];
        if (extract->stage != stage || strcmp(extract->engine, voice->engine->id) != 0) continue;
        uint64_t layers = layers_of(&subject->network, extract->layer);
        if (extract->layer[0] && !layers) continue;
        if (out->count) code_line(out, NULL, "%s", "");
        out->layers = layers;
        code_line(out, NULL, "/* %s:%u */", extract->file, extract->first_line);
        for (size_t l = 0; l < extract->count; l++)
            code_line(out, extract->lines[l].idea, "%s", extract->lines[l].text);
        out->layers = 0;
    }
}

const struct code_voice code_torch_c = {
    .id = "torch.c",
    .engine = &engine_torch,
    .language = "c",
    .kind = CODE_KIND_C,
    .title = "PyTorch, the studio's C",
    .file = "torch.c",
    .write_stage = write_stage,
};
const struct code_voice code_tensorflow_c = {
    .id = "tensorflow.c",
    .engine = &engine_tensorflow,
    .language = "c",
    .kind = CODE_KIND_C,
    .title = "TensorFlow, the studio's C",
    .file = "tensorflow.c",
    .write_stage = write_stage,
};
