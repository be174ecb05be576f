/* The C voices: what really runs, cut from the engines' sources when the studio was built. */
#include "code/text.h"

#include <string.h>

/* Which idea a line of C stands for, by a word in it: the first that fits wins. */
static const struct {
    const char *word, *idea;
} words[] = {
    {"zero_grad", "zero_grad"},   {"backward", "backward"},         {"gradients", "backward"},      {"optimizer_step", "update"},
    {"apply_", "update"},         {"update", "update"},             {"cross_entropy", "loss_value"}, {"loss", "loss_value"},
    {"forward", "forward_pass"},  {"linear", "layer"},              {"dense", "layer"},             {"matmul", "layer"},
    {"activation", "activation"}, {"relu", "activation"},           {"gather", "batches"},          {"batch", "batches"},
    {"order", "order"},           {"preprocess", "scale"},          {"label", "labels"},            {"correct", "correct"},
    {"argmax", "correct"},        {"while", "epochs"},              {"save", "save"},               {"write", "save"},
};

static const char *idea_of(const char *line)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasestr(line, words[i].word)) return words[i].idea;
    return NULL;
}

static void write_extracts(const char *engine, enum code_stage stage, struct code_text *out)
{
    for (size_t i = 0; i < code_extract_count; i++) {
        const struct code_extract *extract = &code_extracts[i];
        if (extract->stage != stage || strcmp(extract->engine, engine) != 0) continue;
        if (out->count) code_line(out, NULL, "%s", "");
        code_line(out, NULL, "/* %s:%u */", extract->file, extract->first_line);
        for (const char *const *line = extract->lines; *line; line++) code_line(out, idea_of(*line), "%s", *line);
    }
}

static void write_torch(enum code_stage stage, const struct job *job, struct code_text *out)
{
    (void)job;
    write_extracts("torch", stage, out);
}

static void write_tensorflow(enum code_stage stage, const struct job *job, struct code_text *out)
{
    (void)job;
    write_extracts("tensorflow", stage, out);
}

const struct code_voice code_torch_c = {
    .id = "torch.c",
    .engine = "torch",
    .language = "c",
    .title = "PyTorch, the studio's C",
    .file = "torch.c",
    .write_stage = write_torch,
};
const struct code_voice code_tensorflow_c = {
    .id = "tensorflow.c",
    .engine = "tensorflow",
    .language = "c",
    .title = "TensorFlow, the studio's C",
    .file = "tensorflow.c",
    .write_stage = write_tensorflow,
};
