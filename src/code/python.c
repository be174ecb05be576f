#include "code/python.h"

#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "code/text.h"

uint32_t python_inputs(const struct job *job)
{
    (void)job;
    return 28 * 28;
}

uint32_t python_classes(const struct job *job)
{
    (void)job;
    return 10;
}

static void write_lines(struct code_text *out, const char *idea, const char *lines)
{
    while (*lines) {
        size_t length = strcspn(lines, "\n");
        code_line(out, idea, "%.*s", (int)length, lines);
        lines += length + (lines[length] == '\n');
    }
}

void python_write_header(const struct job *job, const char *manner, const char *imports, const char *initial,
                         struct code_text *out)
{
    char shape[256];
    size_t used = (size_t)snprintf(shape, sizeof shape, "%u", python_inputs(job));
    for (uint32_t i = 0; i < job->hidden_count && used < sizeof shape; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "-%u", job->hidden[i]);
    code_line(out, NULL, "\"\"\"%s-%u on %s in %s. Made by Neural Net Studio.\"\"\"", shape, python_classes(job),
              path_base(job->dataset), manner);
    code_line(out, NULL, "%s", "");
    write_lines(out, NULL, "import argparse\nimport gzip\nfrom pathlib import Path\n");
    code_line(out, NULL, "%s", "");
    write_lines(out, NULL, "import numpy as np");
    write_lines(out, NULL, imports);
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "parser = argparse.ArgumentParser(description=__doc__)");
    code_line(out, NULL, "parser.add_argument(\"--data-dir\", type=Path, default=Path(\"data\"), help=\"holds a folder %s\")",
              path_base(job->dataset));
    code_line(out, "initial", "parser.add_argument(\"--initial\", help=\"start from these weights (%s)\")", initial);
    code_line(out, "order", "parser.add_argument(\"--order\", help=\"take the samples in this order (.npy, a row an epoch)\")");
    code_line(out, NULL, "args, _ = parser.parse_known_args()");
    code_line(out, NULL, "%s", "");
}

void python_write_reader(const struct job *job, struct code_text *out)
{
    code_line(out, NULL, "%s", "");
    code_line(out, "read", "def read(split):");
    code_line(out, "read", "    def idx(name, header):");
    code_line(out, "read", "        path = args.data_dir / \"%s\" / f\"{split}-{name}-ubyte\"", path_base(job->dataset));
    code_line(out, "read", "        data = path.read_bytes() if path.exists() else gzip.decompress(Path(f\"{path}.gz\").read_bytes())");
    code_line(out, "read", "        return np.frombuffer(data, np.uint8, offset=header)");
    code_line(out, NULL, "%s", "");
    if (job->limit) {
        code_line(out, "read", "    images, labels = idx(\"images-idx3\", 16).reshape(-1, %u), idx(\"labels-idx1\", 8)", python_inputs(job));
        code_line(out, "read", "    return images[:%u], labels[:%u]", job->limit, job->limit);
    } else {
        code_line(out, "read", "    return idx(\"images-idx3\", 16).reshape(-1, %u), idx(\"labels-idx1\", 8)", python_inputs(job));
    }
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "%s", "");
}

void python_write_report(const struct job *job, const char *epoch, const char *loss, const char *accuracy,
                         const char *val_loss, const char *val_accuracy, const char *indent, struct code_text *out)
{
    (void)job;
    code_line(out, "report", "%sprint(", indent);
    code_line(out, "report", "%s    f\"epoch {%s}  loss {%s:.6f}  accuracy {%s:.4f}\"", indent, epoch, loss, accuracy);
    code_line(out, "report", "%s    f\"  val_loss {%s:.6f}  val_accuracy {%s:.4f}\",", indent, val_loss, val_accuracy);
    code_line(out, "report", "%s    flush=True,", indent);
    code_line(out, "report", "%s)", indent);
}
