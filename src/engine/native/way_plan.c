/* Every network that is more than dense layers on pixels, on top of plan.h. */
#include "engine/native/way.h"

static int open_plan(struct native_engine *self, const struct engine_config *config,
                     struct error *error)
{
    return plan_create(config, self->team, &self->plan, error);
}

static void close_plan(struct native_engine *self)
{
    plan_destroy(self->plan);
}

static int reserve(struct native_engine *self, size_t rows, struct error *error)
{
    return plan_reserve(self->plan, rows, error);
}

/* A plan reads the samples as they are. */
static int attach(struct native_engine *self, const struct split *split, struct error *error)
{
    (void)self, (void)split, (void)error;
    return 0;
}

static void import_set(struct native_engine *self, const struct parameters *source, uint32_t set)
{
    plan_import(self->plan, source, set);
}

static void export_set(const struct native_engine *self, struct parameters *destination,
                       uint32_t set)
{
    plan_export(self->plan, destination, set);
}

static struct optimizer *optimizer_of(struct native_engine *self)
{
    return &self->plan->optimizer;
}

static uint64_t *steps_of(struct native_engine *self)
{
    return &self->plan->steps;
}

static double *numbers_of(struct native_engine *self)
{
    return self->plan->numbers;
}

static struct plan_samples samples_of(const struct native_engine *self, const uint32_t *order,
                                      size_t count)
{
    return (struct plan_samples){self->base.split, &self->values, order, count};
}

static void train(struct native_engine *self, const uint32_t *order, size_t count, double *losses,
                  uint32_t *correct)
{
    struct plan_samples samples = samples_of(self, order, count);
    plan_train(self->plan, &samples, self->base.rates, losses, correct);
}

static int gradients(struct native_engine *self, const struct engine_part *part,
                     const uint32_t *order, size_t count, struct parameters *sums, double *loss,
                     uint32_t *correct, struct error *error)
{
    struct plan_samples samples = samples_of(self, order, count);
    return plan_gradients(self->plan, part, &samples, sums, loss, correct, error);
}

static int apply(struct native_engine *self, const struct parameters *sums, double divisor,
                 struct error *error)
{
    (void)error;
    plan_apply(self->plan, sums, divisor, self->base.rates);
    return 0;
}

static int forward(struct native_engine *self, const uint8_t *pixels, size_t rows, double *logits,
                   struct error *error)
{
    struct plan *plan = self->plan;
    const struct grid *last = &plan->grids[plan->op_count];
    (void)error;
    plan_forward(plan, pixels, &self->values, rows);
    plan_read(plan, last, last->values, rows, logits);
    return 0;
}

static int trace_step(struct native_engine *self, const uint32_t *order, size_t count,
                      engine_trace_fn *emit, void *context, struct error *error)
{
    struct plan_samples samples = samples_of(self, order, count);
    return plan_trace(self->plan, &samples, emit, context, error);
}

const struct native_way native_way_plan = {
    .open = open_plan,
    .close = close_plan,
    .reserve = reserve,
    .attach = attach,
    .import = import_set,
    .export = export_set,
    .optimizer = optimizer_of,
    .steps = steps_of,
    .numbers = numbers_of,
    .train = train,
    .gradients = gradients,
    .apply = apply,
    .forward_rows = 64, /* a plan keeps every layer's output */
    .forward = forward,
    .trace = trace_step,
};
