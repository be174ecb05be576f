#include "code/schedules.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "code/losses.h"
#include "code/text.h"

#define MAX_WHOLE 1e6 /* an epoch's number */

/* A schedule on its way into a program. */
struct rate_plan {
    const struct code_subject *subject;
    const struct job *job;
    struct schedule schedule;
    double rate;
    bool warm; /* has a warm-up that changes anything */
};

static struct rate_plan plan_of(const struct code_subject *subject)
{
    const struct job *job = subject->job;
    struct rate_plan plan = {.subject = subject, .job = job, .rate = job->optimizer.learning_rate};
    struct error error;
    CHECK(!job_schedule(job, &plan.schedule, &error)); /* the voice's check has read it */
    plan.warm = plan.schedule.warmup > 1;
    return plan;
}

static double value_of(const struct rate_plan *plan, const char *name)
{
    return schedule_value(&plan->schedule, name);
}

static bool is_whole(double value)
{
    return value >= 1 && value <= MAX_WHOLE && value == floor(value);
}

/* The epochs that a schedule spans; all, where it names none. */
static double span_of(const struct rate_plan *plan)
{
    double epochs = value_of(plan, "epochs");
    return epochs > 0 ? epochs : plan->job->epochs;
}

/* A number of epochs as Python writes it: whole ones without a point. */
static const char *epochs_text(double epochs)
{
    static _Thread_local char slots[4][40];
    static _Thread_local unsigned next;
    char *slot = slots[next++ % 4];
    if (is_whole(epochs))
        snprintf(slot, sizeof slots[0], "%.0f", epochs);
    else
        snprintf(slot, sizeof slots[0], "%s", code_real(epochs));
    return slot;
}

/* The same in what the schedule counts: "3", or "3 * steps". */
static const char *length_text(const struct rate_plan *plan, double epochs)
{
    static _Thread_local char slots[4][60];
    static _Thread_local unsigned next;
    char *slot = slots[next++ % 4];
    if (!plan->schedule.per_step)
        snprintf(slot, sizeof slots[0], "%s", epochs_text(epochs));
    else if (epochs == 1)
        snprintf(slot, sizeof slots[0], "steps");
    else
        snprintf(slot, sizeof slots[0], "%s * steps", epochs_text(epochs));
    return slot;
}

static const char *keras_number(const struct rate_plan *plan, double value)
{
    return code_keras_real(value, plan->job->dtype == DTYPE_FLOAT64);
}

/* --- the frameworks' own classes -------------------------------------------------------------- */

/* Whether the cosine never comes to the point where PyTorch's rises again and Keras's stays. */
static bool cosine_fits(const struct rate_plan *plan)
{
    return span_of(plan) >= plan->job->epochs;
}

static const char *torch_step(const struct rate_plan *plan, struct code_arguments *a)
{
    double every = value_of(plan, "every");
    if (!is_whole(every)) return NULL;
    code_argument(a, "step_size=%s", length_text(plan, every));
    code_argument(a, "gamma=%s", code_real(value_of(plan, "gamma")));
    return "StepLR";
}

static const char *torch_exponential(const struct rate_plan *plan, struct code_arguments *a)
{
    code_argument(a, plan->schedule.per_step ? "gamma=%s ** (1 / steps)" : "gamma=%s",
                  code_real(value_of(plan, "gamma")));
    return "ExponentialLR";
}

static const char *torch_polynomial(const struct rate_plan *plan, struct code_arguments *a)
{
    double power = value_of(plan, "power");
    if (value_of(plan, "min") != 0 || !is_whole(span_of(plan))) return NULL;
    code_argument(a, "total_iters=%s", length_text(plan, span_of(plan)));
    if (power != 1) code_argument(a, "power=%s", code_real(power));
    return "PolynomialLR";
}

/* With a warm-up only where it is a product of factors, as that is. */
static const char *torch_cosine(const struct rate_plan *plan, struct code_arguments *a)
{
    double low = value_of(plan, "min"), restart = value_of(plan, "restart"),
           multiply = value_of(plan, "multiply");
    bool keras = plan->schedule.meaning == MEANING_KERAS;
    if (restart > 0) {
        if (!is_whole(restart) || !is_whole(multiply) || plan->warm) return NULL;
        code_argument(a, "T_0=%s", length_text(plan, restart));
        if (multiply != 1) code_argument(a, "T_mult=%.0f", multiply);
    } else {
        if (!is_whole(span_of(plan)) || ((keras || plan->warm) && !cosine_fits(plan)) ||
            (plan->warm && low > 0))
            return NULL;
        code_argument(a, "T_max=%s", length_text(plan, span_of(plan)));
    }
    if (low > 0) code_argument(a, "eta_min=%s", code_real(low));
    return restart > 0 ? "CosineAnnealingWarmRestarts" : "CosineAnnealingLR";
}

static const char *torch_onecycle(const struct rate_plan *plan, struct code_arguments *a)
{
    if (plan->warm) return NULL;
    code_argument(a, "max_lr=%s", code_real(value_of(plan, "max")));
    code_argument(a, "total_steps=%u * steps", plan->job->epochs);
    code_argument(a, "pct_start=%s", code_real(value_of(plan, "share")));
    code_argument(a, "div_factor=%s", code_real(value_of(plan, "div")));
    code_argument(a, "final_div_factor=%s", code_real(value_of(plan, "final")));
    code_argument(a, "cycle_momentum=False");
    return "OneCycleLR";
}

static void add_plateau(const struct rate_plan *plan, const char *threshold,
                        struct code_arguments *a)
{
    static const struct {
        const char *name, *said;
    } rest[] = {{"cooldown", "cooldown"}, {"min", "min_lr"}};
    code_argument(a, "factor=%s", code_real(value_of(plan, "factor")));
    code_argument(a, "patience=%.0f", value_of(plan, "patience"));
    code_argument(a, "%s=%s", threshold, code_real(value_of(plan, "threshold")));
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++) {
        double value = value_of(plan, rest[i].name);
        if (value == 0) continue;
        code_argument(a, "%s=%s", rest[i].said, i ? code_real(value) : epochs_text(value));
    }
}

static const char *torch_plateau(const struct rate_plan *plan, struct code_arguments *a)
{
    if (plan->warm || plan->schedule.meaning != MEANING_PYTORCH) return NULL;
    add_plateau(plan, "threshold", a);
    return "ReduceLROnPlateau";
}

static const char *keras_step(const struct rate_plan *plan, struct code_arguments *a)
{
    double every = value_of(plan, "every");
    if (!is_whole(every)) return NULL;
    code_argument(a, "decay_steps=%s", length_text(plan, every));
    code_argument(a, "decay_rate=%s", keras_number(plan, value_of(plan, "gamma")));
    code_argument(a, "staircase=True");
    return "ExponentialDecay";
}

static const char *keras_exponential(const struct rate_plan *plan, struct code_arguments *a)
{
    code_argument(a, "decay_steps=steps");
    code_argument(a, "decay_rate=%s", keras_number(plan, value_of(plan, "gamma")));
    return "ExponentialDecay";
}

static const char *keras_polynomial(const struct rate_plan *plan, struct code_arguments *a)
{
    double power = value_of(plan, "power");
    if (!is_whole(span_of(plan))) return NULL;
    code_argument(a, "decay_steps=%s", length_text(plan, span_of(plan)));
    code_argument(a, "end_learning_rate=%s", keras_number(plan, value_of(plan, "min")));
    if (power != 1) code_argument(a, "power=%s", keras_number(plan, power));
    return "PolynomialDecay";
}

/* The share of the learning rate that a smallest one is. */
static void add_alpha(const struct rate_plan *plan, struct code_arguments *a)
{
    double low = value_of(plan, "min");
    bool exact = plan->job->dtype == DTYPE_FLOAT64;
    if (low > 0)
        code_argument(a, exact ? "alpha=np.float64(%s / %s)" : "alpha=%s / %s", code_real(low),
                      code_real(plan->rate));
}

/* CosineDecayRestarts finds the cycle by logarithms, which is sure for the factors 1 and 2. */
static const char *keras_cosine(const struct rate_plan *plan, struct code_arguments *a)
{
    double restart = value_of(plan, "restart"), multiply = value_of(plan, "multiply");
    bool keras = plan->schedule.meaning == MEANING_KERAS;
    if (restart > 0) {
        if (!is_whole(restart) || (multiply != 1 && multiply != 2)) return NULL;
        code_argument(a, "first_decay_steps=%s", length_text(plan, restart));
        if (multiply == 1) code_argument(a, "t_mul=1.0");
    } else {
        if (!is_whole(span_of(plan)) || (!keras && !cosine_fits(plan))) return NULL;
        code_argument(a, "decay_steps=%s", length_text(plan, span_of(plan)));
    }
    add_alpha(plan, a);
    return restart > 0 ? "CosineDecayRestarts" : "CosineDecay";
}

static const char *keras_plateau(const struct rate_plan *plan, struct code_arguments *a)
{
    if (plan->warm || plan->schedule.meaning != MEANING_KERAS) return NULL;
    keras_add_monitor(plan->subject, a);
    add_plateau(plan, "min_delta", a);
    return "ReduceLROnPlateau";
}

/* --- the formulas ----------------------------------------------------------------------------- */

/* The body of rate(), which ends with what is returned; `share` is written before that. */
typedef void rate_fn(const struct rate_plan *plan, const char *share, struct code_text *out);

static void write_constant(const struct rate_plan *plan, const char *share, struct code_text *out)
{
    code_line(out, "schedule", "    return %s%s", share, code_real(plan->rate));
}

static void write_step(const struct rate_plan *plan, const char *share, struct code_text *out)
{
    double every = value_of(plan, "every");
    code_line(out, "schedule",
              is_whole(every) ? "    return %s%s * %s ** (epoch // %s)"
                              : "    return %s%s * %s ** np.floor(epoch / %s)",
              share, code_real(plan->rate), code_real(value_of(plan, "gamma")), epochs_text(every));
}

static void write_exponential(const struct rate_plan *plan, const char *share,
                              struct code_text *out)
{
    code_line(out, "schedule", "    return %s%s * %s ** epoch", share, code_real(plan->rate),
              code_real(value_of(plan, "gamma")));
}

/* "return share * (low + (top - low) * PART)", without what is 0. */
static void write_between(const struct rate_plan *plan, const char *share, double low,
                          const char *part, struct code_text *out)
{
    if (low == 0)
        code_line(out, "schedule", "    return %s%s * %s", share, code_real(plan->rate), part);
    else
        code_line(out, "schedule",
                  share[0] ? "    return %s(low + (%s - low) * %s)"
                           : "    return %slow + (%s - low) * %s",
                  share, code_real(plan->rate), part);
}

static void write_low(double low, struct code_text *out)
{
    if (low > 0) code_line(out, "schedule", "    low = %s", code_real(low));
}

static void write_polynomial(const struct rate_plan *plan, const char *share, struct code_text *out)
{
    double low = value_of(plan, "min"), power = value_of(plan, "power");
    char part[60] = "left";
    write_low(low, out);
    code_line(out, "schedule", "    left = max(0.0, 1 - epoch / %s)", epochs_text(span_of(plan)));
    if (power != 1) snprintf(part, sizeof part, "left ** %s", code_real(power));
    write_between(plan, share, low, part, out);
}

static void write_cosine(const struct rate_plan *plan, const char *share, struct code_text *out)
{
    double low = value_of(plan, "min"), restart = value_of(plan, "restart"),
           multiply = value_of(plan, "multiply");
    const char *span = epochs_text(span_of(plan));
    char part[120] = "(1 + np.cos(np.pi * since / length)) / 2";
    write_low(low, out);
    if (restart > 0) {
        code_line(out, "schedule", "    since, length = epoch, %s", epochs_text(restart));
        code_line(out, "schedule", "    while since >= length:  # it begins again");
        code_line(out, "schedule", "        since, length = since - length, length * %s",
                  epochs_text(multiply));
    } else if (plan->schedule.meaning == MEANING_KERAS && !cosine_fits(plan)) {
        snprintf(part, sizeof part, "(1 + np.cos(np.pi * min(epoch, %s) / %s)) / 2", span, span);
    } else {
        snprintf(part, sizeof part, "(1 + np.cos(np.pi * epoch / %s)) / 2", span);
    }
    write_between(plan, share, low, part, out);
}

static void write_onecycle(const struct rate_plan *plan, const char *share, struct code_text *out)
{
    const char *top = code_real(value_of(plan, "max")), *div = code_real(value_of(plan, "div"));
    uint32_t epochs = plan->job->epochs;
    code_line(out, "schedule", "    top, first, last = %s, %s / %s, %s / %s / %s", top, top, div,
              top, div, code_real(value_of(plan, "final")));
    code_line(out, "schedule", "    peak, end = %s * %u * steps - 1, %u * steps - 1",
              code_real(value_of(plan, "share")), epochs, epochs);
    code_line(out, "schedule", "    if 0 < peak and step <= peak:");
    code_line(out, "schedule", "        part = (1 + np.cos(np.pi * step / peak)) / 2");
    code_line(out, "schedule", "        return %s(top + (first - top) * part)", share);
    code_line(out, "schedule", "    part = (1 + np.cos(np.pi * (step - peak) / (end - peak))) / 2");
    code_line(out, "schedule", "    return %s(last + (top - last) * part)", share);
}

/* What PyTorch's and Keras's ReduceLROnPlateau do with an epoch's loss. */
static void write_note(const struct rate_plan *plan, struct code_text *out)
{
    const char *factor = code_real(value_of(plan, "factor")),
               *low = code_real(value_of(plan, "min")),
               *threshold = code_real(value_of(plan, "threshold"));
    double patience = value_of(plan, "patience"), rest = value_of(plan, "cooldown");
    bool keras = plan->schedule.meaning == MEANING_KERAS;
    if (keras) {
        code_line(out, "schedule", "        if self.rest > 0:  # cooldown");
        code_line(out, "schedule", "            self.rest, self.bad = self.rest - 1, 0");
        code_line(out, "schedule", "        if loss < self.best - %s:", threshold);
        code_line(out, "schedule", "            self.best, self.bad = loss, 0");
        code_line(out, "schedule", "        elif self.rest == 0:");
        code_line(out, "schedule", "            self.bad += 1");
        code_line(out, "schedule", "            if self.bad >= %.0f and self.rate > %s:", patience,
                  low);
        code_line(out, "schedule", "                self.rate = max(self.rate * %s, %s)", factor,
                  low);
        code_line(out, "schedule", "                self.rest, self.bad = %.0f, 0", rest);
        return;
    }
    code_line(out, "schedule", "        if loss < self.best * (1 - %s):", threshold);
    code_line(out, "schedule", "            self.best, self.bad = loss, 0");
    code_line(out, "schedule", "        else:");
    code_line(out, "schedule", "            self.bad += 1");
    code_line(out, "schedule", "        if self.rest > 0:  # cooldown");
    code_line(out, "schedule", "            self.rest, self.bad = self.rest - 1, 0");
    code_line(out, "schedule", "        if self.bad > %.0f:", patience);
    code_line(out, "schedule", "            lower = max(self.rate * %s, %s)", factor, low);
    code_line(out, "schedule", "            if self.rate - lower > 1e-8:");
    code_line(out, "schedule", "                self.rate = lower");
    code_line(out, "schedule", "            self.rest, self.bad = %.0f, 0", rest);
}

/* --- the table -------------------------------------------------------------------------------- */

/* A class's name and its arguments but for the first; NULL where it is another function of the
 * step. */
typedef const char *class_fn(const struct rate_plan *plan, struct code_arguments *a);

static const struct row {
    class_fn *torch, *keras; /* (optional) */
    rate_fn *write;          /* NULL: it is no function of the step */
    bool counts_epochs;      /* the formula has `epoch` in it */
} rows[SCHEDULE_KIND_COUNT] = {
    [SCHEDULE_CONSTANT] = {NULL, NULL, write_constant, false},
    [SCHEDULE_STEP] = {torch_step, keras_step, write_step, true},
    [SCHEDULE_EXPONENTIAL] = {torch_exponential, keras_exponential, write_exponential, true},
    [SCHEDULE_POLYNOMIAL] = {torch_polynomial, keras_polynomial, write_polynomial, true},
    [SCHEDULE_COSINE] = {torch_cosine, keras_cosine, write_cosine, true},
    [SCHEDULE_ONECYCLE] = {torch_onecycle, NULL, write_onecycle, false},
    [SCHEDULE_PLATEAU] = {torch_plateau, keras_plateau, NULL, false},
};

static bool varies(const struct rate_plan *plan)
{
    return plan->schedule.kind != SCHEDULE_CONSTANT || plan->warm;
}

static bool is_plateau(const struct rate_plan *plan)
{
    return plan->schedule.kind == SCHEDULE_PLATEAU;
}

static const char *torch_class(const struct rate_plan *plan, struct code_arguments *a)
{
    class_fn *name = rows[plan->schedule.kind].torch;
    *a = (struct code_arguments){"optimizer"};
    return name ? name(plan, a) : NULL;
}

/* Keras's schedules count steps and know no warm-up that multiplies them; its callback counts
 * epochs. */
static const char *keras_class(const struct rate_plan *plan, struct code_arguments *a)
{
    class_fn *name = rows[plan->schedule.kind].keras;
    *a = (struct code_arguments){""};
    if (!name || plan->warm || (!plan->schedule.per_step && !is_plateau(plan))) return NULL;
    if (!is_plateau(plan)) code_argument(a, "%s", keras_number(plan, plan->rate));
    return name(plan, a);
}

/* --- plain lines ------------------------------------------------------------------------------ */

/* Whether rate() is asked for each step, not for each epoch. */
static bool rate_counts_steps(const struct rate_plan *plan)
{
    return plan->schedule.per_step || plan->warm;
}

/* Whether the schedule's lines have `steps` in them. */
static bool names_steps(const struct rate_plan *plan, bool plain)
{
    if (plan->schedule.kind == SCHEDULE_CONSTANT) return false;
    return plan->schedule.per_step ||
           (plain && plan->warm && rows[plan->schedule.kind].counts_epochs);
}

static void write_steps(const struct job *job, struct code_text *out)
{
    code_line(out, "schedule", "steps = int(np.ceil(len(x_train) / %u))  # per epoch",
              job->batch_size);
}

static void write_rate(const struct rate_plan *plan, const char *why, struct code_text *out)
{
    const struct row *row = &rows[plan->schedule.kind];
    bool by_step = rate_counts_steps(plan);
    const char *share = "";
    code_blank(out, 2);
    code_line(out, "schedule", "def rate(%s):", by_step ? "step" : "epoch");
    code_line(out, "schedule", "    \"\"\"The learning rate of %s, counted from 0.\"\"\"",
              by_step ? "a step" : "an epoch");
    code_line(out, "schedule", "    # %s", why);
    if (row->counts_epochs && by_step)
        code_line(out, "schedule", "    epoch = step %s steps",
                  plan->schedule.per_step ? "/" : "//");
    if (plan->warm) {
        code_line(out, "schedule", "    share = min(1.0, (step + 1) / %u)  # warm-up",
                  plan->schedule.warmup);
        share = "share * ";
    }
    row->write(plan, share, out);
    code_blank(out, 2);
}

static void write_state(const struct rate_plan *plan, const char *indent, struct code_text *out)
{
    code_line(out, "schedule",
              "%sself.rate, self.best, self.bad, self.rest = %s, float(\"inf\"), 0, 0", indent,
              code_real(plan->rate));
    if (plan->warm) code_line(out, "schedule", "%sself.steps = 0", indent);
}

static void write_plateau_head(const struct rate_plan *plan, const char *base,
                               struct code_text *out)
{
    const char *whose = plan->schedule.meaning == MEANING_KERAS ? "keras.callbacks"
                                                                : "torch.optim.lr_scheduler";
    code_blank(out, 2);
    code_line(out, "schedule", "class Plateau%s:", base);
    code_line(out, "schedule", "    # what %s.ReduceLROnPlateau computes%s", whose,
              plan->warm ? "; the warm-up apart" : "");
    code_line(out, "schedule", "    def __init__(self):");
    if (base[0]) code_line(out, "schedule", "        super().__init__()");
    write_state(plan, "        ", out);
    code_line(out, NULL, "%s", "");
}

static void write_torch_plateau(const struct rate_plan *plan, struct code_text *out)
{
    write_plateau_head(plan, "", out);
    code_line(out, "schedule", "    def note(self, loss):");
    write_note(plan, out);
    if (plan->warm) {
        code_line(out, NULL, "%s", "");
        code_line(out, "schedule", "    def next_rate(self):");
        code_line(out, "schedule", "        self.steps += 1");
        code_line(out, "schedule",
                  "        return self.rate * min(1.0, self.steps / %u)  # warm-up",
                  plan->schedule.warmup);
    }
    code_blank(out, 2);
}

static void write_keras_plateau(const struct rate_plan *plan, struct code_text *out)
{
    write_plateau_head(plan, "(keras.callbacks.Callback)", out);
    code_line(out, "schedule", "    def on_epoch_end(self, epoch, logs=None):");
    code_line(out, "schedule", "        loss = logs[\"%s\"]", keras_watched(plan->subject));
    write_note(plan, out);
    if (plan->warm) {
        code_line(out, NULL, "%s", "");
        code_line(out, "schedule", "    def on_train_batch_begin(self, batch, logs=None):");
        code_line(out, "schedule", "        self.steps += 1");
        code_line(out, "schedule", "        share = min(1.0, self.steps / %u)  # warm-up",
                  plan->schedule.warmup);
        code_line(out, "schedule",
                  "        self.model.optimizer.learning_rate = self.rate * share");
    } else {
        code_line(out, "schedule", "        self.model.optimizer.learning_rate = self.rate");
    }
    code_blank(out, 2);
}

/* --- PyTorch ---------------------------------------------------------------------------------- */

void torch_write_schedule_parts(const struct code_subject *subject, struct code_text *out)
{
    struct rate_plan plan = plan_of(subject);
    struct code_arguments a;
    if (!varies(&plan)) return;
    bool plain = !torch_class(&plan, &a);
    if (plain && is_plateau(&plan))
        write_torch_plateau(&plan, out);
    else if (plain && plan.schedule.kind != SCHEDULE_CONSTANT)
        write_rate(&plan, "torch.optim.lr_scheduler has no class that is just this", out);
    if (names_steps(&plan, plain)) write_steps(plan.job, out);
}

void torch_write_scheduler(const struct code_subject *subject, struct code_text *out)
{
    struct rate_plan plan = plan_of(subject);
    struct code_arguments a;
    if (!varies(&plan)) return;
    const char *name = torch_class(&plan, &a);
    if (name)
        code_call(out, "schedule", "scheduler = torch.optim.lr_scheduler.", name, &a);
    else if (is_plateau(&plan))
        code_line(out, "schedule", "plateau = Plateau()");
    else if (plan.schedule.kind != SCHEDULE_CONSTANT)
        code_line(out, "schedule",
                  "scheduler = torch.optim.lr_scheduler.LambdaLR("
                  "optimizer, lambda %s: rate(%s) / %s)",
                  rate_counts_steps(&plan) ? "step" : "epoch",
                  rate_counts_steps(&plan) ? "step" : "epoch", code_real(plan.rate));
    if (!plan.warm || (!name && plan.schedule.kind != SCHEDULE_CONSTANT)) return;
    a = (struct code_arguments){"optimizer"};
    code_argument(&a, "start_factor=1 / %u", plan.schedule.warmup);
    code_argument(&a, "total_iters=%u", plan.schedule.warmup - 1);
    code_call(out, "schedule", "warmup = torch.optim.lr_scheduler.", "LinearLR", &a);
}

void torch_write_rate_of_step(const struct code_subject *subject, struct code_text *out)
{
    struct rate_plan plan = plan_of(subject);
    if (is_plateau(&plan) && plan.warm)
        code_line(out, "schedule", "    optimizer.param_groups[0][\"lr\"] = plateau.next_rate()");
}

void torch_write_after_step(const struct code_subject *subject, struct code_text *out)
{
    struct rate_plan plan = plan_of(subject);
    struct code_arguments a;
    if (!varies(&plan) || is_plateau(&plan)) return;
    bool own = torch_class(&plan, &a) != NULL, constant = plan.schedule.kind == SCHEDULE_CONSTANT;
    if (!constant && (own ? plan.schedule.per_step : rate_counts_steps(&plan)))
        code_line(out, "schedule", "    scheduler.step()  # the learning rate of the next step");
    if (plan.warm && (own || constant))
        code_line(out, "schedule", "    warmup.step()  # a share of it that rises to 1");
}

void torch_write_after_epoch(const struct code_subject *subject, struct code_text *out)
{
    struct rate_plan plan = plan_of(subject);
    struct code_arguments a;
    bool own = torch_class(&plan, &a) != NULL;
    if (is_plateau(&plan)) {
        code_line(out, "schedule",
                  own ? "    scheduler.step(val_loss)  # the next epoch's rate"
                      : "    plateau.note(val_loss)");
        if (!own && !plan.warm)
            code_line(out, "schedule", "    optimizer.param_groups[0][\"lr\"] = plateau.rate");
        return;
    }
    if (plan.schedule.kind == SCHEDULE_CONSTANT ||
        (own ? plan.schedule.per_step : rate_counts_steps(&plan)))
        return;
    code_line(out, "schedule", "    scheduler.step()  # the learning rate of the next epoch");
}

/* --- Keras ------------------------------------------------------------------------------------ */

static void write_rate_callback(struct code_text *out)
{
    code_blank(out, 2);
    code_line(out, "schedule", "class Rate(keras.callbacks.Callback):");
    code_line(out, "schedule", "    step = 0");
    code_line(out, NULL, "%s", "");
    code_line(out, "schedule", "    def on_train_batch_begin(self, batch, logs=None):");
    code_line(out, "schedule", "        self.model.optimizer.learning_rate = rate(self.step)");
    code_line(out, "schedule", "        self.step += 1");
    code_blank(out, 2);
}

void keras_write_schedule(const struct code_subject *subject, struct code_text *out)
{
    struct rate_plan plan = plan_of(subject);
    struct code_arguments a;
    if (!varies(&plan)) return;
    const char *name = keras_class(&plan, &a);
    if (is_plateau(&plan)) {
        if (!name) write_keras_plateau(&plan, out);
        return;
    }
    if (!name) {
        bool by_step = rate_counts_steps(&plan);
        write_rate(&plan,
                   by_step ? "keras.optimizers.schedules has no class that is just this"
                           : "Keras's schedules count steps; this one changes with every epoch",
                   out);
        if (by_step) write_rate_callback(out);
    }
    if (names_steps(&plan, !name)) write_steps(plan.job, out);
    if (name) code_call(out, "schedule", "schedule = keras.optimizers.schedules.", name, &a);
}

const char *keras_schedule_name(const struct code_subject *subject)
{
    struct rate_plan plan = plan_of(subject);
    struct code_arguments a;
    return !is_plateau(&plan) && keras_class(&plan, &a) ? "schedule" : "";
}

struct code_arguments keras_schedule_callback(const struct code_subject *subject, bool *forgets)
{
    struct rate_plan plan = plan_of(subject);
    struct code_arguments a, call = {""};
    const char *name = keras_class(&plan, &a);
    *forgets = name && is_plateau(&plan);
    if (!varies(&plan) || (name && !is_plateau(&plan))) return call;
    if (name)
        snprintf(call.text, sizeof call.text, "keras.callbacks.%s(%.400s)", name, a.text);
    else if (is_plateau(&plan))
        code_argument(&call, "Plateau()");
    else
        code_argument(&call, "%s",
                      rate_counts_steps(&plan) ? "Rate()"
                                               : "keras.callbacks.LearningRateScheduler(rate)");
    return call;
}
