#include "code/python.h"

#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "base/buffer.h"
#include "code/text.h"
#include "net/compact.h"

#define SUMMARY_LIMIT (64u << 10)

static void write_lines(struct code_text *out, const char *idea, const char *lines)
{
    while (*lines) {
        size_t length = strcspn(lines, "\n");
        code_line(out, idea, "%.*s", (int)length, lines);
        lines += length + (lines[length] == '\n');
    }
}

/* "784-128-10" for what only widths say; else the layers in the compact form. */
static void write_docstring(const struct code_subject *subject, const char *manner,
                            struct code_text *out)
{
    const struct network *network = &subject->network;
    const char *set = code_quoted(path_base(subject->job->dataset));
    struct buffer words;
    buffer_init(&words, SUMMARY_LIMIT);
    if (network_is_dense(network)) {
        buffer_printf(&words, "%u", network_inputs(network));
        for (uint32_t i = 0; i < network->layer_count; i++)
            buffer_printf(&words, "-%u", network->layers[i].outputs);
        code_line(out, NULL, "\"\"\"%s on %s in %s", words.data ? words.data : "", set, manner);
    } else {
        network_to_compact(network, &words);
        code_line(out, NULL, "\"\"\"A network on %s in %s", set, manner);
        code_line(out, NULL, "%s", "");
        code_line(out, NULL, "%s", words.data ? words.data : "");
    }
    if (words.failed) out->failed = true;
    buffer_free(&words);
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "Made by Neural Net Studio.");
    code_line(out, NULL, "\"\"\"");
}

/* In a notebook there is no command line: the same three values, to be changed in their place. */
static void write_notebook_arguments(const char *set, const char *ending, bool masks,
                                     struct code_text *out)
{
    code_line(out, NULL, "args = SimpleNamespace(");
    code_line(out, NULL, "    data_dir=Path(\"data\"),  # holds a folder %s", set);
    code_line(out, "initial", "    initial=None,  # or \"initial.%s\": start from these weights",
              ending);
    code_line(out, "order", "    order=None,  # or \"order.npy\": take the samples in this order");
    if (masks)
        code_line(out, "masks", "    masks=None,  # or \"masks.npz\": drop what these masks drop");
    code_line(out, NULL, ")");
}

static void write_arguments(const char *set, const char *ending, bool masks, struct code_text *out)
{
    code_line(out, NULL, "parser = argparse.ArgumentParser(description=__doc__)");
    code_line(
        out, NULL,
        "parser.add_argument(\"--data-dir\", type=Path, default=\"data\", help=\"holds %s/\")",
        set);
    code_line(out, "initial",
              "parser.add_argument(\"--initial\", help=\"start from these weights (.%s)\")",
              ending);
    code_line(out, "order",
              "parser.add_argument(\"--order\", help=\"take the samples in this order (.npy)\")");
    if (masks)
        code_line(out, "masks",
                  "parser.add_argument(\"--masks\", help=\"drop what these masks drop (.npz)\")");
    code_line(out, NULL, "args = parser.parse_args()");
}

void python_write_header(const struct code_subject *subject, const char *manner,
                         const char *imports, const char *ending, struct code_text *out)
{
    const char *set = code_quoted(path_base(subject->job->dataset));
    write_docstring(subject, manner, out);
    code_line(out, NULL, "%s", "");
    if (subject->notebook)
        write_lines(out, NULL,
                    "import gzip\nfrom pathlib import Path\nfrom types import SimpleNamespace\n");
    else
        write_lines(out, NULL, "import argparse\nimport gzip\nfrom pathlib import Path\n");
    code_line(out, NULL, "%s", "");
    write_lines(out, NULL, "import numpy as np");
    write_lines(out, NULL, imports);
    code_line(out, NULL, "%s", "");
    (subject->notebook ? write_notebook_arguments : write_arguments)(
        set, ending, python_has_type(&subject->network, LAYER_DROPOUT), out);
    code_line(out, NULL, "%s", "");
}

void python_write_arrays(const struct code_subject *subject, const char *shape,
                         struct code_text *out)
{
    static const char *const splits[][2] = {{"train", "train"}, {"test", "t10k"}};
    char first[32] = "";
    code_line(out, NULL, "%s", "");
    code_line(out, "read", "def read(name, header):");
    code_line(out, "read",
              "    \"\"\"What follows the header of an IDX file, plain or gzipped.\"\"\"");
    code_line(out, "read", "    path = args.data_dir / \"%s\" / name",
              code_quoted(path_base(subject->job->dataset)));
    code_line(out, "read", "    if path.exists():");
    code_line(out, "read", "        data = path.read_bytes()");
    code_line(out, "read", "    else:");
    code_line(out, "read", "        data = gzip.decompress(Path(f\"{path}.gz\").read_bytes())");
    code_line(out, "read", "    return np.frombuffer(data, np.uint8, offset=header)");
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "%s", "");
    if (subject->job->limit) snprintf(first, sizeof first, "[:%u]", subject->job->limit);
    for (size_t i = 0; i < 2; i++) {
        code_line(out, "split", "x_%s = read(\"%s-images-idx3-ubyte\", 16).reshape(-1, %s)%s",
                  splits[i][0], splits[i][1], shape, first);
        code_line(out, "split", "y_%s = read(\"%s-labels-idx1-ubyte\", 8)%s", splits[i][0],
                  splits[i][1], first);
    }
    code_line(out, NULL, "%s", "");
    char words[128];
    if (python_is_usual_form(subject))
        code_line(out, "scale", "# pixels 0 … 255 become numbers 0 … 1");
    else
        code_line(out, "scale", "# each value is %s", input_form_words(&subject->form, words));
}

bool python_is_usual_form(const struct code_subject *subject)
{
    return subject->form.scale == 255 && subject->form.mean == 0 && subject->form.std == 1;
}

/* In double precision, as the studio does it, and rounded once to the dtype. */
const char *python_scaled(const struct code_subject *subject, const char *name, char out[160])
{
    const struct input_form *form = &subject->form;
    char scaled[80] = "", moved[120];
    if (form->scale != 1)
        snprintf(scaled, sizeof scaled, "%s / %s", name, code_real(form->scale));
    else
        snprintf(scaled, sizeof scaled, "%s", name);
    if (form->mean != 0)
        snprintf(moved, sizeof moved, "%s - %s", scaled, code_real(form->mean));
    else
        snprintf(moved, sizeof moved, "%s", scaled);
    if (form->std != 1)
        snprintf(out, 160, "((%s) / %s)", moved, code_real(form->std));
    else
        snprintf(out, 160, "(%s)", moved);
    return out;
}

void python_write_report(const char *epoch, const char *loss, const char *accuracy,
                         const char *val_loss, const char *val_accuracy, const char *indent,
                         struct code_text *out)
{
    code_line(out, "report", "%sprint(", indent);
    code_line(out, "report", "%s    f\"epoch {%s}  loss {%s:.6f}  accuracy {%s:.4f}\"", indent,
              epoch, loss, accuracy);
    code_line(out, "report", "%s    f\"  val_loss {%s:.6f}  val_accuracy {%s:.4f}\",", indent,
              val_loss, val_accuracy);
    code_line(out, "report", "%s    flush=True,", indent);
    code_line(out, "report", "%s)", indent);
}

bool python_takes_maps(const struct network *network)
{
    return network->layers[0].type != LAYER_DENSE;
}

bool python_has_type(const struct network *network, enum layer_type type)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].type == type) return true;
    return false;
}

/* Words that cannot name an attribute of the module: Python's keywords and what nn.Module has. */
static bool is_reserved(const char *name)
{
    static const char reserved[] =
        " and as assert async await break class continue def del elif else except finally for from "
        "global if import in is lambda nonlocal not or pass raise return try while with yield "
        "False None True activation add_module apply bfloat16 buffers children compile cpu cuda "
        "double dump_patches eval extra_repr float forward get_buffer get_extra_state "
        "get_parameter get_submodule half ipu load_state_dict modules mtia named_buffers "
        "named_children named_modules named_parameters parameters register_backward_hook "
        "register_buffer register_forward_hook register_forward_pre_hook "
        "register_full_backward_hook register_full_backward_pre_hook "
        "register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module "
        "register_parameter register_state_dict_post_hook register_state_dict_pre_hook "
        "requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty train "
        "training type xpu zero_grad ";
    char word[LAYER_NAME_MAX + 2];
    snprintf(word, sizeof word, " %s ", name);
    size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, "_pad") == 0) return true; /* what pads a layer */
    for (int i = 0; i < ACTIVATION_COUNT; i++) {                           /* "elu", "elu_2" */
        const char *activation = activation_name((enum activation)i);
        size_t stem = strlen(activation);
        if (strncmp(activation, name, stem) == 0 && (!name[stem] || name[stem] == '_')) return true;
    }
    return strstr(reserved, word) != NULL;
}

static bool is_identifier(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    return name[0] && strchr(letters, name[0]) && !name[strspn(name, all)];
}

int python_check(const struct code_subject *subject, struct error *error)
{
    const struct network *network = &subject->network;
    struct schedule schedule;
    if (job_schedule(subject->job, &schedule, error)) return -1;
    if (!schedule_is_constant(&schedule))
        return error_set(error, ERROR_USAGE,
                         "the Python programs keep the learning rate as it is: leave out schedule "
                         "and warm-up");
    if (subject->job->validation > 0 || subject->job->early_stop ||
        subject->job->keep != JOB_KEEP_LAST)
        return error_set(error, ERROR_USAGE,
                         "the Python programs train with all samples to the last epoch: leave out "
                         "validation share, early stopping and the best epoch");
    if (subject->job->label_smoothing > 0 || subject->job->class_weight[0])
        return error_set(error, ERROR_USAGE,
                         "the Python programs train with plain cross-entropy: leave out label "
                         "smoothing and class weights");
    double bound;
    if (optimizer_clip(&subject->job->optimizer, &bound) != OPTIMIZER_CLIP_NONE)
        return error_set(error, ERROR_USAGE,
                         "the Python programs take gradients as they are: leave out clip value, "
                         "clip norm and global clip norm");
    if (network_is_penalized(network))
        return error_set(error, ERROR_INPUT,
                         "the Python programs train without l1 and l2 of layers: leave them out");
    if (subject->coded)
        return error_set(error, ERROR_INPUT,
                         "the Python programs read bytes, and %.60s holds numbers that are not "
                         "whole: multiply them to whole numbers from 0 to 255",
                         path_base(subject->job->dataset));
    if (network->channels != 1)
        return error_set(error, ERROR_INPUT,
                         "the Python programs read gray pictures: a network for pictures of %u "
                         "channels has none",
                         network->channels);
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const char *name = network->layers[i].name;
        if (!is_identifier(name) || is_reserved(name))
            return error_set(error, ERROR_INPUT,
                             "layer %u has the name \"%.40s\", which a Python program cannot use: "
                             "use a letter, then letters, digits and _, and no word of Python's or "
                             "of nn.Module's",
                             i + 1, name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(network->layers[j].name, name) == 0)
                return error_set(error, ERROR_INPUT,
                                 "layers %u and %u have the same name \"%.40s\": rename one", j + 1,
                                 i + 1, name);
    }
    return 0;
}

void python_write_stage(const struct code_voice *voice, enum code_stage stage,
                        const struct code_subject *subject, struct code_text *out)
{
    voice->stages[stage](subject, out);
}
