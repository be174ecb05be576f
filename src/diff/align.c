#include "diff/align.h"

#include <stdlib.h>

/* What a pair is worth: enough that no layer alone gains by breaking up a better one. */
enum { WORTH_TYPE = 2, WORTH_OUTPUT = 3, WORTH_TENSORS = 5, WORTH_ALIKE = 8 };

static void list_layers(const struct network *network, struct counting_layer *out, uint32_t *count)
{
    uint32_t at = 0;
    *count = 0;
    while (network_next_counting(network, &at, &out[*count].place, &out[*count].layer)) (*count)++;
}

bool align_same_tensors(const struct layer *a, const struct layer *b)
{
    struct tensor_spec x[LAYER_MAX_TENSORS], y[LAYER_MAX_TENSORS];
    uint32_t count = layer_tensors(a, x);
    if (count != layer_tensors(b, y)) return false;
    for (uint32_t t = 0; t < count; t++)
        if (x[t].role != y[t].role || !shape_equal(&x[t].shape, &y[t].shape)) return false;
    return true;
}

static int worth(const struct layer *a, const struct layer *b)
{
    if (a->type != b->type) return 0;
    if (layer_alike(a, b)) return WORTH_ALIKE;
    if (align_same_tensors(a, b)) return WORTH_TENSORS;
    return shape_equal(&a->output, &b->output) ? WORTH_OUTPUT : WORTH_TYPE;
}

/* best[i][j]: the most that the layers from i of A and from j of B are worth together. */
typedef int worth_table[NETWORK_MAX_LAYERS + 1][NETWORK_MAX_LAYERS + 1];

static int pair_worth(const struct alignment *alignment, worth_table best, uint32_t i, uint32_t j)
{
    int own = worth(&alignment->layers[0][i].layer, &alignment->layers[1][j].layer);
    return own ? own + best[i + 1][j + 1] : 0;
}

static void fill(const struct alignment *alignment, worth_table best)
{
    for (uint32_t i = alignment->counts[0]; i-- > 0;)
        for (uint32_t j = alignment->counts[1]; j-- > 0;) {
            int alone = best[i + 1][j] > best[i][j + 1] ? best[i + 1][j] : best[i][j + 1],
                pair = pair_worth(alignment, best, i, j);
            best[i][j] = pair > alone ? pair : alone;
        }
}

static void add_row(struct alignment *alignment, uint32_t a, uint32_t b)
{
    uint32_t *row = alignment->rows[alignment->row_count++];
    row[0] = a;
    row[1] = b;
}

static void walk(struct alignment *alignment, worth_table best)
{
    uint32_t i = 0, j = 0;
    while (i < alignment->counts[0] || j < alignment->counts[1]) {
        bool both = i < alignment->counts[0] && j < alignment->counts[1];
        int pair = both ? pair_worth(alignment, best, i, j) : 0;
        if (pair && pair == best[i][j])
            add_row(alignment, i++, j++);
        else if (i < alignment->counts[0] && (!both || best[i + 1][j] == best[i][j]))
            add_row(alignment, i++, ALIGN_ALONE);
        else
            add_row(alignment, ALIGN_ALONE, j++);
    }
}

int align_networks(const struct network *a, const struct network *b, struct alignment **out,
                   struct error *error)
{
    struct alignment *alignment = calloc(1, sizeof *alignment);
    worth_table *best = calloc(1, sizeof *best);
    if (!alignment || !best) {
        free(alignment);
        free(best);
        return error_set_memory(error, "the comparison");
    }
    list_layers(a, alignment->layers[0], &alignment->counts[0]);
    list_layers(b, alignment->layers[1], &alignment->counts[1]);
    fill(alignment, *best);
    walk(alignment, *best);
    free(best);
    *out = alignment;
    return 0;
}
