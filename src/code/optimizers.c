#include "code/optimizers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "code/schedules.h"
#include "code/text.h"

/* --- what the frameworks have of their own ---------------------------------------------------- */

/* Arguments of one number, by its name in formulas. */
static const struct option {
    const char *symbol; /* of net/optimizer.h */
    enum optimizer_field field;
    const char *torch, *keras;
} options[] = {
    {"mu", OPTIMIZER_MOMENTUM, "momentum", "momentum"},
    {"rho", OPTIMIZER_RHO, "rho", "rho"},
    {"eps", OPTIMIZER_EPSILON, "eps", "epsilon"},
};

static bool rate_varies(const struct job *job)
{
    struct schedule schedule;
    struct error error;
    CHECK(!job_schedule(job, &schedule, &error)); /* the voice's check has read it */
    return schedule.kind != SCHEDULE_CONSTANT || schedule.warmup > 1;
}

/* Whether both meanings are one formula with these options. PyTorch's momentum does not hold the
 * learning rate, Keras's does, so that they part when it changes. */
static bool is_alike(const struct job *job)
{
    const struct optimizer *o = &job->optimizer;
    if (o->type != OPTIMIZER_SGD && o->type != OPTIMIZER_ADADELTA) return false;
    return o->weight_decay == 0 && !(o->momentum > 0 && rate_varies(job));
}

static enum optimizer_clip clip_of(const struct job *job, double *bound)
{
    return optimizer_clip(&job->optimizer, bound);
}

static bool clips(const struct job *job)
{
    double bound;
    return clip_of(job, &bound) != OPTIMIZER_CLIP_NONE;
}

/* Whether Keras's own arguments do not clip as the run does: PyTorch's norm has a number added. */
static bool keras_clips_itself(const struct job *job)
{
    double bound;
    return clip_of(job, &bound) > OPTIMIZER_CLIP_VALUES &&
           job->optimizer.meaning == MEANING_PYTORCH;
}

static bool torch_has_it(const struct job *job)
{
    return job->optimizer.meaning == MEANING_PYTORCH || is_alike(job);
}

bool keras_decays_by_layers(const struct code_subject *subject)
{
    const struct job *job = subject->job;
    const struct optimizer *o = &job->optimizer;
    bool plain = job->label_smoothing == 0 && !job->class_weight[0] && !clips(job);
    return o->type == OPTIMIZER_SGD && o->meaning == MEANING_PYTORCH && o->weight_decay > 0 &&
           plain && !network_is_penalized(&subject->network) &&
           !(o->momentum > 0 && rate_varies(job));
}

bool keras_has_class(const struct code_subject *subject)
{
    const struct job *job = subject->job;
    return job->optimizer.meaning != MEANING_KERAS && !keras_decays_by_layers(subject) &&
           (!is_alike(job) || keras_clips_itself(job));
}

/* "Nadam": Keras writes some names its own way. */
static const char *keras_class(enum optimizer_type type)
{
    return type == OPTIMIZER_NADAM ? "Nadam" : optimizer_type_title(type);
}

static const char *class_prefix(enum meaning meaning)
{
    return meaning == MEANING_KERAS ? "Keras" : "PyTorch";
}

/* Both frameworks call them the same. */
static void add_flags(struct code_arguments *arguments, const struct optimizer *o)
{
    if (o->nesterov) code_argument(arguments, "nesterov=True");
    if (o->amsgrad) code_argument(arguments, "amsgrad=True");
    if (o->centered) code_argument(arguments, "centered=True");
}

struct code_arguments torch_optimizer_call(const struct job *job)
{
    const struct optimizer *o = &job->optimizer;
    struct code_arguments a = {""}, call = {""};
    code_argument(&a, "model.parameters()");
    code_argument(&a, "lr=%s", code_real(o->learning_rate));
    if (!torch_has_it(job)) {
        snprintf(call.text, sizeof call.text, "%s%s(%.400s)", class_prefix(o->meaning),
                 keras_class(o->type), a.text);
        return call;
    }
    if (optimizer_has(o->type, OPTIMIZER_BETAS) && (o->beta1 != 0.9 || o->beta2 != 0.999))
        code_argument(&a, "betas=(%s, %s)", code_real(o->beta1), code_real(o->beta2));
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        double value = optimizer_symbol(o, options[i].symbol);
        struct optimizer usual;
        optimizer_defaults(o->type, MEANING_PYTORCH, &usual);
        if (!optimizer_has(o->type, options[i].field) ||
            value == optimizer_symbol(&usual, options[i].symbol))
            continue;
        bool alpha = o->type == OPTIMIZER_RMSPROP && strcmp(options[i].symbol, "rho") == 0;
        code_argument(&a, "%s=%s", alpha ? "alpha" : options[i].torch, code_real(value));
    }
    if (o->weight_decay > 0 || o->type == OPTIMIZER_ADAMW)
        code_argument(&a, "weight_decay=%s", code_real(o->weight_decay));
    add_flags(&a, o);
    snprintf(call.text, sizeof call.text, "torch.optim.%s(%.400s)", optimizer_type_title(o->type),
             a.text);
    return call;
}

/* Adadelta multiplies its variables by rho from the left, which a number of NumPy's cannot do in a
 * graph. */
static const char *keras_number(const struct job *job, double value)
{
    return code_keras_real(value, job->dtype == DTYPE_FLOAT64);
}

/* Keras's optimizers clip by themselves, classes of ours included. */
static void add_clip(const struct job *job, struct code_arguments *a)
{
    static const char *const names[] = {[OPTIMIZER_CLIP_VALUES] = "clipvalue",
                                        [OPTIMIZER_CLIP_EACH] = "clipnorm",
                                        [OPTIMIZER_CLIP_ALL] = "global_clipnorm"};
    double bound;
    enum optimizer_clip clip = clip_of(job, &bound);
    if (clip != OPTIMIZER_CLIP_NONE && !keras_clips_itself(job))
        code_argument(a, "%s=%s", names[clip], keras_number(job, bound));
}

struct code_arguments keras_optimizer_call(const struct code_subject *subject)
{
    const struct job *job = subject->job;
    const struct optimizer *o = &job->optimizer;
    const char *schedule = keras_schedule_name(subject);
    struct code_arguments a = {""}, call = {""};
    code_argument(&a, "learning_rate=%s",
                  schedule[0] ? schedule : keras_number(job, o->learning_rate));
    if (keras_has_class(subject) && !is_alike(job)) {
        add_clip(job, &a);
        snprintf(call.text, sizeof call.text, "%s%s(%.400s)", class_prefix(o->meaning),
                 optimizer_type_title(o->type), a.text);
        return call;
    }
    bool exact = job->dtype == DTYPE_FLOAT64; /* defaults are rounded, too */
    struct optimizer usual;
    optimizer_defaults(o->type, MEANING_KERAS, &usual);
    if (optimizer_has(o->type, OPTIMIZER_BETAS) &&
        (exact || o->beta1 != usual.beta1 || o->beta2 != usual.beta2)) {
        code_argument(&a, "beta_1=%s", keras_number(job, o->beta1));
        code_argument(&a, "beta_2=%s", keras_number(job, o->beta2));
    }
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        double value = optimizer_symbol(o, options[i].symbol);
        bool same = value == optimizer_symbol(&usual, options[i].symbol);
        if (optimizer_has(o->type, options[i].field) && (!same || (exact && value != 0)))
            code_argument(&a, "%s=%s", options[i].keras,
                          o->type == OPTIMIZER_ADADELTA && options[i].field == OPTIMIZER_RHO
                              ? code_real(value)
                              : keras_number(job, value));
    }
    if (!keras_decays_by_layers(subject) && (o->weight_decay > 0 || o->type == OPTIMIZER_ADAMW))
        code_argument(&a, "weight_decay=%s", keras_number(job, o->weight_decay));
    add_flags(&a, o);
    add_clip(job, &a);
    snprintf(call.text, sizeof call.text, "%s%s(%.400s)",
             keras_has_class(subject) ? class_prefix(MEANING_PYTORCH) : "keras.optimizers.",
             keras_class(o->type), a.text);
    return call;
}

/* --- a class of the formula ------------------------------------------------------------------- */

#define FORMULA_LINE 160

static bool is_letter(char sign)
{
    return (sign >= 'a' && sign <= 'z') || sign == '_' || (sign >= '0' && sign <= '9');
}

/* A line of the formula as Python: "^" is "**", and max is the framework's own. */
static void translate(const char *line, size_t length, const char *maximum, char out[FORMULA_LINE])
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        bool begins = i == 0 || !is_letter(line[i - 1]);
        const char *said = (char[]){line[i], '\0'};
        if (line[i] == '^') said = "**";
        if (begins && strncmp(line + i, "max(", 4) == 0) said = maximum, i += 2;
        used += (size_t)snprintf(out + used, FORMULA_LINE - used, "%s", said);
        CHECK(used < FORMULA_LINE);
    }
}

static bool names_word(const char *line, size_t length, const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i + size <= length; i++)
        if (strncmp(line + i, word, size) == 0 && (i == 0 || !is_letter(line[i - 1])) &&
            (i + size == length || !is_letter(line[i + size])))
            return true;
    return false;
}

static bool formula_names(const struct optimizer *o, const char *word)
{
    const char *rest = optimizer_formula_text(o), *line;
    size_t length;
    while (optimizer_formula_line(o, &rest, &line, &length))
        if (names_word(line, length, word)) return true;
    return false;
}

/* "beta1, eps = 0.9, 1e-08": the numbers that the formula has, but the learning rate. */
static void write_numbers(const struct optimizer *o, const char *indent, struct code_text *out)
{
    struct code_arguments names = {""}, values = {""};
    const char *symbol;
    for (size_t i = 0; (symbol = optimizer_symbol_name(i)); i++) {
        if (strcmp(symbol, "lr") == 0 || !formula_names(o, symbol)) continue;
        code_argument(&names, "%s", symbol);
        code_argument(&values, "%s", code_real(optimizer_symbol(o, symbol)));
    }
    if (names.text[0]) code_line(out, "optimizer", "%s%s = %s", indent, names.text, values.text);
}

static void write_formula(const struct optimizer *o, const char *maximum, const char *indent,
                          struct code_text *out)
{
    const char *rest = optimizer_formula_text(o), *line;
    size_t length;
    char python[FORMULA_LINE];
    while (optimizer_formula_line(o, &rest, &line, &length)) {
        translate(line, length, maximum, python);
        code_line(out, "optimizer", "%s%s", indent, python);
    }
}

static void write_square_root(const struct optimizer *o, struct code_text *out)
{
    if (!formula_names(o, "sqrt")) return;
    code_blank(out, 2);
    code_line(out, "optimizer", "def sqrt(x):");
    code_line(out, "optimizer", "    return x**0.5  # of a tensor or a number");
}

static void write_head(const char *class, const char *base, const char *whose, const char *other,
                       struct code_text *out)
{
    code_blank(out, 2);
    code_line(out, "optimizer", "class %s(%s):", class, base);
    code_line(out, "optimizer", "    # what %s computes;", whose);
    code_line(out, "optimizer", "    # %s means another formula by that name", other);
}

void torch_write_optimizer_class(const struct job *job, struct code_text *out)
{
    const struct optimizer *o = &job->optimizer;
    char class[40], whose[60], other[60];
    if (torch_has_it(job)) return;
    snprintf(class, sizeof class, "%s%s", class_prefix(o->meaning), keras_class(o->type));
    snprintf(whose, sizeof whose, "keras.optimizers.%s", keras_class(o->type));
    snprintf(other, sizeof other, "torch.optim.%s", optimizer_type_title(o->type));
    write_square_root(o, out);
    write_head(class, "torch.optim.Optimizer", whose, other, out);
    code_line(out, "optimizer", "    def __init__(self, parameters, lr):");
    code_line(out, "optimizer", "        super().__init__(parameters, {\"lr\": lr})");
    code_line(out, NULL, "%s", "");
    code_line(out, "optimizer", "    @torch.no_grad()");
    code_line(out, "optimizer", "    def step(self):");
    code_line(out, "optimizer", "        lr = self.param_groups[0][\"lr\"]");
    write_numbers(o, "        ", out);
    code_line(out, "optimizer", "        for parameter in self.param_groups[0][\"params\"]:");
    code_line(out, "optimizer", "            w, g = parameter, parameter.grad");
    code_line(out, "optimizer", "            state = self.state[parameter]");
    if (formula_names(o, "t"))
        code_line(out, "optimizer", "            t = state[\"t\"] = state.get(\"t\", 0) + 1");
    struct code_arguments kept = {""};
    for (uint32_t i = 0; i < optimizer_slot_count(o); i++) {
        const char *name = optimizer_slot_name(o, i);
        code_line(out, "optimizer", "            %s = state.get(\"%s\", torch.full_like(w, %s))",
                  name, name, code_real(optimizer_slot_start(o, i)));
        code_argument(&kept, "%s=%s", name, name);
    }
    for (uint32_t i = 0; i < optimizer_number_count(o); i++) {
        const char *name = optimizer_number_name(o, i);
        code_line(out, "optimizer", "            %s = state.get(\"%s\", 1.0)", name, name);
        code_argument(&kept, "%s=%s", name, name);
    }
    write_formula(o, "torch.maximum", "            ", out);
    code_line(out, "optimizer", "            parameter.copy_(w)");
    if (kept.text[0]) code_line(out, "optimizer", "            state.update(%s)", kept.text);
    code_blank(out, 2);
}

/* The norm of all gradients, bounded as torch.nn.utils.clip_grad_norm_ does, before the step. */
static void write_apply(const struct job *job, struct code_text *out)
{
    double bound;
    clip_of(job, &bound);
    code_line(out, "clip", "    def apply(self, grads, trainable_variables=None):");
    code_line(out, "clip", "        # as clip_grad_norm_ of PyTorch: of all gradients together,");
    code_line(out, "clip", "        # with 1e-6 that global_clipnorm does not add");
    code_line(out, "clip",
              "        norm = keras.ops.sqrt(sum(keras.ops.sum(g * g) for g in grads))");
    code_line(out, "clip", "        share = keras.ops.minimum(1.0, %s / (norm + 1e-6))",
              code_real(bound));
    code_line(out, "clip",
              "        super().apply([g * share for g in grads], trainable_variables)");
}

/* Keras's own optimizer, whose gradients are bounded as PyTorch does it. */
static void write_clipped(const struct job *job, const char *class, const char *base,
                          struct code_text *out)
{
    code_blank(out, 2);
    code_line(out, "clip", "class %s(%s):", class, base);
    write_apply(job, out);
    code_blank(out, 2);
}

void torch_write_clip(const struct job *job, struct code_text *out)
{
    double bound;
    enum optimizer_clip clip = clip_of(job, &bound);
    const char *text = code_real(bound);
    bool keras = job->optimizer.meaning == MEANING_KERAS;
    if (clip == OPTIMIZER_CLIP_VALUES) {
        code_line(out, "clip", "    nn.utils.clip_grad_value_(model.parameters(), %s)", text);
    } else if (clip != OPTIMIZER_CLIP_NONE && !keras) {
        code_line(out, "clip",
                  "    nn.utils.clip_grad_norm_(model.parameters(), %s)  # of all together", text);
    } else if (clip == OPTIMIZER_CLIP_EACH) {
        code_line(out, "clip", "    for parameter in model.parameters():  # as clipnorm of Keras");
        code_line(out, "clip", "        parameter.grad *= %s / parameter.grad.norm().clamp(min=%s)",
                  text, text);
    } else if (clip == OPTIMIZER_CLIP_ALL) {
        code_line(out, "clip",
                  "    # as global_clipnorm of Keras; clip_grad_norm_ adds 1e-6 to the norm");
        code_line(out, "clip",
                  "    gradients = [parameter.grad for parameter in model.parameters()]");
        code_line(out, "clip", "    norm = nn.utils.get_total_norm(gradients)");
        code_line(out, "clip", "    for gradient in gradients:");
        code_line(out, "clip", "        gradient *= %s / norm.clamp(min=%s)", text, text);
    }
}

void keras_write_optimizer_class(const struct code_subject *subject, struct code_text *out)
{
    const struct job *job = subject->job;
    const struct optimizer *o = &job->optimizer;
    char class[40], whose[60], other[60];
    if (!keras_has_class(subject)) return;
    snprintf(class, sizeof class, "%s%s", class_prefix(o->meaning), optimizer_type_title(o->type));
    snprintf(whose, sizeof whose, "torch.optim.%s", optimizer_type_title(o->type));
    snprintf(other, sizeof other, "keras.optimizers.%s", keras_class(o->type));
    if (is_alike(job)) {
        write_clipped(job, class, other, out);
        return;
    }
    struct code_arguments names = {""}, quoted = {""};
    for (uint32_t i = 0; i < optimizer_slot_count(o); i++) {
        code_argument(&names, "%s", optimizer_slot_name(o, i));
        code_argument(&quoted, "\"%s\"", optimizer_slot_name(o, i));
    }
    for (uint32_t i = 0; i < optimizer_number_count(o); i++)
        code_argument(&names, "%s", optimizer_number_name(o, i));
    bool several = optimizer_slot_count(o) + optimizer_number_count(o) > 1;
    write_square_root(o, out);
    write_head(class, "keras.optimizers.Optimizer", whose, other, out);
    if (names.text[0]) {
        code_line(out, "optimizer", "    def build(self, variables):");
        code_line(out, "optimizer", "        super().build(variables)");
        code_line(out, "optimizer", "        self.slots = [");
        code_line(out, "optimizer",
                  "            [self.add_variable_from_reference(v, name) for name in [%s]]",
                  quoted.text);
        for (uint32_t i = 0; i < optimizer_number_count(o); i++)
            code_line(out, "optimizer",
                      "            + [self.add_variable((), \"ones\", v.dtype, name=f\"%s_{i}\")]",
                      optimizer_number_name(o, i));
        code_line(out, "optimizer", "            for i, v in enumerate(variables)");
        code_line(out, "optimizer", "        ]");
        code_line(out, NULL, "%s", "");
    }
    if (keras_clips_itself(job)) {
        write_apply(job, out);
        code_line(out, NULL, "%s", "");
    }
    code_line(out, "optimizer", "    def update_step(self, g, variable, learning_rate):");
    code_line(out, "optimizer", "        w = keras.ops.convert_to_tensor(variable)");
    code_line(out, "optimizer", "        lr = keras.ops.cast(learning_rate, w.dtype)");
    if (formula_names(o, "t"))
        code_line(out, "optimizer", "        t = keras.ops.cast(self.iterations + 1, w.dtype)");
    write_numbers(o, "        ", out);
    if (names.text[0]) {
        code_line(out, "optimizer",
                  "        slots = self.slots[self._get_variable_index(variable)]");
        code_line(out, "optimizer", "        %s%s = map(keras.ops.convert_to_tensor, slots)",
                  names.text, several ? "" : ",");
    }
    write_formula(o, "keras.ops.maximum", "        ", out);
    if (names.text[0]) {
        code_line(out, "optimizer", "        for slot, value in zip(slots, (%s%s)):", names.text,
                  several ? "" : ",");
        code_line(out, "optimizer", "            self.assign(slot, value)");
    }
    code_line(out, "optimizer", "        self.assign(variable, w)");
    code_blank(out, 2);
}
