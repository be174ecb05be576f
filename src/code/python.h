/* What both Python programs share: for this room only. */
#ifndef NNSTUDIO_CODE_PYTHON_H
#define NNSTUDIO_CODE_PYTHON_H

#include "code/code.h"

uint32_t python_inputs(const struct job *job);
uint32_t python_classes(const struct job *job);

/* Docstring, imports, arguments. `imports`: the framework's lines; `initial`: what kind of file --initial takes. */
void python_write_header(const struct job *job, const char *manner, const char *imports, const char *initial,
                         struct code_text *out);
/* def read(split): pictures [count, inputs] and labels as bytes. */
void python_write_reader(const struct job *job, struct code_text *out);
/* The line an epoch; the arguments are Python expressions. */
void python_write_report(const struct job *job, const char *epoch, const char *loss, const char *accuracy,
                         const char *val_loss, const char *val_accuracy, const char *indent, struct code_text *out);

#endif
