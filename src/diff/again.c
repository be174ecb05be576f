#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/js.h"
#include "diff/kinds.h"
#include "diff/runs_impl.h"
#include "run/replay.h"
#include "run/tracing.h"

#define AGAIN_SECONDS 120

double again_tolerance(enum dtype dtype)
{
    return dtype == DTYPE_FLOAT64 ? 1e-9 : 1e-5;
}

/* Below a hundredth, a loss is a difference of larger numbers, whose rounding it has. */
#define SMALL 1e-2

bool again_near(double a, double b, double tolerance)
{
    if (!isfinite(a) || !isfinite(b)) return a == b || (isnan(a) && isnan(b));
    return fabs(a - b) <= tolerance * fmax(fmax(fabs(a), fabs(b)), SMALL);
}

/* Both jobs traced at once; either may be NULL. */
static int trace_all(const struct job *const jobs[2], const char *option, uint64_t number,
                     const char *folder, struct tracing tracing[2], struct error *error)
{
    static const char *const names[2] = {"a", "b"};
    double deadline = clock_monotonic() + AGAIN_SECONDS;
    for (int side = 0; side < 2; side++)
        if (jobs[side] &&
            tracing_start(&tracing[side], jobs[side], option, number, folder, names[side], error))
            return -1;
    for (int side = 0; side < 2; side++) tracing_finish(&tracing[side], deadline);
    for (int side = 0; side < 2; side++)
        if (tracing[side].error[0])
            return error_set(error, tracing[side].code, "%s", tracing[side].error);
    return 0;
}

int again_marks(const struct job *const jobs[2], uint32_t steps, const char *folder,
                struct state_dict out[2], struct error *error)
{
    struct tracing tracing[2] = {{0}, {0}};
    int status = trace_all(jobs, "--marks", steps, folder, tracing, error);
    for (int side = 0; side < 2 && !status; side++) {
        out[side] = tracing[side].tensors;
        tracing[side].tensors = (struct state_dict){0};
    }
    for (int side = 0; side < 2; side++) tracing_clear(&tracing[side]);
    return status;
}

/* --- where marks part ------------------------------------------------------------------------- */

static double value_of(const struct named_tensor *tensor, size_t index)
{
    return tensor->dtype == DTYPE_FLOAT64 ? ((const double *)tensor->values)[index]
                                          : (double)((const float *)tensor->values)[index];
}

double again_mark(const struct state_dict *marks, const char *name, uint64_t step)
{
    const struct named_tensor *tensor = state_dict_find(marks, name);
    return tensor && step < tensor->count ? value_of(tensor, step) : (double)NAN;
}

/* Whether a tensor's values differ in step `step`'s marks. A tensor that one alone has does. */
static bool tensor_parts(const struct state_dict marks[2], const char *name, uint64_t step,
                         double tolerance)
{
    char size[80];
    snprintf(size, sizeof size, "size/%s", name + strlen("mark/"));
    double a = again_mark(&marks[0], name, step), b = again_mark(&marks[1], name, step),
           scale = fmax(again_mark(&marks[0], size, step), again_mark(&marks[1], size, step));
    if (!isfinite(a) || !isfinite(b)) return !(isnan(a) && isnan(b)) && a != b;
    return fabs(a - b) > tolerance * fmax(scale, 1e-4);
}

static bool values_part(const struct state_dict marks[2], uint64_t step, double tolerance)
{
    if (marks[0].count != marks[1].count) return true;
    for (size_t t = 0; t < marks[0].count; t++) {
        const char *name = marks[0].tensors[t].name;
        if (strncmp(name, "mark/", 5) == 0 && tensor_parts(marks, name, step, tolerance))
            return true;
    }
    return false;
}

bool again_same_step(const struct state_dict marks[2], uint64_t step, enum stage last,
                     double tolerance)
{
    return (step || !values_part(marks, 0, tolerance)) &&
           (last < STAGE_ORDER ||
            again_mark(&marks[0], "order", step) == again_mark(&marks[1], "order", step)) &&
           (last < STAGE_INPUT ||
            again_mark(&marks[0], "input", step) == again_mark(&marks[1], "input", step)) &&
           (last < STAGE_FORWARD || again_near(again_mark(&marks[0], "loss", step),
                                               again_mark(&marks[1], "loss", step), tolerance)) &&
           (last < STAGE_GRADIENT || !values_part(marks, step + 1, tolerance));
}

uint64_t again_first(const struct state_dict marks[2], uint32_t steps, double tolerance)
{
    for (uint64_t step = 0; step < steps; step++)
        if (!again_same_step(marks, step, STAGE_UPDATE, tolerance)) return step;
    return NO_STEP;
}

/* --- the step in detail ----------------------------------------------------------------------- */

/* A tensor of both traces, less another where an update is looked at. */
struct looked_at {
    const struct named_tensor *tensors[2], *less[2];
};

static double look(const struct looked_at *looked, int side, size_t index)
{
    double value = value_of(looked->tensors[side], index);
    return looked->less[side] ? value - value_of(looked->less[side], index) : value;
}

static bool parts(const struct looked_at *looked, double tolerance, struct parting *out)
{
    const struct named_tensor *a = looked->tensors[0];
    double scale = 0, most = 0;
    size_t at = 0;
    const struct named_tensor *b = looked->tensors[1];
    out->measured = shapes_equal(a->rank, a->shape, b->rank, b->shape);
    if (!out->measured) return true;
    for (size_t i = 0; i < a->count; i++) {
        double x = look(looked, 0, i), y = look(looked, 1, i), away = fabs(x - y);
        if (!isfinite(x) || !isfinite(y))
            away = x == y || (isnan(x) && isnan(y)) ? 0 : (double)INFINITY;
        else
            scale = fmax(scale, fmax(fabs(x), fabs(y)));
        if (away <= most) continue;
        most = away;
        at = i;
    }
    if (most <= tolerance * fmax(scale, 1e-5)) return false;
    out->max_abs = most;
    out->values[0] = look(looked, 0, at);
    out->values[1] = look(looked, 1, at);
    out->at = diff_place(a->rank, a->shape, at);
    return true;
}

static enum stage stage_of(const char *name)
{
    return strncmp(name, "old/", 4) == 0    ? STAGE_INITIAL
           : strcmp(name, "input") == 0     ? STAGE_INPUT
           : strncmp(name, "grad/", 5) == 0 ? STAGE_GRADIENT
           : strncmp(name, "new/", 4) == 0  ? STAGE_UPDATE
                                            : STAGE_FORWARD;
}

static const struct named_tensor *before(const struct state_dict *trace, const char *name)
{
    char old[80];
    snprintf(old, sizeof old, "old/%s", name + strlen("new/"));
    return state_dict_find(trace, old);
}

/* Tensor `name` of A's trace; true when it parts, with *out filled in. */
static bool tensor_of_trace(const struct tracing tracing[2], const struct named_tensor *tensor,
                            double tolerance, struct parting *out)
{
    enum stage stage = stage_of(tensor->name);
    struct looked_at looked = {
        .tensors = {tensor, state_dict_find(&tracing[1].tensors, tensor->name)}};
    for (int side = 0; side < 2 && stage == STAGE_UPDATE; side++)
        looked.less[side] = before(&tracing[side].tensors, tensor->name);
    if (looked.tensors[1] && !parts(&looked, tolerance, out)) return false;
    out->stage = stage;
    snprintf(out->tensor, sizeof out->tensor, "%s%s", stage == STAGE_UPDATE ? "update/" : "",
             stage == STAGE_UPDATE ? tensor->name + strlen("new/") : tensor->name);
    return true;
}

static bool other_samples(const struct tracing tracing[2])
{
    return strcmp(js_text(tracing[0].metadata, "indices"),
                  js_text(tracing[1].metadata, "indices")) != 0;
}

static void find_parting(const struct tracing tracing[2], double tolerance, struct parting *out)
{
    bool order = other_samples(tracing);
    for (size_t t = 0; t < tracing[0].tensors.count; t++) {
        const struct named_tensor *tensor = &tracing[0].tensors.tensors[t];
        if (order && stage_of(tensor->name) != STAGE_INITIAL) break;
        if (tensor_of_trace(tracing, tensor, tolerance, out)) return;
    }
    if (!order) return;
    snprintf(out->tensor, sizeof out->tensor, "order");
    out->stage = STAGE_ORDER;
}

int again_step(const struct job *const jobs[2], uint64_t step, double tolerance, const char *folder,
               struct parting *out, struct error *error)
{
    struct tracing tracing[2] = {{0}, {0}};
    *out = (struct parting){.step = step};
    int status = trace_all(jobs, "--step", step, folder, tracing, error);
    if (!status) find_parting(tracing, tolerance, out);
    for (int side = 0; side < 2; side++) tracing_clear(&tracing[side]);
    return status;
}
