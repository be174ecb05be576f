/* What both Python programs share: for this room only. */
#ifndef NNSTUDIO_CODE_PYTHON_H
#define NNSTUDIO_CODE_PYTHON_H

#include "code/code.h"

/* Docstring, imports, arguments. `imports`: the framework's lines; `ending`: of the file that
 * --initial takes. */
void python_write_header(const struct code_subject *subject, const char *manner,
                         const char *imports, const char *ending, struct code_text *out);
/* The function that reads a file, and the four arrays of bytes: x_train [count, inputs], y_train
 * [count] and so on. */
void python_write_arrays(const struct code_subject *subject, struct code_text *out);
/* The line an epoch; the arguments are Python expressions. */
void python_write_report(const char *epoch, const char *loss, const char *accuracy,
                         const char *val_loss, const char *val_accuracy, const char *indent,
                         struct code_text *out);

#endif
