/* The step microscope: one batch, one training step, every tensor of it in every engine, compared.
 */
#ifndef NNSTUDIO_CODE_MICROSCOPE_H
#define NNSTUDIO_CODE_MICROSCOPE_H

#include <jansson.h>

#include "base/error.h"
#include "run/job.h"

#define MICROSCOPE_MAX_ENGINES 4

/* Lets each engine (each in a process of its own: this program's `trace` command) perform the same
 * real step on batch number `batch` of the job's first epoch, and compares what they computed.
 * Blocks for a second or two: not for an event loop's thread. `scratch` is a folder for the traces;
 * what is made there is removed.
 *
 * *out is a new reference:
 * {"batch":{"number":0,"indices":[…],"labels":[…]},
 *  "engines":[{"id":"torch","title":"PyTorch","version":"2.13.0","error":null,"indices":[…]}],
 *  "stages":[{"id":"forward-1","title":"…","note":"…","code_stage":"network","ideas":["layer"],
 *    "tensors":[{"name":"z1","title":"the layer's output before its activation","shape":[32,128],
 *      "low","high","histogram":[{"engine":"torch","counts":[48 bins from low to
 *      high],"mean","std",
 *                       "not_finite" how many are NaN or infinite and counted nowhere, "sha256" of
 *                       the values as float64}],
 *      "picture":{"rows","columns","values":"base64 of float32, at most 64 x 128 (the input: 32
 *      whole samples): rows and
 *        columns skipped evenly"},
 *      "differences":[{"pair":"torch/tensorflow","max":1.2e-7}],"max_difference":1.2e-7}]}]}
 * An engine that fails is named with its error and left out; with none left the call fails. */
int code_microscope(const struct job *job, const char *const *engines, size_t engine_count,
                    uint32_t batch, const char *scratch, json_t **out, struct error *error);

#endif
