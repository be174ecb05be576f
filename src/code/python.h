/* What both Python programs share: for this room only. */
#ifndef NNSTUDIO_CODE_PYTHON_H
#define NNSTUDIO_CODE_PYTHON_H

#include "code/code.h"

/* Docstring, imports, arguments. `imports`: the framework's lines; `ending`: of the file that
 * --initial takes. */
void python_write_header(const struct code_subject *subject, const char *manner,
                         const char *imports, const char *ending, struct code_text *out);
/* Writes one of the voice's `stages`. */
void python_write_stage(const struct code_voice *voice, enum code_stage stage,
                        const struct code_subject *subject, struct code_text *out);
/* The function that reads a file, and the four arrays of bytes: x_train [count, `shape`], y_train
 * [count] and so on, x_val and y_val where samples are taken for validation. `shape` is one
 * sample's, as Python writes it: "784" or "28, 28, 1". */
void python_write_arrays(const struct code_subject *subject, const char *shape,
                         struct code_text *out);
/* The line per epoch; the arguments are Python expressions. */
void python_write_report(const char *epoch, const char *loss, const char *accuracy,
                         const char *val_loss, const char *val_accuracy, const char *indent,
                         struct code_text *out);

/* The line at the end of a program that watches validation samples while it trains. */
void python_write_test(const char *loss, const char *accuracy, struct code_text *out);

/* What neither program can say: color pictures, names that Python does not take. -1 with a message.
 */
int python_check(const struct code_subject *subject, struct error *error);
/* True when pixels are only divided by 255. */
bool python_is_usual_form(const struct code_subject *subject);
/* "((x_train / 16.0 - 0.5) / 0.25)" or "(x_train / 16.0)": the array's values as the network is
 * given them, in double precision. Returns `out`. */
const char *python_scaled(const struct code_subject *subject, const char *name, char out[160]);
/* The program's samples are pictures: the first layer is not a dense one, which takes values. */
bool python_takes_maps(const struct network *network);
bool python_has_type(const struct network *network, enum layer_type type);

#endif
