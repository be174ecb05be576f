#include "code/python.h"

#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "base/buffer.h"
#include "code/losses.h"
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

/* The samples that the studio's generator drew for validation, which NumPy's cannot. */
static bool takes_validation(const struct job *job)
{
    return job->validation > 0 && job->validation_part == DATASET_PART_STRATIFIED;
}

/* In a notebook there is no command line: the same values, to be changed in their place. */
static void write_notebook_arguments(const struct code_subject *subject, const char *set,
                                     const char *ending, struct code_text *out)
{
    code_line(out, NULL, "args = SimpleNamespace(");
    code_line(out, NULL, "    data_dir=Path(\"data\"),  # holds a folder %s", set);
    code_line(out, "initial", "    initial=None,  # or \"initial.%s\": start from these weights",
              ending);
    code_line(out, "order", "    order=None,  # or \"order.npy\": take the samples in this order");
    if (takes_validation(subject->job))
        code_line(out, "validation",
                  "    validation=None,  # or \"validation.npy\": validate with these samples");
    if (python_has_type(&subject->network, LAYER_DROPOUT))
        code_line(out, "masks", "    masks=None,  # or \"masks.npz\": drop what these masks drop");
    code_line(out, NULL, ")");
}

static void write_arguments(const struct code_subject *subject, const char *set, const char *ending,
                            struct code_text *out)
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
    if (takes_validation(subject->job))
        code_line(out, "validation",
                  "parser.add_argument(\"--validation\", help=\"validate with these samples "
                  "(.npy)\")");
    if (python_has_type(&subject->network, LAYER_DROPOUT))
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
    (subject->notebook ? write_notebook_arguments : write_arguments)(subject, set, ending, out);
    code_line(out, NULL, "%s", "");
}

/* The last samples, as validation_split of Keras's fit() takes them. */
static void write_last_part(const struct job *job, struct code_text *out)
{
    code_line(out, "validation", "# the last ones are for validation, as in Keras");
    code_line(out, "validation", "first = int(len(x_train) * (1 - %s))",
              code_real(job->validation));
    code_line(out, "validation", "x_train, x_val = x_train[:first], x_train[first:]");
    code_line(out, "validation", "y_train, y_val = y_train[:first], y_train[first:]");
}

/* The same share of every class. */
static void write_stratified_part(const struct job *job, struct code_text *out)
{
    code_line(out, "validation", "held = np.zeros(len(y_train), bool)  # for validation");
    code_line(out, "validation", "if args.validation:");
    code_line(out, "validation", "    held[np.load(args.validation)] = True");
    code_line(out, "validation", "else:  # the same share of every class");
    code_line(out, "validation", "    rng = np.random.default_rng(%llu)",
              (unsigned long long)job->seed);
    code_line(out, "validation", "    for label in np.unique(y_train):");
    code_line(out, "validation",
              "        places = rng.permutation(np.flatnonzero(y_train == label))");
    code_line(out, "validation",
              "        count = min(int(len(places) * %s + 0.5), len(places) - 1)",
              code_real(job->validation));
    code_line(out, "validation", "        held[places[:count]] = True");
    code_line(out, "validation", "x_train, x_val = x_train[~held], x_train[held]");
    code_line(out, "validation", "y_train, y_val = y_train[~held], y_train[held]");
}

static void write_validation(const struct job *job, struct code_text *out)
{
    if (job->validation == 0) return;
    (takes_validation(job) ? write_stratified_part : write_last_part)(job, out);
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
    write_validation(subject->job, out);
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

void python_write_test(const char *loss, const char *accuracy, struct code_text *out)
{
    code_line(out, "report", "print(f\"test_loss {%s:.6f}  test_accuracy {%s:.4f}\")", loss,
              accuracy);
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
    if (losses_check(subject, error)) return -1;
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
