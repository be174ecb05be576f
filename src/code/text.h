/* Writing lines of code: for this room only. */
#ifndef NNSTUDIO_CODE_TEXT_H
#define NNSTUDIO_CODE_TEXT_H

#include "code/code.h"

/* Appends one line of the given idea (NULL: none). A failure is kept in text->failed. */
void code_line(struct code_text *text, const char *idea, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Lines from number `first` on move to the right, as a block of Python. */
void code_indent(struct code_text *text, size_t first);
/* So many empty lines at the end, and none at the beginning. */
void code_blank(struct code_text *text, size_t lines);
/* A number as Python writes it: 0.01, 1e-05, 1.0; into a static thread-local buffer of a few slots,
 * for use in code_line. */
const char *code_real(double value);
/* A number for Keras, which rounds Python's to float32 on the way; NumPy's float64 survives:
 * `exact` asks for np.float64(0.01). Likewise a static buffer. */
const char *code_keras_real(double value, bool exact);
/* A text as it stands between Python's double quotes; likewise a static buffer; file names fit. */
const char *code_quoted(const char *text);

/* Two equal numbers as one, "3", two as a pair, "(3, 5)"; likewise a static buffer. */
const char *code_pair(const uint32_t pair[2]);

/* The arguments of a call, joined by commas. */
struct code_arguments {
    char text[512];
    bool exact; /* for Keras's calls: numbers must keep their float64 digits */
};
void code_argument(struct code_arguments *arguments, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A call that begins with `before` and `name`: on one line, or, where that is long, the arguments
 * on a line of their own. */
void code_call(struct code_text *text, const char *idea, const char *before, const char *name,
               const struct code_arguments *arguments);

/* The stages in C, cut from the engines' sources when the studio was built (generated; see
 * extract_stages.c). */
struct code_extract_line {
    const char *text, *idea; /* the idea NULL: none */
};
struct code_extract {
    const char *engine; /* "torch" */
    enum code_stage stage;
    const char *layer; /* the type of layer that it computes; "": not of a single type */
    const char *file;  /* "src/engine/torch/loop.c" */
    unsigned first_line;
    const struct code_extract_line *lines;
    size_t count;
};
extern const struct code_extract code_extracts[];
extern const size_t code_extract_count;

extern const struct code_voice code_torch_python;
extern const struct code_voice code_tensorflow_python;
extern const struct code_voice code_torch_c;
extern const struct code_voice code_tensorflow_c;

#endif
