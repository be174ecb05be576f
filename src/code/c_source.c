/* The C voices: what really runs, cut from the engines' sources when the studio was built. */
#include "code/text.h"

#include <string.h>

/* Which idea a line of C stands for, by what is called in it; the first row that fits wins. */
static const struct {
    enum code_stage stage;
    const char *word, *idea;
} rules[] = {
    {CODE_DATA, "labels", "labels"},
    {CODE_DATA, "gather", "batches"},
    {CODE_DATA, "ResourceGather", "batches"},
    {CODE_DATA, "255", "scale"},
    {CODE_DATA, "scale", "scale"},
    {CODE_DATA, "pixels", "scale"},
    {CODE_NETWORK, "torch_create_parameters", "network"},
    {CODE_NETWORK, "torch_parameter(", "layer"},
    {CODE_NETWORK, "torch_linear", "layer"},
    {CODE_NETWORK, "graph_read", "layer"},
    {CODE_NETWORK, "MatMul", "layer"},
    {CODE_NETWORK, "activat", "activation"},
    {CODE_NETWORK, "ACTIVATION", "activation"},
    {CODE_NETWORK, "torch_forward", "forward"},
    {CODE_NETWORK, "apply_network", "forward"},
    {CODE_NETWORK, "return x", "forward"},
    {CODE_OPTIMIZER, "cross_entropy", "loss"},
    {CODE_OPTIMIZER, "criterion", "loss"},
    {CODE_OPTIMIZER, "CrossEntropy", "loss"},
    {CODE_OPTIMIZER, "step->loss", "loss"},
    {CODE_OPTIMIZER, "zero_grad", "zero_grad"},
    {CODE_OPTIMIZER, "clear_grad", "zero_grad"},
    {CODE_OPTIMIZER, "correct", "correct"},
    {CODE_OPTIMIZER, "ArgMax", "correct"},
    {CODE_OPTIMIZER, "Equal", "correct"},
    {CODE_OPTIMIZER, "graph_gradients", "backward"},
    {CODE_OPTIMIZER, "TF_Output gradient = ", "backward"},
    {CODE_OPTIMIZER, "torch_sgd", "optimizer"},
    {CODE_OPTIMIZER, "torch_adam", "optimizer"},
    {CODE_OPTIMIZER, "ResourceApply", "optimizer"},
    {CODE_OPTIMIZER, "weight_decay", "optimizer"},
    {CODE_OPTIMIZER, "optimizer_step", "optimizer"},
    {CODE_STEP, "zero_grad", "zero_grad"},
    {CODE_STEP, "torch_forward", "forward_pass"},
    {CODE_STEP, "apply_network", "forward_pass"},
    {CODE_STEP, "criterion", "loss_value"},
    {CODE_STEP, "measure", "backward"},
    {CODE_STEP, "torch_backward", "backward"},
    {CODE_STEP, "optimizer_step", "update"},
    {CODE_STEP, "update(", "update"},
    {CODE_STEP, "gather_batch", "batches"},
    {CODE_STEP, "step(", "step"},
    {CODE_LOOP, "StridedSlice", "batches"},
    {CODE_LOOP, "for (size_t begin", "batches"},
    {CODE_LOOP, "load_batch", "batches"},
    {CODE_LOOP, "size_t size = ", "batches"},
    {CODE_LOOP, "graph_while", "batches"},
    {CODE_LOOP, "\"Less\"", "batches"},
    {CODE_LOOP, "training_step", "step"},
    {CODE_LOOP, "= step(", "step"},
    {CODE_LOOP, "count_correct", "correct"},
    {CODE_LOOP, "losses", "report"},
    {CODE_LOOP, "correct", "report"},
};

static const char *idea_of(enum code_stage stage, const char *line)
{
    const char *first = line + strspn(line, " ");
    /* braces and comments */
    if (!*first || strchr("{}/", *first) || strncmp(first, "* ", 2) == 0) return NULL;
    if (stage == CODE_SAVE) return "save";
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].stage == stage && strstr(line, rules[i].word)) return rules[i].idea;
    return NULL;
}

static void write_extracts(const char *engine, enum code_stage stage, struct code_text *out)
{
    for (size_t i = 0; i < code_extract_count; i++) {
        const struct code_extract *extract = &code_extracts[i];
        if (extract->stage != stage || strcmp(extract->engine, engine) != 0) continue;
        if (out->count) code_line(out, NULL, "%s", "");
        code_line(out, NULL, "/* %s:%u */", extract->file, extract->first_line);
        for (const char *const *line = extract->lines; *line; line++)
            code_line(out, idea_of(stage, *line), "%s", *line);
    }
}

static void write_torch(enum code_stage stage, const struct code_subject *subject,
                        struct code_text *out)
{
    (void)subject;
    write_extracts("torch", stage, out);
}

static void write_tensorflow(enum code_stage stage, const struct code_subject *subject,
                             struct code_text *out)
{
    (void)subject;
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
