#include "code/python.h"

#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "code/text.h"

static void write_lines(struct code_text *out, const char *idea, const char *lines)
{
    while (*lines) {
        size_t length = strcspn(lines, "\n");
        code_line(out, idea, "%.*s", (int)length, lines);
        lines += length + (lines[length] == '\n');
    }
}

static void write_docstring(const struct code_subject *subject, const char *manner,
                            struct code_text *out)
{
    const struct job *job = subject->job;
    char shape[256];
    size_t used = (size_t)snprintf(shape, sizeof shape, "%u", subject->inputs);
    for (uint32_t i = 0; i < job->hidden_count && used < sizeof shape; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "-%u", job->hidden[i]);
    code_line(out, NULL, "\"\"\"%s-%u on %s in %s", shape, subject->classes,
              code_quoted(path_base(job->dataset)), manner);
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "Made by Neural Net Studio.");
    code_line(out, NULL, "\"\"\"");
}

/* In a notebook there is no command line: the same three values, to be changed in their place. */
static void write_notebook_arguments(const char *set, const char *ending, struct code_text *out)
{
    code_line(out, NULL, "args = SimpleNamespace(");
    code_line(out, NULL, "    data_dir=Path(\"data\"),  # holds a folder %s", set);
    code_line(out, "initial", "    initial=None,  # or \"initial.%s\": start from these weights",
              ending);
    code_line(out, "order", "    order=None,  # or \"order.npy\": take the samples in this order");
    code_line(out, NULL, ")");
}

static void write_arguments(const char *set, const char *ending, struct code_text *out)
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
    (subject->notebook ? write_notebook_arguments : write_arguments)(set, ending, out);
    code_line(out, NULL, "%s", "");
}

void python_write_arrays(const struct code_subject *subject, struct code_text *out)
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
        code_line(out, "split", "x_%s = read(\"%s-images-idx3-ubyte\", 16).reshape(-1, %u)%s",
                  splits[i][0], splits[i][1], subject->inputs, first);
        code_line(out, "split", "y_%s = read(\"%s-labels-idx1-ubyte\", 8)%s", splits[i][0],
                  splits[i][1], first);
    }
    code_line(out, NULL, "%s", "");
    code_line(out, "scale", "# pixels 0 … 255 become numbers 0 … 1");
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
