#include "diff/kinds.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows are paired by looking at all of them: past so many, they are not. */
#define ROWS_MAX 4096

static const struct {
    const char *name, *words;
} kinds[DIFF_KIND_COUNT] = {
    [DIFF_EQUAL] = {"equal", "equal"},
    [DIFF_RESHAPED] = {"reshaped", "another shape"},
    [DIFF_NOT_FINITE] = {"not_finite", "values that are not finite"},
    [DIFF_FLOAT16_B] = {"float16", "B holds the values of A rounded to float16"},
    [DIFF_FLOAT16_A] = {"float16", "A holds the values of B rounded to float16"},
    [DIFF_BFLOAT16_B] = {"bfloat16", "B holds the values of A rounded to bfloat16"},
    [DIFF_BFLOAT16_A] = {"bfloat16", "A holds the values of B rounded to bfloat16"},
    [DIFF_ROUNDING] = {"rounding", "equal but for rounding"},
    [DIFF_ZERO] = {"zero", "all zero in one of the two"},
    [DIFF_TRANSPOSED] = {"transposed", "transposed: rows and columns are exchanged"},
    [DIFF_KERNEL_TRANSPOSED] = {"kernel_transposed", "the kernel's rows and columns are exchanged"},
    [DIFF_KERNEL_FLIPPED] = {"kernel_flipped",
                             "the kernel is turned by 180 degrees: convolution instead of "
                             "cross-correlation"},
    [DIFF_FLATTEN_ORDER] = {"flatten_order",
                            "the inputs stand in another Flatten order: channels first in one, "
                            "channels last in the other"},
    [DIFF_ROWS] = {"outputs_reordered", "the same outputs in another order"},
    [DIFF_COLUMNS] = {"inputs_reordered", "the same inputs in another order"},
    [DIFF_SCALED] = {"scaled", "multiplied by one factor"},
    [DIFF_SHIFTED] = {"shifted", "one number is added to every value"},
    [DIFF_FEW] = {"few_values", "all values equal but a few"},
    [DIFF_CHANGED] = {"changed", "other values"},
    [DIFF_SWAPPED] = {"swapped", "exchanged with one another"},
};

const char *diff_kind_name(enum diff_kind kind)
{
    return kinds[kind].name;
}

const char *diff_kind_words(enum diff_kind kind)
{
    return kinds[kind].words;
}

bool diff_kind_is_same(enum diff_kind kind)
{
    return kind == DIFF_EQUAL || kind == DIFF_ROUNDING;
}

/* Two tensors while they are compared: their values by a common index. */
struct compared_values {
    const struct diff_pair *pair;
    bool narrow;      /* the coarser dtype is float32 */
    double tolerance; /* up to which two values are equal but for rounding */
    double factor;
};

static double value_at(const struct compared_values *values, int side, size_t index)
{
    return tensor_get(values->pair->parameters[side], values->pair->tensors[side], index);
}

static double narrowed(const struct compared_values *values, int side, size_t index)
{
    double value = value_at(values, side, index);
    return values->narrow ? (double)(float)value : value;
}

/* `value` with so many binary digits, as formats of 16 bits keep it; ties to even. */
static double rounded(double value, int digits, int least_exponent, double most)
{
    if (value == 0 || !isfinite(value)) return value;
    int exponent = ilogb(value);
    double step = ldexp(1, (exponent > least_exponent ? exponent : least_exponent) - digits + 1);
    double result = rint(value / step) * step;
    return fabs(result) > most ? copysign((double)INFINITY, value) : result;
}

static double to_float16(double value)
{
    return rounded(value, 11, -14, 65504);
}

static double to_bfloat16(double value)
{
    return rounded(value, 8, -126, FLT_MAX);
}

/* Whether `side` holds the other's values, rounded by `round`. */
static bool is_rounded(const struct compared_values *values, int side, double (*round)(double))
{
    for (size_t i = 0; i < values->pair->tensors[0]->count; i++)
        if (value_at(values, side, i) != round(narrowed(values, !side, i))) return false;
    return true;
}

static bool float16_b(struct compared_values *values)
{
    return is_rounded(values, 1, to_float16);
}

static bool float16_a(struct compared_values *values)
{
    return is_rounded(values, 0, to_float16);
}

static bool bfloat16_b(struct compared_values *values)
{
    return is_rounded(values, 1, to_bfloat16);
}

static bool bfloat16_a(struct compared_values *values)
{
    return is_rounded(values, 0, to_bfloat16);
}

static bool near(const struct compared_values *values, size_t a, size_t b)
{
    return fabs(value_at(values, 0, a) - value_at(values, 1, b)) <= values->tolerance;
}

static bool all_zero(const struct compared_values *values, int side)
{
    for (size_t i = 0; i < values->pair->tensors[side]->count; i++)
        if (value_at(values, side, i) != 0) return false;
    return true;
}

static bool zero(struct compared_values *values)
{
    return all_zero(values, 0) || all_zero(values, 1);
}

/* --- the same values in other places ---------------------------------------------------------- */

/* Goes through A in order; B's axis order[k] is A's axis k, turned around where `flip` says so. */
static bool moved(const struct compared_values *values, const size_t sizes[4], const int order[4],
                  const bool flip[4])
{
    size_t there_sizes[4], strides[4], stride = 1, place = 0, at[4] = {0};
    for (int k = 0; k < 4; k++) there_sizes[order[k]] = sizes[k];
    for (int k = 3; k >= 0; k--) {
        strides[k] = stride;
        stride *= there_sizes[k];
    }
    do {
        size_t there = 0;
        for (int k = 0; k < 4; k++)
            there += (flip[k] ? sizes[k] - 1 - at[k] : at[k]) * strides[order[k]];
        if (!near(values, place, there)) return false;
        place++;
        for (int k = 3; k >= 0; k--) {
            if (++at[k] < sizes[k]) break;
            at[k] = 0;
        }
    } while (place < values->pair->tensors[0]->count);
    return true;
}

static const bool not_flipped[4];

static bool transposed(struct compared_values *values)
{
    const struct tensor *a = values->pair->tensors[0], *b = values->pair->tensors[1];
    if (a->rank != 2 || a->shape[0] != b->shape[1] || a->shape[1] != b->shape[0]) return false;
    return moved(values, (const size_t[4]){1, 1, a->shape[0], a->shape[1]},
                 (const int[4]){0, 1, 3, 2}, not_flipped);
}

static bool kernel_transposed(struct compared_values *values)
{
    const struct tensor *a = values->pair->tensors[0];
    if (a->rank != 4 || a->shape[2] != a->shape[3]) return false;
    return moved(values, a->shape, (const int[4]){0, 1, 3, 2}, not_flipped);
}

static bool kernel_flipped(struct compared_values *values)
{
    const struct tensor *a = values->pair->tensors[0];
    if (a->rank != 4) return false;
    return moved(values, a->shape, (const int[4]){0, 1, 2, 3},
                 (const bool[4]){false, false, true, true});
}

/* The maps whose values a dense layer takes as a list; NULL when it takes none. */
static const struct shape *maps_below(const struct network *network, uint32_t layer)
{
    const struct shape *shape = &network->layers[layer].input;
    while (shape->rank == 1 && layer > 0 &&
           network->layers[layer - 1].outputs == network->layers[layer].inputs &&
           !layer_tensors(&network->layers[layer - 1], (struct tensor_spec[LAYER_MAX_TENSORS]){0}))
        shape = &network->layers[--layer].input;
    return shape->rank == 3 ? shape : NULL;
}

static bool flatten_order(struct compared_values *values)
{
    const struct tensor *a = values->pair->tensors[0];
    const struct network *network = values->pair->networks[0];
    if (a->rank != 2 || network->layers[a->layer].type != LAYER_DENSE) return false;
    const struct shape *maps = maps_below(network, a->layer);
    if (!maps || maps->sizes[0] == 1 || shape_values(maps) != a->shape[1]) return false;
    size_t channels = maps->sizes[0], rows = maps->sizes[1], columns = maps->sizes[2];
    /* A's values as channels, rows, columns found as rows, columns, channels, or the reverse. */
    return moved(values, (const size_t[4]){a->shape[0], channels, rows, columns},
                 (const int[4]){0, 3, 1, 2}, not_flipped) ||
           moved(values, (const size_t[4]){a->shape[0], rows, columns, channels},
                 (const int[4]){0, 2, 3, 1}, not_flipped);
}

/* Lines of a tensor: value k of line i stands at i · line + k · step. */
struct lines {
    size_t count, length, line, step;
};

static bool same_line(const struct compared_values *values, const struct lines *lines, size_t a,
                      size_t b)
{
    for (size_t k = 0; k < lines->length; k++)
        if (!near(values, a * lines->line + k * lines->step, b * lines->line + k * lines->step))
            return false;
    return true;
}

/* Each line of A has one of B for its own. */
static bool reordered(const struct compared_values *values, const struct lines *lines)
{
    bool taken[ROWS_MAX] = {false};
    if (lines->count < 2 || lines->count > ROWS_MAX) return false;
    for (size_t a = 0; a < lines->count; a++) {
        size_t b = 0;
        while (b < lines->count && (taken[b] || !same_line(values, lines, a, b))) b++;
        if (b == lines->count) return false;
        taken[b] = true;
    }
    return true;
}

static bool rows_reordered(struct compared_values *values)
{
    const struct tensor *a = values->pair->tensors[0];
    size_t rows = a->shape[0], length = a->count / rows;
    return reordered(values, &(struct lines){rows, length, length, 1});
}

static bool columns_reordered(struct compared_values *values)
{
    const struct tensor *a = values->pair->tensors[0];
    if (a->rank != 2) return false;
    return reordered(values, &(struct lines){a->shape[1], a->shape[0], 1, a->shape[1]});
}

/* --- other values ----------------------------------------------------------------------------- */

/* The place of A's largest magnitude. */
static size_t largest(const struct compared_values *values)
{
    size_t at = 0;
    for (size_t i = 1; i < values->pair->tensors[0]->count; i++)
        if (fabs(value_at(values, 0, i)) > fabs(value_at(values, 0, at))) at = i;
    return at;
}

/* Of a few values, a factor explains anything. */
#define FEW_VALUES 3

static bool scaled(struct compared_values *values)
{
    size_t count = values->pair->tensors[0]->count, at = largest(values);
    if (count < FEW_VALUES || value_at(values, 0, at) == 0) return false;
    values->factor = value_at(values, 1, at) / value_at(values, 0, at);
    for (size_t i = 0; i < count; i++)
        if (fabs(value_at(values, 0, i) * values->factor - value_at(values, 1, i)) >
            values->tolerance * fmax(1, fabs(values->factor)))
            return false;
    return true;
}

static bool shifted(struct compared_values *values)
{
    size_t count = values->pair->tensors[0]->count;
    if (count < FEW_VALUES) return false;
    values->factor = value_at(values, 1, 0) - value_at(values, 0, 0);
    for (size_t i = 0; i < count; i++)
        if (fabs(value_at(values, 0, i) + values->factor - value_at(values, 1, i)) >
            values->tolerance)
            return false;
    return true;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Relative to the tensor's largest magnitude. Trainings that differ by rounding alone end within
 * `apart`; where nearly all values are equal to the bit, the others are rounding within
 * `single`. */
static const struct {
    double apart, single;
} precision[] = {[DTYPE_FLOAT32] = {1e-5, 1e-6}, [DTYPE_FLOAT64] = {1e-9, 1e-12}};

static void measure(const struct compared_values *values, struct diff_tensor *out)
{
    size_t count = values->pair->tensors[0]->count;
    double sum = 0;
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        double a = narrowed(values, 0, i), b = narrowed(values, 1, i), away = fabs(a - b);
        if (!isfinite(a) || !isfinite(b)) {
            if (a == b || (isnan(a) && isnan(b))) continue;
            finite = false;
            away = (double)INFINITY;
        }
        out->scale = fmax(out->scale, fmax(fabs(a), fabs(b)));
        out->differing += a != b;
        sum += away;
        if (away > out->max_abs) {
            out->max_abs = away;
            out->at = i;
        }
    }
    out->mean_abs = sum / (double)count;
    if (!finite) out->kind = DIFF_NOT_FINITE;
}

static bool few(const struct diff_tensor *measured, size_t count)
{
    return measured->differing <= 1 + count / 1000 && measured->differing * 3 < count;
}

/* The kinds that are about where values stand, or what was done to all of them. */
static const struct {
    enum diff_kind kind;
    bool (*explains)(struct compared_values *values);
} explanations[] =
    {
        {DIFF_ZERO, zero},
        {DIFF_TRANSPOSED, transposed},
        {DIFF_KERNEL_TRANSPOSED, kernel_transposed},
        {DIFF_KERNEL_FLIPPED, kernel_flipped},
        {DIFF_FLATTEN_ORDER, flatten_order},
        {DIFF_ROWS, rows_reordered},
        {DIFF_COLUMNS, columns_reordered},
        {DIFF_SCALED, scaled},
        {DIFF_SHIFTED, shifted},
},
  halves[] = {
      {DIFF_FLOAT16_B, float16_b},
      {DIFF_FLOAT16_A, float16_a},
      {DIFF_BFLOAT16_B, bfloat16_b},
      {DIFF_BFLOAT16_A, bfloat16_a},
};

static enum diff_kind explain(struct compared_values *values, const struct diff_tensor *measured)
{
    enum dtype dtype = values->narrow ? DTYPE_FLOAT32 : DTYPE_FLOAT64;
    size_t count = values->pair->tensors[0]->count;
    bool some = few(measured, count);
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++)
        if (halves[i].explains(values)) return halves[i].kind;
    if (measured->max_abs <=
        (some ? precision[dtype].single : precision[dtype].apart) * measured->scale)
        return DIFF_ROUNDING;
    for (size_t i = 0; i < sizeof explanations / sizeof *explanations; i++)
        if (explanations[i].explains(values)) return explanations[i].kind;
    return some ? DIFF_FEW : DIFF_CHANGED;
}

static struct compared_values begin(const struct diff_pair *pair)
{
    return (struct compared_values){.pair = pair,
                                    .narrow = pair->parameters[0]->dtype == DTYPE_FLOAT32 ||
                                              pair->parameters[1]->dtype == DTYPE_FLOAT32};
}

void diff_compare_tensors(const struct diff_pair *pair, struct diff_tensor *out)
{
    struct compared_values values = begin(pair);
    *out = (struct diff_tensor){0};
    if (!tensors_shaped_alike(pair->tensors[0], pair->tensors[1])) {
        out->kind = transposed(&values) ? DIFF_TRANSPOSED : DIFF_RESHAPED;
        return;
    }
    measure(&values, out);
    if (out->kind == DIFF_NOT_FINITE || !out->differing) return;
    values.tolerance = precision[values.narrow ? DTYPE_FLOAT32 : DTYPE_FLOAT64].single * out->scale;
    out->kind = explain(&values, out);
    out->factor = values.factor;
}

bool diff_tensors_match(const struct parameters *of_a, const struct tensor *a,
                        const struct parameters *of_b, const struct tensor *b)
{
    const struct diff_pair pair = {.parameters = {of_a, of_b}, .tensors = {a, b}};
    struct compared_values values = begin(&pair);
    struct diff_tensor measured = {0};
    if (!tensors_shaped_alike(a, b)) return false;
    measure(&values, &measured);
    return measured.kind != DIFF_NOT_FINITE &&
           measured.max_abs <=
               precision[values.narrow ? DTYPE_FLOAT32 : DTYPE_FLOAT64].single * measured.scale;
}

json_t *diff_place(uint32_t rank, const size_t *shape, size_t index)
{
    json_t *place = json_array();
    for (uint32_t d = rank; d-- > 0; index /= shape[d])
        json_array_insert_new(place, 0, json_integer((json_int_t)(index % shape[d])));
    return place;
}
