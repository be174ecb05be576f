#include "code/code.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "code/optimizers.h"
#include "code/text.h"
#include "data/dataset.h"

#define VOICE_IDS_SIZE 256

const struct code_voice *const code_voices[] = {
    &code_torch_python,
    &code_tensorflow_python,
    &code_torch_c,
    &code_tensorflow_c,
};
const size_t code_voice_count = sizeof code_voices / sizeof code_voices[0];

static const struct {
    const char *id, *title;
    const char *note;   /* what differs and why, for the reader of both */
    const char *c_note; /* what the C adds to that */
} stages[CODE_STAGE_COUNT] = {
    [CODE_DATA] =
        {"data", "Data",
         "Both read the same bytes and bring them to the same scale. PyTorch computes with tensors "
         "of its "
         "own, made here once; "
         "Keras takes the NumPy arrays as they are and makes tensors itself, batch by batch.",
         "In C the pictures stay bytes in memory; a batch is gathered and scaled when its step "
         "comes."},
    [CODE_NETWORK] = {"network", "Network",
                      "PyTorch: a class whose forward() is ordinary Python, run anew for every "
                      "batch (define-by-run). Keras: a "
                      "list of layers, a description that is turned into a graph once and then run "
                      "(define-then-run).",
                      "In C PyTorch's layers are calls of ATen's operators, which autograd notes "
                      "down; TensorFlow's are nodes added to a graph."},
    [CODE_OPTIMIZER] = {"optimizer", "Loss and optimizer",
                        "PyTorch keeps loss and optimizer as objects that your own loop calls. "
                        "Keras is told about them in "
                        "compile() and calls them itself. Both losses take logits, which is exact "
                        "where softmax first is not.",
                        "In C PyTorch updates all parameters in one fused kernel; TensorFlow's "
                        "gradients are nodes that its own differentiation adds to the graph."},
    [CODE_STEP] = {"step", "One training step",
                   "Imperative: five calls in an order that you choose and may stop at with a "
                   "debugger. Declarative: the step is "
                   "inside fit(), fused into one graph; callbacks are the places where your code "
                   "is asked in.",
                   "In C the contrast is plain: PyTorch's step computes; TensorFlow's only adds "
                   "nodes, and nothing is computed while it runs."},
    [CODE_LOOP] = {"loop", "The loop",
                   "Two loops written out, epochs and batches, against one call. What Keras saves "
                   "in lines it takes in view: its "
                   "accuracy and loss are running means over the epoch, which the PyTorch loop "
                   "here computes by hand.",
                   "In C PyTorch's loop runs over the batches; TensorFlow's is itself a node of "
                   "the graph, and one call runs all of its steps."},
    [CODE_SAVE] = {"save", "Saving",
                   "A state dict holds names and tensors only: whoever loads it must build the "
                   "same class first. The .h5 holds the "
                   "layers too, so load_model() needs nothing else.",
                   "The studio writes both formats itself, without Python: a zip with a pickle "
                   "program in it, and an HDF5 file."},
};

/* What a joined line is about, and why a voice of a kind may have no such line. */
static const struct {
    const char *id, *title;
    const char *not_in[CODE_KIND_COUNT];
} ideas[] = {
    {"read",
     "reading the files",
     {[CODE_KIND_C] = "The studio's data room reads the files once, for all engines."}},
    {"split",
     "training and test set",
     {[CODE_KIND_C] = "The studio's data room splits the data once, for all engines."}},
    {"validation",
     "validation samples",
     {[CODE_KIND_C] = "The studio's data room takes them once, for all engines."}},
    {"scale", "pixels to 0 … 1", {NULL}},
    {"labels",
     "labels as integers",
     {[CODE_KIND_KERAS] =
          "Keras's sparse loss takes integers of any size; PyTorch asks for int64."}},
    {"seed",
     "the random seed",
     {[CODE_KIND_C] = "The studio draws the initial weights itself, so that all engines start from "
                      "the same numbers."}},
    {"network",
     "the network as a whole",
     {[CODE_KIND_C] = "The description of the layers comes from the run's settings."}},
    {"layer", "a layer", {NULL}},
    {"activation", "the activation", {NULL}},
    {"forward",
     "how values flow",
     {[CODE_KIND_KERAS] =
          "A Sequential flows from layer to layer by itself: there is nothing to write."}},
    {"init",
     "initial values",
     {[CODE_KIND_TORCH] = "PyTorch draws its weights so by itself.",
      [CODE_KIND_KERAS] = "Keras draws its weights so by itself.",
      [CODE_KIND_C] = "The studio draws the initial weights itself, so that all engines start from "
                      "the same numbers."}},
    {"initial",
     "starting from given weights",
     {[CODE_KIND_C] = "The engine is always given its initial weights."}},
    {"masks",
     "dropout by given masks",
     {[CODE_KIND_C] = "The studio's engines draw its masks themselves, the same in each."}},
    {"loss", "the loss function", {NULL}},
    {"weights",
     "class weights",
     {[CODE_KIND_C] = "The studio counts the classes once and gives each engine the weights."}},
    {"schedule",
     "the learning rate's schedule",
     {[CODE_KIND_C] = "The studio's fit loop says each step's learning rate, the same for all "
                      "engines."}},
    {"clip",
     "bounding the gradients",
     {[CODE_KIND_KERAS] = "Keras's optimizer has the bound as a number.",
      [CODE_KIND_C] = "It is part of the optimizer's update."}},
    {"optimizer", "the optimizer", {NULL}},
    {"decay",
     "weight decay",
     {[CODE_KIND_TORCH] = "PyTorch's optimizer has it as a number.",
      [CODE_KIND_KERAS] = "Keras's optimizer has it as a number.",
      [CODE_KIND_C] = "It is part of the optimizer's update."}},
    {"penalty",
     "the layers' l1 and l2",
     {[CODE_KIND_KERAS] =
          "The layers have them as their regularizers, which fit() adds to the loss.",
      [CODE_KIND_C] = "One function adds them to the loss and to the gradients."}},
    {"compile",
     "compile()",
     {[CODE_KIND_TORCH] = "PyTorch has no such moment: its objects are ready when they are made.",
      [CODE_KIND_C] = "The engine builds what it needs when it is opened."}},
    {"step", "the step as a function", {[CODE_KIND_KERAS] = "It is inside fit()."}},
    {"zero_grad",
     "clearing the gradients",
     {[CODE_KIND_KERAS] =
          "Keras computes fresh gradients each step; PyTorch adds to the old ones until told.",
      [CODE_KIND_C] = "The graph computes fresh gradients each step; PyTorch adds to the old ones "
                      "until told."}},
    {"forward_pass", "the forward pass", {[CODE_KIND_KERAS] = "It is inside fit()."}},
    {"loss_value",
     "the loss of the batch",
     {[CODE_KIND_KERAS] = "It is inside fit().",
      [CODE_KIND_C] = "One function adds the loss and the gradients to the graph."}},
    {"backward",
     "the backward pass",
     {[CODE_KIND_KERAS] = "It is inside fit(), differentiated when the graph was built."}},
    {"update", "the update of the weights", {[CODE_KIND_KERAS] = "It is inside fit()."}},
    {"correct", "counting correct answers", {NULL}},
    {"callback",
     "the callback",
     {[CODE_KIND_TORCH] = "In a loop of your own you simply write the line where it belongs.",
      [CODE_KIND_C] = "The engine hands each step's loss back; the studio's fit loop reports."}},
    {"mode",
     "training or evaluation mode",
     {[CODE_KIND_KERAS] = "fit() switches by itself between training and evaluation.",
      [CODE_KIND_C] = "Training and evaluation are separate calls of the engine."}},
    {"epochs",
     "epochs",
     {[CODE_KIND_C] = "The studio's fit loop counts the epochs, the same for all engines."}},
    {"batches", "batches", {NULL}},
    {"order",
     "the order of the samples",
     {[CODE_KIND_C] = "The studio's fit loop makes the order, the same for all engines."}},
    {"evaluate",
     "the test set after each epoch",
     {[CODE_KIND_C] = "The studio's fit loop evaluates, the same for all engines."}},
    {"stop",
     "early stopping",
     {[CODE_KIND_C] = "The studio's fit loop counts the epochs without a better one, the same for "
                      "all engines."}},
    {"best",
     "keeping the best epoch",
     {[CODE_KIND_KERAS] = "The callback that stops gives the best epoch's weights back.",
      [CODE_KIND_C] = "The studio writes the best epoch's weights itself."}},
    {"report", "one line per epoch", {NULL}},
    {"save", "saving", {NULL}},
};

int code_voice_need(const char *engine, const char *language, const struct code_voice **out,
                    struct error *error)
{
    for (size_t i = 0; i < code_voice_count; i++) {
        if (strcmp(code_voices[i]->engine->id, engine) == 0 &&
            strcmp(code_voices[i]->language, language) == 0) {
            *out = code_voices[i];
            return 0;
        }
    }
    char known[VOICE_IDS_SIZE] = "";
    for (size_t i = 0; i < code_voice_count; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s in %s", used ? ", " : "",
                 code_voices[i]->engine->id, code_voices[i]->language);
    }
    return error_set(error, ERROR_USAGE, "there is no code of \"%.40s\" in \"%.40s\": there is %s",
                     engine, language, known);
}

const char *code_stage_id(enum code_stage stage)
{
    return stages[stage].id;
}

const char *code_stage_title(enum code_stage stage)
{
    return stages[stage].title;
}

const char *code_requirements(void)
{
    return "# The PyTorch program needs numpy and torch, the TensorFlow program numpy and "
           "tensorflow.\n"
           "# On Linux a CPU build of PyTorch comes from the index that pytorch.org names.\n"
           "numpy\ntorch>=2.10\ntensorflow>=2.18\n";
}

static int too_large(struct error *error)
{
    return error_set_memory(error, "the code");
}

int code_subject_of(const struct job *job, struct code_subject *out, struct error *error)
{
    const struct dataset_entry *known = dataset_find(job->dataset);
    uint32_t rows, columns, channels, classes;
    *out = (struct code_subject){
        .job = job,
        .form = {true, 255, job->scale > 0 ? job->scale : 255, job->mean, job->std, 0, false}};
    if (known) {
        rows = known->rows;
        columns = known->columns;
        channels = known->channels;
        classes = DATASET_KNOWN_CLASSES;
    } else {
        struct dataset *dataset;
        struct dataset_options options;
        job_dataset_options(job, &options);
        options.limit = 1;
        if (dataset_open(job->dataset, &options, &dataset, error)) return -1;
        out->form = dataset->form;
        out->coded = dataset->coded;
        rows = dataset->rows;
        columns = dataset->columns;
        channels = dataset->channels;
        classes = dataset->classes;
        dataset_close(dataset);
    }
    if (channels > 1)
        return error_set(error, ERROR_INPUT,
                         "the programs read gray pictures, and %.60s is in color: choose a gray "
                         "data set",
                         job->dataset);
    return job_network(job, rows, columns, channels, classes, &out->network, error);
}

int code_stage_text(const struct code_voice *voice, enum code_stage stage,
                    const struct code_subject *subject, struct code_text *out, struct error *error)
{
    *out = (struct code_text){0};
    if (voice->check && voice->check(subject, error)) return -1;
    voice->write_stage(voice, stage, subject, out);
    if (!out->failed) return 0;
    code_text_free(out);
    return too_large(error);
}

/* Python's custom: two empty lines before a definition on the outermost level, one between parts.
 */
static void append_stage(const struct code_text *text, struct buffer *out)
{
    for (size_t i = 0; i < text->count; i++) buffer_printf(out, "%s\n", text->lines[i].text);
}

static bool defines(const struct code_text *text)
{
    for (size_t i = 0; i < text->count; i++) {
        if (text->lines[i].text[0] == '#') continue;
        return strncmp(text->lines[i].text, "def ", 4) == 0 ||
               strncmp(text->lines[i].text, "class ", 6) == 0;
    }
    return false;
}

int code_program(const struct code_voice *voice, const struct code_subject *subject,
                 struct buffer *out, struct error *error)
{
    bool python = strcmp(voice->language, "python") == 0;
    bool defined = false; /* the stage before was a definition */
    for (int stage = 0; stage < CODE_STAGE_COUNT; stage++) {
        struct code_text text;
        if (code_stage_text(voice, (enum code_stage)stage, subject, &text, error)) return -1;
        bool definition = defines(&text);
        if (stage && text.count)
            buffer_append_text(out, python && (definition || defined) ? "\n\n" : "\n");
        append_stage(&text, out);
        defined = definition;
        code_text_free(&text);
    }
    return buffer_check(out, "the program", error);
}

/* A framework's own synchronized batch normalization wants a GPU, or differs in float64; its masks
 * are drawn by every process for itself. */
static int check_parallel(const struct network *network, struct error *error)
{
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        if (layer->type == LAYER_BATCHNORM || (layer->type == LAYER_DROPOUT && layer->rate > 0))
            return error_set(error, ERROR_INPUT,
                             "layer %u: %s depends on the whole batch, of which a Python program "
                             "for several processes sees a part: leave it out, or train on ranks "
                             "with mpirun, `nnstudio job slurm` or kubeflow",
                             i + 1, layer_kind(layer->type)->name);
    }
    return 0;
}

/* What the program of one process has and that of several has not. */
static int check_alone(const struct job *job, struct error *error)
{
    struct schedule schedule;
    double bound;
    if (job_schedule(job, &schedule, error)) return -1;
    const char *what = !schedule_is_constant(&schedule) ? "schedule and warm-up"
                       : job->validation > 0            ? "the validation share"
                       : job->early_stop || job->keep != JOB_KEEP_LAST
                           ? "early stopping and the best epoch"
                       : job->label_smoothing > 0 || job->class_weight[0]
                           ? "label smoothing and class weights"
                       : optimizer_clip(&job->optimizer, &bound) != OPTIMIZER_CLIP_NONE ? "clipping"
                                                                                        : NULL;
    if (!what) return 0;
    return error_set(error, ERROR_INPUT,
                     "a Python program for several processes trains without %s: leave out %s, or "
                     "train on ranks with mpirun, `nnstudio job slurm` or kubeflow",
                     what, what);
}

int code_parallel(const struct code_voice *voice, const struct code_subject *subject,
                  struct buffer *out, struct error *error)
{
    struct code_subject own = *subject;
    own.several = true;
    if (check_parallel(&subject->network, error) || check_alone(subject->job, error)) return -1;
    if (voice->kind == CODE_KIND_KERAS && keras_has_class(subject))
        return error_set(error, ERROR_INPUT,
                         "TensorFlow's workers have no %s as PyTorch means it: use --meaning keras",
                         optimizer_type_title(subject->job->optimizer.type));
    return code_program(voice, &own, out, error);
}

/* A notebook cell's source is a list of lines that keep their newlines. */
static json_t *cell_source(const struct code_text *text)
{
    json_t *source = json_array();
    size_t last = text->count;
    while (last && !text->lines[last - 1].text[0]) last--;
    for (size_t i = 0; i < last; i++)
        json_array_append_new(source,
                              json_sprintf(i + 1 < last ? "%s\n" : "%s", text->lines[i].text));
    return source;
}

int code_notebook(const struct code_voice *voice, const struct code_subject *subject,
                  struct buffer *out, struct error *error)
{
    struct code_subject own = *subject;
    own.notebook = true;
    json_t *cells = json_array();
    int status = -1;
    for (int stage = 0; stage < CODE_STAGE_COUNT; stage++) {
        struct code_text text;
        if (code_stage_text(voice, (enum code_stage)stage, &own, &text, error)) goto out;
        json_array_append_new(cells,
                              json_pack("{s:s, s:s+, s:{}, s:[s+s, s]}", "cell_type", "markdown",
                                        "id", stages[stage].id, "-text", "metadata", "source",
                                        "## ", stages[stage].title, "\n", stages[stage].note));
        json_array_append_new(cells,
                              json_pack("{s:s, s:s, s:{}, s:n, s:[], s:o}", "cell_type", "code",
                                        "id", stages[stage].id, "metadata", "execution_count",
                                        "outputs", "source", cell_source(&text)));
        code_text_free(&text);
    }
    json_t *notebook = json_pack("{s:O, s:{s:{s:s, s:s, s:s}, s:{s:s}}, s:i, s:i}", "cells", cells,
                                 "metadata", "kernelspec", "display_name", "Python 3", "language",
                                 "python", "name", "python3", "language_info", "name", "python",
                                 "nbformat", 4, "nbformat_minor", 5);
    char *text = js_dump_as(notebook, JSON_INDENT(1));
    json_decref(notebook);
    if (!text) {
        too_large(error);
        goto out;
    }
    buffer_append_text(out, text);
    buffer_append_char(out, '\n');
    free(text);
    status = buffer_check(out, "the notebook", error);
out:
    json_decref(cells);
    return status;
}

static json_t *places_to_json(uint64_t bits)
{
    json_t *places = json_array();
    for (int i = 0; i < NETWORK_MAX_LAYERS; i++)
        if (bits >> i & 1) json_array_append_new(places, json_integer(i));
    return places;
}

static json_t *lines_to_json(const struct code_text *text)
{
    json_t *lines = json_array();
    for (size_t i = 0; i < text->count; i++)
        json_array_append_new(lines, json_pack("{s:s, s:s?, s:o}", "text", text->lines[i].text,
                                               "idea", text->lines[i].idea, "layers",
                                               places_to_json(text->lines[i].layers)));
    return lines;
}

static bool speaks_of(const json_t *stage_list, const char *side, const char *idea)
{
    size_t i, j;
    json_t *stage, *line;
    json_array_foreach(stage_list, i, stage) {
        json_array_foreach(json_object_get(stage, side), j, line) {
            const char *found = json_string_value(json_object_get(line, "idea"));
            if (found && strcmp(found, idea) == 0) return true;
        }
    }
    return false;
}

static json_t *ideas_to_json(const json_t *stage_list, const struct code_voice *left_voice,
                             const struct code_voice *right_voice)
{
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof ideas / sizeof ideas[0]; i++) {
        bool left = speaks_of(stage_list, "left", ideas[i].id),
             right = speaks_of(stage_list, "right", ideas[i].id);
        if (!left && !right) continue;
        const char *only = left && right ? NULL : left ? "left" : "right";
        json_object_set_new(
            object, ideas[i].id,
            json_pack("{s:s, s:s?, s:s?}", "title", ideas[i].title, "only", only, "why",
                      only ? ideas[i].not_in[(left ? right_voice : left_voice)->kind] : NULL));
    }
    return object;
}

json_t *code_voice_json(const struct code_voice *voice)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", voice->id, "engine", voice->engine->id,
                     "language", voice->language, "title", voice->title, "file", voice->file);
}

int code_compare(const struct code_voice *left, const struct code_voice *right,
                 const struct code_subject *subject, json_t **out, struct error *error)
{
    bool c = strcmp(left->language, "c") == 0 || strcmp(right->language, "c") == 0;
    json_t *list = json_array();
    for (int stage = 0; stage < CODE_STAGE_COUNT; stage++) {
        struct code_text a = {0}, b = {0};
        if (code_stage_text(left, (enum code_stage)stage, subject, &a, error) ||
            code_stage_text(right, (enum code_stage)stage, subject, &b, error)) {
            code_text_free(&a);
            json_decref(list);
            return -1;
        }
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s++, s:o, s:o}", "id", stages[stage].id,
                                        "title", stages[stage].title, "note", stages[stage].note,
                                        c ? " " : "", c ? stages[stage].c_note : "", "left",
                                        lines_to_json(&a), "right", lines_to_json(&b)));
        code_text_free(&a);
        code_text_free(&b);
    }
    *out = json_pack("{s:o, s:o, s:o, s:o}", "left", code_voice_json(left), "right",
                     code_voice_json(right), "ideas", ideas_to_json(list, left, right), "stages",
                     list);
    return *out ? 0 : too_large(error);
}
