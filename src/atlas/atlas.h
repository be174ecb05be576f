/* The atlas: where PyTorch and Keras mean different things by the same word. One row per
 * difference, with both formulas and defaults and, where the engines can compute both meanings, an
 * experiment that shows two curves parting. Numbers of rows stay what they are: other rooms and
 * addresses name a difference by its number. */
#ifndef NNSTUDIO_ATLAS_ATLAS_H
#define NNSTUDIO_ATLAS_ATLAS_H

#include <jansson.h>

#include "engine/engine.h"

struct atlas_experiment;

struct atlas_row {
    uint32_t number;
    const char *id;      /* "adam-epsilon" */
    const char *title;   /* "Adam: where epsilon is added" */
    const char *subject; /* "optimizer", "layer", "loss", "schedule", "data" */
    /* by meaning; NULL: those of the experiment's optimizers, from net/optimizer.h */
    const char *formula[MEANING_COUNT];
    const char *defaults[MEANING_COUNT];
    const char *affects; /* who meets the difference, one sentence */
    const char *migrate; /* what to do about it, one or two */
    bool closes;         /* some choice of arguments makes both compute the same */
    const struct atlas_experiment *experiment; /* NULL: there is none, and */
    const char *without;                       /* why */
    const char *code; /* settings for Code Diff, as a query; NULL: it has none to show */
};
extern const struct atlas_row atlas_rows[];
extern const size_t atlas_row_count;

/* By number or id; NULL when there is none. */
const struct atlas_row *atlas_find(const char *word);
/* The same with a message that names what is there. */
int atlas_need(const char *word, const struct atlas_row **out, struct error *error);

/* The row as text: {"number","id","title","subject","pytorch":{"title","engine" (whose
 * colors it has),"formula","defaults"},"keras":{…},
 * "affects","migrate","closes","experiment" (what is done; null: none),"without","code"}. New
 * reference. */
json_t *atlas_row_to_json(const struct atlas_row *row);

/* Runs the row's experiment on an engine in this process, a fraction of a second:
 * {"row":3,"engine":"native","version":"…","curves":[{"what":"weight","name":"fc1.weight[0, 2]",
 *  "x":"step","pytorch":[…],"keras":[…],"largest":6.7e-3,"equal":false,
 *  "at":20}]}
 * The first curve is the one that shows the difference; `largest` is the largest difference between
 * the two meanings: of any weight after any step, of a step's loss or rate, of any logit. `name`
 * says whose values the curves are where there are several. New reference. Refused: a row without
 * an experiment (ERROR_INPUT), an engine that is missing (ERROR_UNAVAILABLE). */
int atlas_run(const struct atlas_row *row, const struct engine_ops *ops, json_t **out,
              struct error *error);

/* How far two engines' results of one row lie apart: the largest difference of any value, infinite
 * when they are not about the same. Engines agree up to ATLAS_AGREE. */
#define ATLAS_AGREE 1e-12
double atlas_apart(const json_t *one, const json_t *other);

/* The same for several rows on one engine, native in this process, a framework in one of its own
 * (frameworks clash in one): a list of results in the rows' order. `scratch` is a folder for what
 * that process writes; it is left empty. Blocks for seconds: not for an event loop's thread. */
int atlas_run_apart(const struct atlas_row *const *rows, size_t count, const struct engine_ops *ops,
                    const char *scratch, json_t **out, struct error *error);
/* What that process does: writes the results, one JSON text per line, to `path`. */
int atlas_run_to_file(const struct atlas_row *const *rows, size_t count,
                      const struct engine_ops *ops, const char *path, struct error *error);

/* The atlas as a document (docs/atlas.md). `results`: {engine id: [result, …]} of the engines that
 * it was run on, native among them. malloc'd, NULL when memory is out. */
char *atlas_document(const json_t *results);

#endif
