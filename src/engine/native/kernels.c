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

#include "engine/native/rule.h"

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

/* ---- the first layer on blocks of samples sorted by tuple ---- */

/* Pixels per tuple. With few registers broadcasting a pixel from memory costs the same wherever it
 * stands, so pairs, which hold fewer zeros; with many a quad's weights stay in them. */
#define TUPLE (NATIVE_REGISTERS < 32 ? 2 : 4)
/* Vectors across: a tuple's weights or gradients fill half of the registers. */
#define TILE (NATIVE_REGISTERS / 2 / TUPLE)
/* A panel is what a sample's sums may take of the registers: half of 16. */
#define PANEL (NATIVE_REGISTERS < 32 ? 8 : TILE)
/* Tuples whose weights stay in the first cache while all samples pass: 32 KB. */
#define FORWARD_TUPLES (32768 / (TUPLE * PANEL * NATIVE_VECTOR_BYTES))

INLINE void spread(uint64_t tuple, const real *table, vec x[TUPLE])
{
    UNROLL
    for (size_t q = 0; q < TUPLE; q++) x[q] = splat(table[(tuple >> (8 * q)) & 255]);
}

#if NATIVE_REGISTERS < 32

/* Sums of samples stay in registers while their tuples pass, some tuples at a time, whose weights
 * stay in the first cache for all samples. */
INLINE void forward_panel(size_t width, const struct native_sparse *block,
                          const struct native_target *weight, const real *bias, real *z,
                          size_t z_stride)
{
    const struct samples *lists = block->lists;
    const uint16_t *index = lists->index;
    const uint8_t *codes = lists->codes;
    const real *table = block->table;
    size_t next[BLOCK_ROWS], end[BLOCK_ROWS];
    for (size_t row = 0; row < block->rows; row++) {
        size_t sample = block->order ? block->order[row] : block->first + row;
        next[row] = lists->start[sample];
        end[row] = lists->start[sample + 1];
        UNROLL
        for (size_t v = 0; v < width; v++)
            store(z + row * z_stride + v * LANES, load(bias + v * LANES));
    }
    for (size_t tuple = 0; tuple < block->tuples; tuple += FORWARD_TUPLES)
        for (size_t row = 0; row < block->rows; row++) {
            size_t k = next[row], stop = end[row];
            real *sums = z + row * z_stride;
            vec sum[PANEL];
            if (k == stop || index[k] >= tuple + FORWARD_TUPLES) continue;
            UNROLL
            for (size_t v = 0; v < width; v++) sum[v] = load(sums + v * LANES);
            do {
                const real *w = (const real *)weight->values +
                                (size_t)index[k] * (TUPLE * width * LANES);
                vec x[TUPLE];
                spread(samples_tuple(codes + k * TUPLE, TUPLE), table, x);
                UNROLL
                for (size_t q = 0; q < TUPLE; q++) UNROLL
                for (size_t v = 0; v < width; v++)
                    sum[v] += x[q] * load(w + (q * width + v) * LANES);
                k++;
            } while (k < stop && index[k] < tuple + FORWARD_TUPLES);
            next[row] = k;
            UNROLL
            for (size_t v = 0; v < width; v++) store(sums + v * LANES, sum[v]);
        }
}

#else

/* The quad's part of a sum. */
INLINE vec quad_sum(vec sum, const vec x[TUPLE], vec w0, vec w1, vec w2, vec w3)
{
    vec left = sum + x[0] * w0 + x[1] * w1, right = x[2] * w2 + x[3] * w3;
    return left + right;
}

/* A quad's weights stay in registers while the samples that have it pass. */
INLINE void forward_panel(size_t width, const struct native_sparse *block,
                          const struct native_target *weight, const real *bias, real *z,
                          size_t z_stride)
{
    for (size_t row = 0; row < block->rows; row++) UNROLL
    for (size_t v = 0; v < width; v++)
        store(z + row * z_stride + v * LANES, load(bias + v * LANES));
    for (size_t tuple = 0; tuple < block->tuples; tuple++) {
        const uint64_t *entry = block->entries + tuple * BLOCK_STRIDE,
                       *end = entry + block->counts[tuple];
        const real *values = (const real *)weight->values + tuple * TUPLE * weight->stride;
        if (entry == end) continue;
        vec w[TUPLE][TILE];
        UNROLL
        for (size_t q = 0; q < TUPLE; q++) UNROLL
        for (size_t v = 0; v < width; v++) w[q][v] = load(values + q * weight->stride + v * LANES);
        for (; entry < end; entry++) {
            real *sums = z + (*entry >> 32) * z_stride;
            vec x[TUPLE];
            spread(*entry, block->table, x);
            UNROLL
            for (size_t v = 0; v < width; v++)
                store(sums + v * LANES,
                      quad_sum(load(sums + v * LANES), x, w[0][v], w[1][v], w[2][v], w[3][v]));
        }
    }
}

#endif

/* A tuple's entries, read once for all tiles of a panel. */
struct decoded {
    size_t count;
    real x[BLOCK_ROWS][TUPLE];
    const real *line[BLOCK_ROWS];
};

INLINE void add_products(size_t width, const vec x[TUPLE], const real *line, vec sums[TUPLE][TILE])
{
    UNROLL
    for (size_t v = 0; v < width; v++) {
        vec d = load(line + v * LANES);
        UNROLL
        for (size_t q = 0; q < TUPLE; q++) sums[q][v] += x[q] * d;
    }
}

/* What a panel's backward pass works on: copies, which no store can change. */
struct sweep {
    struct native_sparse block;
    struct native_matrix delta;
    struct native_target weight;
    struct rule rule;
    real *kept;
    bool first, last;
    bool skips; /* a tuple that nobody has */
};

INLINE struct sweep sweep_of(const struct native_sparse *block, const struct native_matrix *delta,
                             void *kept, bool first, bool last, const struct native_target *weight,
                             const struct native_update *update)
{
    return (struct sweep){
        .block = *block,
        .delta = *delta,
        .weight = *weight,
        .rule = rule_of(update),
        .kept = kept,
        .first = first,
        .last = last,
        /* A weight whose gradient is zero stays as it is under plain gradient descent only. */
        .skips = first && last && !weight->slots[0] && update->weight_decay == 0 &&
                 !weight->gradient,
    };
}

/* The gradient of a tuple's weights in `width` vectors of columns from `column` on; `decoded` NULL:
 * from the entries as they are. */
INLINE void tuple_gradient(size_t width, const struct sweep *sweep, size_t tuple,
                           const struct decoded *decoded, size_t column, vec sums[TUPLE][TILE])
{
    const struct native_sparse *block = &sweep->block;
    vec x[TUPLE];
    if (decoded) {
        for (size_t e = 0; e < decoded->count; e++) {
            UNROLL
            for (size_t q = 0; q < TUPLE; q++) x[q] = splat(decoded->x[e][q]);
            add_products(width, x, decoded->line[e] + column, sums);
        }
        return;
    }
    const uint64_t *entry = block->entries + tuple * BLOCK_STRIDE,
                   *end = entry + block->counts[tuple];
    const real *lines = (const real *)sweep->delta.values + column;
    for (; entry < end; entry++) {
        spread(*entry, block->table, x);
        add_products(width, x, lines + (*entry >> 32) * sweep->delta.stride, sums);
    }
}

INLINE void backward_tile(size_t width, enum rule_type type, const struct sweep *sweep,
                          size_t tuple, const struct decoded *decoded, size_t column)
{
    const struct native_target *weight = &sweep->weight;
    size_t at = tuple * TUPLE * weight->stride + column;
    vec sums[TUPLE][TILE];
    UNROLL
    for (size_t q = 0; q < TUPLE; q++) UNROLL
    for (size_t v = 0; v < width; v++)
        sums[q][v] = sweep->first ? (vec){0}
                                  : load(sweep->kept + at + q * weight->stride + v * LANES);
    tuple_gradient(width, sweep, tuple, decoded, column, sums);
    UNROLL
    for (size_t q = 0; q < TUPLE; q++) {
        if (sweep->last)
            apply(type, &sweep->rule, weight, at + q * weight->stride, sums[q], width);
        else
            UNROLL
        for (size_t v = 0; v < width; v++)
            store(sweep->kept + at + q * weight->stride + v * LANES, sums[q][v]);
    }
}

/* Calls FUNCTION with the panel's width in vectors as a constant: one line at least, a panel at
 * most. */
#define LINE_VECTORS (NATIVE_LINE / NATIVE_VECTOR_BYTES)
#define BY_WIDTH(width, FUNCTION, ...)                                    \
    do {                                                                  \
        if ((width) == PANEL)                                             \
            FUNCTION(PANEL, __VA_ARGS__);                                 \
        else if (PANEL > LINE_VECTORS && (width) == LINE_VECTORS)         \
            FUNCTION(LINE_VECTORS, __VA_ARGS__);                          \
        else if (PANEL > 2 * LINE_VECTORS && (width) == 2 * LINE_VECTORS) \
            FUNCTION(2 * LINE_VECTORS, __VA_ARGS__);                      \
        else if (PANEL > 3 * LINE_VECTORS && (width) == 3 * LINE_VECTORS) \
            FUNCTION(3 * LINE_VECTORS, __VA_ARGS__);                      \
    } while (0)

static void sparse_forward(const struct native_sparse *block, const struct native_target *weight,
                           const void *bias, void *z, size_t z_stride)
{
    BY_WIDTH(weight->columns / LANES, forward_panel, block, weight, bias, z, z_stride);
}

#if NATIVE_REGISTERS < 32

INLINE void decode(const struct native_sparse *block, size_t tuple, const real *lines,
                   size_t stride, struct decoded *out)
{
    const uint64_t *entries = block->entries + tuple * BLOCK_STRIDE;
    const real *table = block->table;
    out->count = block->counts[tuple];
    for (size_t e = 0; e < out->count; e++) {
        UNROLL
        for (size_t q = 0; q < TUPLE; q++) out->x[e][q] = table[(entries[e] >> (8 * q)) & 255];
        out->line[e] = lines + (entries[e] >> 32) * stride;
    }
}

/* A panel is some tiles, and at most half a tile more. */
INLINE void backward_panel(enum rule_type type, size_t columns, const struct sweep *sweep)
{
    struct decoded decoded;
    for (size_t tuple = 0; tuple < sweep->block.tuples; tuple++) {
        size_t column = 0;
        if (sweep->block.counts[tuple] == 0 && sweep->skips) continue;
        decode(&sweep->block, tuple, sweep->delta.values, sweep->delta.stride, &decoded);
        for (; columns - column >= TILE * LANES; column += TILE * LANES)
            backward_tile(TILE, type, sweep, tuple, &decoded, column);
        if (column < columns) backward_tile(TILE / 2, type, sweep, tuple, &decoded, column);
    }
}

/* Nearly all panels are whole ones: theirs is the loop of a constant length. */
INLINE void backward(enum rule_type type, const struct sweep *sweep)
{
    size_t columns = sweep->weight.columns;
    if (columns == PANEL * LANES)
        BY_RULE(type, backward_panel, PANEL * LANES, sweep);
    else
        BY_RULE(type, backward_panel, columns, sweep);
}

#else

/* A panel is a single tile: decoding ahead would be for nothing. */
INLINE void backward_panel(enum rule_type type, size_t width, const struct sweep *sweep)
{
    for (size_t tuple = 0; tuple < sweep->block.tuples; tuple++)
        if (sweep->block.counts[tuple] > 0 || !sweep->skips)
            backward_tile(width, type, sweep, tuple, NULL, 0);
}

INLINE void backward_width(size_t width, enum rule_type type, const struct sweep *sweep)
{
    BY_RULE(type, backward_panel, width, sweep);
}

INLINE void backward(enum rule_type type, const struct sweep *sweep)
{
    BY_WIDTH(sweep->weight.columns / LANES, backward_width, type, sweep);
}

#endif

static void sparse_backward(const struct native_sparse *block, const struct native_matrix *delta,
                            void *kept, bool first, bool last, const struct native_target *weight,
                            const struct native_update *update)
{
    const struct sweep sweep = sweep_of(block, delta, kept, first, last, weight, update);
    backward(rule_type_of(weight, update), &sweep);
}

/* ---- dense products ---- */

#define DENSE_TILE 4 /* vectors across */
#define DENSE_ROWS (NATIVE_REGISTERS / 8)

/* What the tiles of one product share; a kernel fills in what it needs. Each tile is inlined, so
 * that the members end in registers. */
struct product {
    struct native_matrix a, b;
    size_t inner; /* the sum's length */
    const real *bias;
    real *out;
    size_t out_stride;
    const struct native_target *target;
    const struct rule *rule;
};

INLINE void multiply_tile(size_t height, size_t width, size_t row, size_t column,
                          const struct product *product)
{
    const struct native_matrix *a = &product->a, *b = &product->b;
    const real *left = (const real *)a->values + row * a->stride,
               *right = (const real *)b->values + column;
    vec sums[DENSE_ROWS][DENSE_TILE];
    UNROLL
    for (size_t r = 0; r < height; r++) UNROLL
    for (size_t v = 0; v < width; v++) sums[r][v] = (vec){0};
    for (size_t k = 0; k < product->inner; k++) {
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
        store(product->out + (row + r) * product->out_stride + column + v * LANES, sums[r][v]);
}

INLINE void multiply_column(size_t width, size_t column, size_t rows, const struct product *product)
{
    size_t row = 0;
    for (; row + DENSE_ROWS <= rows; row += DENSE_ROWS)
        multiply_tile(DENSE_ROWS, width, row, column, product);
    for (; row < rows; row++) multiply_tile(1, width, row, column, product);
}

static void multiply(const struct native_matrix *a, const struct native_matrix *b, size_t rows,
                     size_t inner, size_t columns, void *out, size_t out_stride)
{
    const struct product product = {
        .a = *a, .b = *b, .inner = inner, .out = out, .out_stride = out_stride};
    FOR_TILES(columns, multiply_column, rows, &product);
}

INLINE void transposed_tile(size_t height, size_t row, size_t column, const struct product *product)
{
    const struct native_matrix *a = &product->a, *b = &product->b;
    const real *left = (const real *)a->values + row * a->stride;
    const real *right = (const real *)b->values + column * b->stride;
    vec sums[DENSE_ROWS][NATIVE_COLUMNS];
    UNROLL
    for (size_t r = 0; r < height; r++) UNROLL
    for (size_t c = 0; c < NATIVE_COLUMNS; c++) sums[r][c] = (vec){0};
    for (size_t k = 0; k < product->inner; k += LANES) {
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
        store_sums(product->out + (row + r) * product->out_stride + column, product->bias + column,
                   sums[r]);
}

static void multiply_transposed(const struct native_matrix *a, const struct native_matrix *b,
                                const void *bias, size_t rows, size_t inner, size_t columns,
                                void *out, size_t out_stride)
{
    const struct product product = {
        .a = *a, .b = *b, .inner = inner, .bias = bias, .out = out, .out_stride = out_stride};
    for (size_t column = 0; column < columns; column += NATIVE_COLUMNS) {
        size_t row = 0;
        for (; row + DENSE_ROWS <= rows; row += DENSE_ROWS)
            transposed_tile(DENSE_ROWS, row, column, &product);
        for (; row < rows; row++) transposed_tile(1, row, column, &product);
    }
}

INLINE void update_tile(enum rule_type type, size_t height, size_t width, size_t row, size_t column,
                        const struct product *product)
{
    const struct native_matrix *a = &product->a, *b = &product->b;
    const real *left = (const real *)a->values + row, *right = (const real *)b->values + column;
    vec sums[DENSE_ROWS][DENSE_TILE];
    UNROLL
    for (size_t r = 0; r < height; r++) UNROLL
    for (size_t v = 0; v < width; v++) sums[r][v] = (vec){0};
    for (size_t m = 0; m < product->inner; m++) {
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
        apply(type, product->rule, product->target, (row + r) * product->target->stride + column,
              sums[r], width);
}

INLINE void update_column(size_t width, size_t column, enum rule_type type, size_t rows,
                          const struct product *product)
{
    size_t row = 0;
    for (; row + DENSE_ROWS <= rows; row += DENSE_ROWS)
        update_tile(type, DENSE_ROWS, width, row, column, product);
    for (; row < rows; row++) update_tile(type, 1, width, row, column, product);
}

INLINE void update_columns(enum rule_type type, size_t rows, const struct product *product)
{
    FOR_TILES(product->target->columns, update_column, type, rows, product);
}

static void multiply_update(const struct native_matrix *a, const struct native_matrix *b,
                            size_t rows, size_t inner, const struct native_target *target,
                            const struct native_update *update)
{
    const struct native_target own = *target;
    const struct rule rule = rule_of(update);
    const struct product product = {
        .a = *a, .b = *b, .inner = inner, .target = &own, .rule = &rule};
    BY_RULE(rule_type_of(target, update), update_columns, rows, &product);
}

INLINE void bias_columns(enum rule_type type, const struct native_matrix *delta, size_t rows,
                         const struct native_target *target, const struct rule *rule)
{
    for (size_t column = 0; column < target->columns; column += LANES) {
        vec total = {0};
        for (size_t m = 0; m < rows; m++)
            total += load((const real *)delta->values + m * delta->stride + column);
        apply(type, rule, target, column, &total, 1);
    }
}

static void bias_update(const struct native_matrix *delta, size_t rows,
                        const struct native_target *target, const struct native_update *update)
{
    const struct rule rule = rule_of(update);
    BY_RULE(rule_type_of(target, update), bias_columns, delta, rows, target, &rule);
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
    for (uint32_t i = 0; i < FORMULA_MAX_TENSORS; i++) places[i] = results[i];
    for (size_t at = 0, now; at < count; at += now) {
        now = count - at < FORMULA_VALUES ? count - at : FORMULA_VALUES;
        for (uint32_t i = 0; i < formula->tensor_inputs; i++) places[i] = (real *)tensors[i] + at;
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

static void softmax(const struct native_softmax *softmax)
{
    const size_t classes = softmax->classes, per_line = NATIVE_LINE / sizeof(real),
                 whole = (classes + per_line - 1) / per_line * per_line;
    const double scale = softmax->scale;
    for (size_t m = 0; m < softmax->rows; m++) {
        const real *z = (const real *)softmax->logits.values + m * softmax->logits.stride;
        real *out = (real *)softmax->delta + m * softmax->delta_stride;
        size_t label = softmax->labels[softmax->order[m]], best = 0;
        double total = 0;
        for (size_t c = 1; c < classes; c++) best = z[c] > z[best] ? c : best;
        vec top = splat(z[best]);
        for (size_t c = 0; c < whole; c += LANES) store(out + c, exponential(load(z + c) - top));
        for (size_t c = 0; c < classes; c++) total += (double)out[c];
        for (size_t c = classes; c < whole; c++) out[c] = 0;
        vec factor = splat((real)((scale == 0 ? 1 : scale) / total));
        for (size_t c = 0; c < whole; c += LANES) store(out + c, load(out + c) * factor);
        if (scale != 0) out[label] -= (real)scale;
        softmax->losses[m] = log(total) + ((double)z[best] - (double)z[label]);
        softmax->correct[m] = best == label;
    }
}

const struct native_kernels NATIVE_TABLE;
const struct native_kernels NATIVE_TABLE = {
    .name = NATIVE_TITLE,
    .size = sizeof(real),
    .panel = PANEL * LANES,
    .tuple = TUPLE,
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
