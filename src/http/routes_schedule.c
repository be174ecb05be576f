/* The learning rate over the steps of a run, as its settings plan it. A schedule that is still
 * being typed is no failed request: the answer says what is wrong with it. */
#include <math.h>
#include <stdlib.h>

#include "base/js.h"
#include "base/wanted.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/routes.h"
#include "run/settings.h"
#include "train/fit.h"

#define CURVE_BUCKETS 200     /* each gives its smallest and its largest rate */
#define STEPS_LOOKED  1000000 /* of a longer run some steps are left out, evenly */
#define STEPS_A_LOOK  16384   /* between two looks whether the answer is still wanted */

/* --- what is asked ---------------------------------------------------------------------------- */

struct planning {
    struct job job;
    struct schedule schedule;
    struct error problem;     /* why there is none */
    bool unread, estimated;   /* the data is not here, and the steps depend on its labels */
    uint64_t steps_per_epoch; /* 0: by the data */
};

static int read_planning(const struct studio *studio, const struct call *call,
                         struct planning *planning, struct error *error)
{
    struct job *job = &planning->job;
    planning->steps_per_epoch = (uint64_t)call_integer(call, "steps_per_epoch");
    bool begun = planning->steps_per_epoch > 0;
    job_init(job);
    if (settings_take_texts(call_settings(call), job, error)) return -1;
    planning->unread = job_schedule(job, &planning->schedule, &planning->problem);
    if (!planning->unread && settings_check(job, begun, error)) return -1;
    return begun ? 0 : library_resolve_job(studio->home, job, error);
}

/* Of `count` training samples, whatever their classes. */
static size_t samples_left(const struct job *job, size_t count)
{
    size_t given = job->limit && job->limit < count ? job->limit : count;
    return job->validation > 0 ? given - dataset_last_part(given, job->validation) : given;
}

/* The training samples that a run of the job has. How many of each class there are is known of data
 * that is here; of what is yet to be fetched, the share of all samples is about the same. */
static int count_samples(const struct studio *studio, struct planning *planning, size_t *out,
                         struct error *error)
{
    const struct job *job = &planning->job;
    const struct dataset_entry *known = dataset_find(job->dataset);
    struct dataset_options options;
    const struct dataset *dataset;
    job_dataset_options(job, &options);
    if (known && (!(job->validation > 0) || job->validation_part == DATASET_PART_LAST)) {
        *out = samples_left(job, known->train);
    } else if (!library_borrow(studio->library, job->dataset, &options, &dataset, error)) {
        *out = dataset_count_trained(dataset, job->limit, job->validation, job->validation_part);
        library_give_back(studio->library, dataset);
    } else if (known) {
        *out = samples_left(job, known->train);
        planning->estimated = true;
    } else {
        return -1;
    }
    return *out ? 0
                : error_set(error, ERROR_INPUT,
                            "no training samples are left: lower the validation share");
}

/* --- the curve -------------------------------------------------------------------------------- */

struct curve {
    const struct schedule *schedule;
    struct schedule_span span;
    uint64_t steps;
    json_t *step, *rate;
    uint64_t top_step;
    double top;
};

struct extremes {
    uint64_t low_step, high_step;
    double low, high;
};

static double rate_at(const struct curve *curve, uint64_t step)
{
    const struct schedule_state fresh = {0};
    return schedule_rate(curve->schedule, &curve->span, &fresh, step);
}

static void add_point(const struct curve *curve, uint64_t step, double rate)
{
    json_array_append_new(curve->step, json_integer((json_int_t)step));
    json_array_append_new(curve->rate, js_real(rate));
}

static int look_through(const struct curve *curve, uint64_t from, uint64_t to, uint64_t every,
                        struct extremes *out, struct error *error)
{
    *out = (struct extremes){from, from, INFINITY, -INFINITY};
    uint64_t looked = 0;
    for (uint64_t step = from; step < to; step += every) {
        double rate = rate_at(curve, step);
        if (rate < out->low) out->low = rate, out->low_step = step;
        if (rate > out->high) out->high = rate, out->high_step = step;
        if (++looked % STEPS_A_LOOK == 0 && wanted_check(error)) return -1;
    }
    return 0;
}

/* Of a run longer than what is looked at, the steps around the largest rate are all looked at. */
static int find_top(struct curve *curve, uint64_t every, struct error *error)
{
    struct extremes near;
    uint64_t from = curve->top_step > every ? curve->top_step - every : 0,
             to = curve->top_step + every < curve->steps ? curve->top_step + every : curve->steps;
    if (look_through(curve, from, to, 1, &near, error)) return -1;
    curve->top = near.high;
    curve->top_step = near.high_step;
    return 0;
}

static int draw_curve(struct curve *curve, struct error *error)
{
    uint64_t buckets = curve->steps < CURVE_BUCKETS ? curve->steps : CURVE_BUCKETS,
             every = curve->steps / STEPS_LOOKED + 1;
    curve->top = -INFINITY;
    for (uint64_t i = 0; i < buckets; i++) {
        struct extremes found;
        uint64_t from = curve->steps * i / buckets, to = curve->steps * (i + 1) / buckets;
        if (look_through(curve, from, to, every, &found, error)) return -1;
        if (found.high > curve->top) curve->top = found.high, curve->top_step = found.high_step;
        bool falls = found.high_step <= found.low_step;
        add_point(curve, falls ? found.high_step : found.low_step, falls ? found.high : found.low);
        if (found.low_step == found.high_step) continue;
        add_point(curve, falls ? found.low_step : found.high_step, falls ? found.low : found.high);
    }
    return buckets && every > 1 ? find_top(curve, every, error) : 0;
}

static json_t *plan_to_json(const struct planning *planning, const struct curve *curve)
{
    const struct schedule *schedule = &planning->schedule;
    bool any = curve->steps > 0;
    return json_pack(
        "{s:o, s:b, s:b, s:b, s:s, s:I, s:I, s:O, s:O, s:o, s:o, s:I, s:o}", "problem",
        planning->unread ? js_shown(planning->problem.message) : json_null(), "constant",
        any && schedule_is_constant(schedule), "watches", schedule->kind == SCHEDULE_PLATEAU,
        "estimated", planning->estimated, "unit", schedule->per_step ? "step" : "epoch", "steps",
        (json_int_t)curve->steps, "steps_per_epoch", (json_int_t)curve->span.steps_per_epoch,
        "step", curve->step, "rate", curve->rate, "first",
        any ? js_real(rate_at(curve, 0)) : json_null(), "largest",
        any ? js_real(curve->top) : json_null(), "largest_step", (json_int_t)curve->top_step,
        "last", any ? js_real(rate_at(curve, curve->steps - 1)) : json_null());
}

static int plan(const struct studio *studio, struct store *store, void *context, json_t **out,
                struct error *error)
{
    (void)store;
    struct planning *planning = context;
    const struct job *job = &planning->job;
    uint64_t each = planning->steps_per_epoch;
    size_t samples;
    if (!each && !planning->unread) {
        if (count_samples(studio, planning, &samples, error)) return -1;
        each = fit_steps_per_epoch(samples, job->batch_size);
    }
    struct curve curve = {.schedule = &planning->schedule,
                          .span = {job->optimizer.learning_rate, each, job->epochs},
                          .steps = planning->unread ? 0 : each * job->epochs,
                          .step = json_array(),
                          .rate = json_array()};
    int status = draw_curve(&curve, error);
    if (!status) *out = plan_to_json(planning, &curve);
    json_decref(curve.step);
    json_decref(curve.rate);
    return status;
}

static void get_schedule(struct studio *studio, struct call *call)
{
    struct error error;
    struct planning *planning = calloc(1, sizeof *planning);
    if (planning && read_planning(studio, call, planning, &error)) {
        free(planning);
        call_fail(call, &error);
        return;
    }
    call_compute(studio, call, plan, planning);
}

static const struct parameter schedule_parameters[] = {
    {"steps_per_epoch", PARAMETER_INTEGER, 0, UINT32_MAX, 0, NULL,
     "of a run that has begun; 0: as many as the data gives"},
    {0},
};

static const struct route routes[] = {
    {"GET", "/api/schedule", get_schedule, "The learning rate over a run's steps, as planned",
     schedule_parameters, NULL, "SchedulePlan", 200, ROUTE_SETTINGS},
};
const struct route_group routes_schedule = ROUTE_GROUP("schedule", routes);
