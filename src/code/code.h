/* Code Diff: the stages of a training program in four voices, following a run's settings.
 *
 * The Python of both frameworks is written here, as a teacher would; the C is cut from the engines'
 * own sources at build time (marks in them: `[stage: NAME]` … `[end]`), so that what is shown is
 * what was built. */
#ifndef NNSTUDIO_CODE_CODE_H
#define NNSTUDIO_CODE_CODE_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/error.h"
#include "engine/engine.h"
#include "run/job.h"

enum code_stage {
    CODE_DATA,
    CODE_NETWORK,
    CODE_OPTIMIZER,
    CODE_STEP,
    CODE_LOOP,
    CODE_SAVE,
    CODE_STAGE_COUNT
};

/* One line of a program and the idea it stands for: lines of the same idea in two voices belong
 * together. */
struct code_line {
    char *text;       /* owned, without the newline */
    const char *idea; /* static: "zero_grad"; NULL for lines without a counterpart to look for */
    uint64_t layers;  /* bit i: it is about the network's layer i */
};
_Static_assert(NETWORK_MAX_LAYERS <= 64, "a bit per layer");
struct code_text {
    struct code_line *lines; /* owned */
    size_t count, capacity;
    uint64_t layers; /* what lines that are added are about */
    bool failed;     /* sticky: memory ran out or the cap was reached */
};
void code_text_free(struct code_text *text);

/* What the code follows: a run's settings and its network, from the data's picture to the classes.
 */
struct code_subject {
    const struct job *job;
    struct network network; /* finished */
    struct input_form form; /* what the network is given */
    bool coded;             /* the data is no bytes, but a table of other numbers */
    bool notebook;          /* set by code_notebook(): without a command line */
    bool several;           /* set by code_parallel(): for several processes */
};
/* Of a job whose data set is known by name, or lies where the job says: that one is opened to learn
 * its shape, which may take a while. */
int code_subject_of(const struct job *job, struct code_subject *out, struct error *error);

/* What voices can have in common, for the reasons why one lacks a line that another has. */
enum code_kind { CODE_KIND_TORCH, CODE_KIND_KERAS, CODE_KIND_C, CODE_KIND_COUNT };

/* A voice: a framework in a language. */
struct code_voice {
    const char *id; /* "torch.python", "tensorflow.python", "torch.c", "tensorflow.c" */
    const struct engine_ops *engine;
    const char *language; /* "python" or "c" */
    enum code_kind kind;
    const char *title;    /* "PyTorch, Python" */
    const char *file;     /* the file name it is exported under: "model.py" */
    const char *notebook; /* the same of its notebook: "model.ipynb"; NULL: it has none */
    /* (optional) -1 with a message that names the layer that this voice has no way to say, and what
     * to use instead. */
    int (*check)(const struct code_subject *subject, struct error *error);
    void (*write_stage)(const struct code_voice *voice, enum code_stage stage,
                        const struct code_subject *subject, struct code_text *out);
    /* A Python program's stages, for python_write_stage(). */
    void (*stages[CODE_STAGE_COUNT])(const struct code_subject *subject, struct code_text *out);
};
extern const struct code_voice *const code_voices[];
extern const size_t code_voice_count;
/* {"id","engine","language","title","file"}. New reference. */
json_t *code_voice_json(const struct code_voice *voice);
/* By engine and language; the message lists what there is. */
int code_voice_need(const char *engine, const char *language, const struct code_voice **out,
                    struct error *error);

const char *code_stage_id(enum code_stage stage);    /* "data" */
const char *code_stage_title(enum code_stage stage); /* "One training step" */

/* The lines of one stage. The caller frees *out. Like all below it fails with ERROR_INPUT when the
 * network has a layer that the voice cannot say. */
int code_stage_text(const struct code_voice *voice, enum code_stage stage,
                    const struct code_subject *subject, struct code_text *out, struct error *error);
/* The network as a PyTorch module, "class Network(nn.Module)", whose layers are named layer0,
 * layer1, … by their places. Below imports of torch and nn. */
int code_torch_module(const struct network *network, struct buffer *out, struct error *error);
/* The whole program as a file's text. Python runs as it is: `python FILE --data-dir DIR`. */
int code_program(const struct code_voice *voice, const struct code_subject *subject,
                 struct buffer *out, struct error *error);
/* The same for several processes, each of which computes its part of every batch: DDP under
 * torchrun, MultiWorkerMirroredStrategy with TF_CONFIG; Python voices only. Refused also: a layer
 * that depends on the whole batch. */
int code_parallel(const struct code_voice *voice, const struct code_subject *subject,
                  struct buffer *out, struct error *error);
/* The same as a Jupyter notebook (nbformat 4.5), a cell per stage; Python voices only. */
int code_notebook(const struct code_voice *voice, const struct code_subject *subject,
                  struct buffer *out, struct error *error);
/* What pip needs for both programs. */
const char *code_requirements(void);

/* What the tab shows of two voices:
 * {"left":VOICE,"right":VOICE,"stages":[{"id","title","note","left":[{"text","idea","layers"}],
 * "right":[…]}],"ideas":{ID:{"title","only":"left"|"right"|null,"why"}}}. *out is a new reference.
 */
int code_compare(const struct code_voice *left, const struct code_voice *right,
                 const struct code_subject *subject, json_t **out, struct error *error);

#endif
