/* Compiled once for each dtype and kind of processor; see kernels.h and meson.build:
 *   NATIVE_TABLE         the name of the table defined here
 *   NATIVE_TITLE         its name for users
 *   NATIVE_FLOAT64       1 for double, 0 for float
 *   NATIVE_VECTOR_BYTES  16, 32 or 64
 *   NATIVE_REGISTERS     how many vectors the processor holds */
#include "engine/native/kernels.h"

#include <string.h>

#include "base/error.h"
#include "engine/native/samples.h"
#include "engine/native/vector.h"

/* ---- the optimizer, one row at a time ---- */

/* Hands `width` vectors of gradient at `at` (counted from the target's first value) to the
 * optimizer. */
INLINE void apply(const struct native_target *target, const struct native_update *u, size_t at,
                  const vec *gradient, size_t width)
{
    real *w = (real *)target->values + at;
    if (target->gradient) UNROLL
    for (size_t v = 0; v < width; v++)
        store((real *)target->gradient + at + v * LANES, gradient[v]);
    vec decay = splat((real)u->weight_decay);
    if (u->type == OPTIMIZER_ADAM) {
        real *first = (real *)target->slots[0] + at, *second = (real *)target->slots[1] + at;
        vec beta1 = splat((real)u->beta1), rest1 = splat((real)(1 - u->beta1));
        vec beta2 = splat((real)u->beta2), rest2 = splat((real)(1 - u->beta2));
        vec size = splat((real)u->step_size), root = splat((real)u->root_scale),
            epsilon = splat((real)u->epsilon);
        UNROLL
        for (size_t v = 0; v < width; v++) {
            vec old = load(w + v * LANES), g = gradient[v] + decay * old;
            vec m = beta1 * load(first + v * LANES) + rest1 * g;
            vec s = beta2 * load(second + v * LANES) + rest2 * (g * g);
            store(first + v * LANES, m);
            store(second + v * LANES, s);
            store(w + v * LANES, old - size * m / (square_root(s) * root + epsilon));
        }
        return;
    }
    vec rate = splat((real)u->learning_rate);
    if (target->slots[0]) {
        real *velocity = (real *)target->slots[0] + at;
        vec momentum = splat((real)u->momentum);
        UNROLL
        for (size_t v = 0; v < width; v++) {
            vec old = load(w + v * LANES), g = gradient[v] + decay * old;
            vec speed = momentum * load(velocity + v * LANES) + g;
            store(velocity + v * LANES, speed);
            store(w + v * LANES, old - rate * speed);
        }
        return;
    }
    UNROLL
    for (size_t v = 0; v < width; v++) {
        vec old = load(w + v * LANES);
        store(w + v * LANES, old - rate * (gradient[v] + decay * old));
    }
}

/* ---- tiles: the widest first, so that as much as possible stays in registers ---- */

/* Calls FUNCTION(width, column, …) over `columns`, in tiles of 4 vectors, then of fewer. */
#define FOR_TILES(columns, FUNCTION, ...)                                                        \
    do {                                                                                         \
        size_t column_ = 0, columns_ = (columns);                                                \
        for (; columns_ - column_ >= 4 * LANES; column_ += 4 * LANES)                            \
            FUNCTION(4, column_, __VA_ARGS__);                                                   \
        for (; columns_ - column_ >= 2 * LANES; column_ += 2 * LANES)                            \
            FUNCTION(2, column_, __VA_ARGS__);                                                   \
        for (; columns_ - column_ >= LANES; column_ += LANES) FUNCTION(1, column_, __VA_ARGS__); \
    } while (0)

/* ---- the first layer on blocks of samples sorted by quad ---- */

/* Vectors across: a quad's weights fill half of the registers. */
#define PANEL (NATIVE_REGISTERS / 8)

INLINE void spread(uint64_t entry, const real *table, vec x[QUAD])
{
    UNROLL
    for (size_t q = 0; q < QUAD; q++) x[q] = splat(table[(entry >> (8 * q)) & 255]);
}

/* A quad's weights stay in registers while the samples that have it pass. */
INLINE void forward_panel(size_t width, const struct native_sparse *block,
                          const struct native_target *weight, const real *bias, real *z,
                          size_t z_stride)
{
    for (size_t row = 0; row < block->rows; row++) UNROLL
    for (size_t v = 0; v < width; v++)
        store(z + row * z_stride + v * LANES, load(bias + v * LANES));
    for (size_t quad = 0; quad < block->quads; quad++) {
        const uint64_t *entry = block->entries + quad * BLOCK_ROWS,
                       *end = entry + block->counts[quad];
        const real *values = (const real *)weight->values + quad * QUAD * weight->stride;
        if (entry == end) continue;
        vec w[QUAD][PANEL];
        UNROLL
        for (size_t q = 0; q < QUAD; q++) UNROLL
        for (size_t v = 0; v < width; v++) w[q][v] = load(values + q * weight->stride + v * LANES);
        for (; entry < end; entry++) {
            real *sums = z + (*entry >> 32) * z_stride;
            vec x[QUAD];
            spread(*entry, block->table, x);
            UNROLL
            for (size_t v = 0; v < width; v++) {
                vec left = load(sums + v * LANES) + x[0] * w[0][v] + x[1] * w[1][v];
                vec right = x[2] * w[2][v] + x[3] * w[3][v];
                store(sums + v * LANES, left + right);
            }
        }
    }
}

INLINE void backward_panel(size_t width, const struct native_sparse *block,
                           const struct native_matrix *delta, real *kept, bool first, bool last,
                           const struct native_target *weight, const struct native_update *update)
{
    /* A weight whose gradient is zero stays as it is under plain gradient descent only. */
    bool skips = first && last && !weight->slots[0] && update->weight_decay == 0 &&
                 !weight->gradient;
    for (size_t quad = 0; quad < block->quads; quad++) {
        const uint64_t *entry = block->entries + quad * BLOCK_ROWS,
                       *end = entry + block->counts[quad];
        size_t at = quad * QUAD * weight->stride;
        if (entry == end && skips) continue;
        vec sums[QUAD][PANEL];
        UNROLL
        for (size_t q = 0; q < QUAD; q++) UNROLL
        for (size_t v = 0; v < width; v++)
            sums[q][v] = first ? (vec){0} : load(kept + at + q * weight->stride + v * LANES);
        for (; entry < end; entry++) {
            const real *line = (const real *)delta->values + (*entry >> 32) * delta->stride;
            vec x[QUAD];
            spread(*entry, block->table, x);
            UNROLL
            for (size_t v = 0; v < width; v++) {
                vec d = load(line + v * LANES);
                UNROLL
                for (size_t q = 0; q < QUAD; q++) sums[q][v] += x[q] * d;
            }
        }
        UNROLL
        for (size_t q = 0; q < QUAD; q++) {
            if (last)
                apply(weight, update, at + q * weight->stride, sums[q], width);
            else
                UNROLL
            for (size_t v = 0; v < width; v++)
                store(kept + at + q * weight->stride + v * LANES, sums[q][v]);
        }
    }
}

static void sparse_forward(const struct native_sparse *block, const struct native_target *weight,
                           const void *bias, void *z, size_t z_stride)
{
    CHECK(weight->columns >= LANES && weight->columns <= PANEL * LANES);
    switch (weight->columns / LANES) {
    case 1:
        forward_panel(1, block, weight, bias, z, z_stride);
        break;
    case 2:
        forward_panel(2, block, weight, bias, z, z_stride);
        break;
#if PANEL > 2
    case 3:
        forward_panel(3, block, weight, bias, z, z_stride);
        break;
    case 4:
        forward_panel(4, block, weight, bias, z, z_stride);
        break;
#endif
    }
}

static void sparse_backward(const struct native_sparse *block, const struct native_matrix *delta,
                            void *kept, bool first, bool last, const struct native_target *weight,
                            const struct native_update *update)
{
    CHECK(weight->columns >= LANES && weight->columns <= PANEL * LANES);
    switch (weight->columns / LANES) {
    case 1:
        backward_panel(1, block, delta, kept, first, last, weight, update);
        break;
    case 2:
        backward_panel(2, block, delta, kept, first, last, weight, update);
        break;
#if PANEL > 2
    case 3:
        backward_panel(3, block, delta, kept, first, last, weight, update);
        break;
    case 4:
        backward_panel(4, block, delta, kept, first, last, weight, update);
        break;
#endif
    }
}

/* ---- dense products ---- */

#define DENSE_TILE 4 /* vectors across */
#define DENSE_ROWS (NATIVE_REGISTERS / 8)

INLINE void multiply_tile(size_t height, size_t width, size_t row, size_t column,
                          const struct native_matrix *a, const struct native_matrix *b,
                          size_t inner, real *out, size_t out_stride)
{
    const real *left = (const real *)a->values + row * a->stride,
               *right = (const real *)b->values + column;
    vec sums[DENSE_ROWS][DENSE_TILE];
    UNROLL
    for (size_t r = 0; r < height; r++) UNROLL
    for (size_t v = 0; v < width; v++) sums[r][v] = (vec){0};
    for (size_t k = 0; k < inner; k++) {
        vec line[DENSE_TILE];
        UNROLL
        for (size_t v = 0; v < width; v++) line[v] = load(right + k * b->stride + v * LANES);
        UNROLL
        for (size_t r = 0; r < height; r++) {
            vec x = splat(left[r * a->stride + k]);
            UNROLL
            for (size_t v = 0; v < width; v++) sums[r][v] += x * line[v];
        }
    }
    UNROLL
    for (size_t r = 0; r < height; r++) UNROLL
    for (size_t v = 0; v < width; v++)
        store(out + (row + r) * out_stride + column + v * LANES, sums[r][v]);
}

INLINE void multiply_column(size_t width, size_t column, const struct native_matrix *a,
                            const struct native_matrix *b, size_t rows, size_t inner, real *out,
                            size_t out_stride)
{
    size_t row = 0;
    for (; row + DENSE_ROWS <= rows; row += DENSE_ROWS)
        multiply_tile(DENSE_ROWS, width, row, column, a, b, inner, out, out_stride);
    for (; row < rows; row++) multiply_tile(1, width, row, column, a, b, inner, out, out_stride);
}

static void multiply(const struct native_matrix *a, const struct native_matrix *b, size_t rows,
                     size_t inner, size_t columns, void *out, size_t out_stride)
{
    FOR_TILES(columns, multiply_column, a, b, rows, inner, out, out_stride);
}

INLINE void transposed_tile(size_t height, size_t row, size_t column, const struct native_matrix *a,
                            const struct native_matrix *b, const real *bias, size_t inner,
                            real *out, size_t out_stride)
{
    const real *left = (const real *)a->values + row * a->stride;
    const real *right = (const real *)b->values + column * b->stride;
    vec sums[DENSE_ROWS][NATIVE_COLUMNS];
    UNROLL
    for (size_t r = 0; r < height; r++) UNROLL
    for (size_t c = 0; c < NATIVE_COLUMNS; c++) sums[r][c] = (vec){0};
    for (size_t k = 0; k < inner; k += LANES) {
        vec line[NATIVE_COLUMNS];
        UNROLL
        for (size_t c = 0; c < NATIVE_COLUMNS; c++) line[c] = load(right + c * b->stride + k);
        UNROLL
        for (size_t r = 0; r < height; r++) {
            vec x = load(left + r * a->stride + k);
            UNROLL
            for (size_t c = 0; c < NATIVE_COLUMNS; c++) sums[r][c] += x * line[c];
        }
    }
    UNROLL
    for (size_t r = 0; r < height; r++)
        store_sums(out + (row + r) * out_stride + column, bias + column, sums[r]);
}

static void multiply_transposed(const struct native_matrix *a, const struct native_matrix *b,
                                const void *bias, size_t rows, size_t inner, size_t columns,
                                void *out, size_t out_stride)
{
    for (size_t column = 0; column < columns; column += NATIVE_COLUMNS) {
        size_t row = 0;
        for (; row + DENSE_ROWS <= rows; row += DENSE_ROWS)
            transposed_tile(DENSE_ROWS, row, column, a, b, bias, inner, out, out_stride);
        for (; row < rows; row++)
            transposed_tile(1, row, column, a, b, bias, inner, out, out_stride);
    }
}

INLINE void update_tile(size_t height, size_t width, size_t row, size_t column,
                        const struct native_matrix *a, const struct native_matrix *b, size_t inner,
                        const struct native_target *target, const struct native_update *update)
{
    const real *left = (const real *)a->values + row, *right = (const real *)b->values + column;
    vec sums[DENSE_ROWS][DENSE_TILE];
    UNROLL
    for (size_t r = 0; r < height; r++) UNROLL
    for (size_t v = 0; v < width; v++) sums[r][v] = (vec){0};
    for (size_t m = 0; m < inner; m++) {
        vec line[DENSE_TILE];
        UNROLL
        for (size_t v = 0; v < width; v++) line[v] = load(right + m * b->stride + v * LANES);
        UNROLL
        for (size_t r = 0; r < height; r++) {
            vec x = splat(left[m * a->stride + r]);
            UNROLL
            for (size_t v = 0; v < width; v++) sums[r][v] += x * line[v];
        }
    }
    UNROLL
    for (size_t r = 0; r < height; r++)
        apply(target, update, (row + r) * target->stride + column, sums[r], width);
}

INLINE void update_column(size_t width, size_t column, const struct native_matrix *a,
                          const struct native_matrix *b, size_t rows, size_t inner,
                          const struct native_target *target, const struct native_update *update)
{
    size_t row = 0;
    for (; row + DENSE_ROWS <= rows; row += DENSE_ROWS)
        update_tile(DENSE_ROWS, width, row, column, a, b, inner, target, update);
    for (; row < rows; row++) update_tile(1, width, row, column, a, b, inner, target, update);
}

static void multiply_update(const struct native_matrix *a, const struct native_matrix *b,
                            size_t rows, size_t inner, const struct native_target *target,
                            const struct native_update *update)
{
    FOR_TILES(target->columns, update_column, a, b, rows, inner, target, update);
}

static void bias_update(const struct native_matrix *delta, size_t rows,
                        const struct native_target *target, const struct native_update *update)
{
    for (size_t column = 0; column < target->columns; column += LANES) {
        vec total = {0};
        for (size_t m = 0; m < rows; m++)
            total += load((const real *)delta->values + m * delta->stride + column);
        apply(target, update, column, &total, 1);
    }
}

/* ---- optimizers by their formula ---- */

/* Values at a time: the intermediate ones of all steps stay in the first cache. */
#define FORMULA_VALUES (8 * LANES)

INLINE vec formula_value(enum formula_op op, vec a, vec b)
{
    switch (op) {
    case FORMULA_ADD:
        return a + b;
    case FORMULA_SUBTRACT:
        return a - b;
    case FORMULA_MULTIPLY:
        return a * b;
    case FORMULA_DIVIDE:
        return a / b;
    case FORMULA_MAXIMUM:
        return select_where(a > b, a, b);
    case FORMULA_SQUARE_ROOT:
        return square_root(a);
    case FORMULA_ABSOLUTE:
        return absolute(a);
    case FORMULA_POWER:
        break; /* of numbers alone */
    }
    return a;
}

INLINE void formula_line(enum formula_op op, const real *a, vec a_number, const real *b,
                         vec b_number, real *out, size_t count)
{
    for (size_t i = 0; i < count; i += LANES)
        store(out + i, formula_value(op, a ? load(a + i) : a_number, b ? load(b + i) : b_number));
}

/* One step on some values; a place NULL is a number. */
static void formula_step(enum formula_op op, const real *a, real a_number, const real *b,
                         real b_number, real *out, size_t count)
{
    vec left = splat(a_number), right = splat(b_number);
    switch (op) {
#define CASE(which)                                         \
    case which:                                             \
        formula_line(which, a, left, b, right, out, count); \
        break;
        CASE(FORMULA_ADD)
        CASE(FORMULA_SUBTRACT)
        CASE(FORMULA_MULTIPLY)
        CASE(FORMULA_DIVIDE)
        CASE(FORMULA_MAXIMUM)
        CASE(FORMULA_SQUARE_ROOT)
        CASE(FORMULA_ABSOLUTE)
#undef CASE
    case FORMULA_POWER:
        break;
    }
}

static void by_formula(const struct formula *formula, const double *numbers, void *const tensors[],
                       size_t count)
{
    _Alignas(NATIVE_LINE) real results[FORMULA_MAX_TENSORS][FORMULA_VALUES];
    real *places[FORMULA_MAX_TENSORS];
    for (size_t at = 0, now; at < count; at += now) {
        now = count - at < FORMULA_VALUES ? count - at : FORMULA_VALUES;
        for (uint32_t i = 0; i < formula->tensor_count; i++)
            places[i] = i < formula->tensor_inputs ? (real *)tensors[i] + at : results[i];
        for (uint32_t i = 0; i < formula->tensor_step_count; i++) {
            const struct formula_step *step = &formula->tensor_steps[i];
            const struct formula_place a = step->a, b = step->b;
            formula_step(step->op, a.tensor ? places[a.index] : NULL,
                         a.tensor ? 0 : (real)numbers[a.index], b.tensor ? places[b.index] : NULL,
                         b.tensor ? 0 : (real)numbers[b.index], places[step->result], now);
        }
        /* the gradient has no new value to keep */
        for (uint32_t i = 0; i < formula->tensor_inputs; i++)
            if (i != 1 && formula->new_tensors[i] != i)
                memcpy(places[i], places[formula->new_tensors[i]], now * sizeof(real));
    }
}

/* ---- activations and the loss ---- */

INLINE vec activation_value(enum activation activation, vec z)
{
    switch (activation) {
    /* a NaN stays, as in PyTorch */
    case ACTIVATION_RELU:
        return (vec)((ivec)z & ~(ivec)(z <= (vec){0}));
    case ACTIVATION_TANH:
        return hyperbolic_tangent(z);
    case ACTIVATION_SIGMOID:
        return logistic(z);
    default:
        return z;
    }
}

static void activate(enum activation activation, void *values, size_t stride, size_t rows,
                     size_t columns)
{
    size_t per_line = NATIVE_LINE / sizeof(real),
           whole = (columns + per_line - 1) / per_line * per_line;
    if (activation == ACTIVATION_NONE) return;
    for (size_t m = 0; m < rows; m++) {
        real *row = (real *)values + m * stride;
        for (size_t c = 0; c < whole; c += LANES)
            store(row + c, activation_value(activation, load(row + c)));
        for (size_t c = columns; c < whole; c++) row[c] = 0;
    }
}

static void activate_backward(enum activation activation, const struct native_matrix *output,
                              size_t rows, size_t columns, void *delta, size_t stride)
{
    for (size_t m = 0; m < rows; m++) {
        real *row = (real *)delta + m * stride;
        const real *values = (const real *)output->values + m * output->stride;
        for (size_t c = 0; c < columns; c += LANES) {
            vec d = load(row + c), y = load(values + c);
            if (activation == ACTIVATION_RELU)
                d = (vec)((ivec)d & (ivec)(y > (vec){0}));
            else if (activation == ACTIVATION_TANH)
                d = d * (splat(1) - y * y);
            else if (activation == ACTIVATION_SIGMOID)
                d = d * (y * (splat(1) - y));
            store(row + c, d);
        }
    }
}

static void softmax(const struct native_matrix *logits, const uint8_t *labels,
                    const uint32_t *order, size_t rows, size_t classes, double scale, void *delta,
                    size_t stride, double *losses, uint8_t *correct)
{
    size_t per_line = NATIVE_LINE / sizeof(real),
           whole = (classes + per_line - 1) / per_line * per_line;
    for (size_t m = 0; m < rows; m++) {
        const real *z = (const real *)logits->values + m * logits->stride;
        real *out = (real *)delta + m * stride;
        size_t label = labels[order[m]], best = 0;
        double total = 0;
        for (size_t c = 1; c < classes; c++) best = z[c] > z[best] ? c : best;
        vec top = splat(z[best]);
        for (size_t c = 0; c < whole; c += LANES) store(out + c, exponential(load(z + c) - top));
        for (size_t c = 0; c < classes; c++) total += (double)out[c];
        for (size_t c = classes; c < whole; c++) out[c] = 0;
        vec factor = splat((real)((scale == 0 ? 1 : scale) / total));
        for (size_t c = 0; c < whole; c += LANES) store(out + c, load(out + c) * factor);
        if (scale != 0) out[label] -= (real)scale;
        losses[m] = log(total) + ((double)z[best] - (double)z[label]);
        correct[m] = best == label;
    }
}

const struct native_kernels NATIVE_TABLE;
const struct native_kernels NATIVE_TABLE = {
    .name = NATIVE_TITLE,
    .size = sizeof(real),
    .panel = PANEL * LANES,
    .sparse_forward = sparse_forward,
    .sparse_backward = sparse_backward,
    .multiply = multiply,
    .multiply_transposed = multiply_transposed,
    .multiply_update = multiply_update,
    .bias_update = bias_update,
    .formula = by_formula,
    .activate = activate,
    .activate_backward = activate_backward,
    .softmax = softmax,
};
