/* In which order a file's layers follow one another, when the file does not say. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modelfile/assemble.h"

#define NUMBERS_MAX 8
#define BASE_MAX    160
#define STEPS_MAX   100000 /* of a search: many equal sizes have very many orders */

/* A name without its numbers, and the numbers: "Block1.fc" is "block#.fc#" with 1 and none (−1). */
struct numbered {
    char base[BASE_MAX];
    long numbers[NUMBERS_MAX];
    size_t count;
};

static void put(struct numbered *out, size_t *used, char c)
{
    if (*used + 1 < BASE_MAX) out->base[(*used)++] = c;
    out->base[*used] = '\0';
}

static void put_number(struct numbered *out, size_t *used, long number)
{
    put(out, used, '#');
    if (out->count < NUMBERS_MAX) out->numbers[out->count++] = number;
}

/* "dense" comes before "dense_1": what ends without a number has one that is smaller than all
 * others. */
static void split_name(const char *name, struct numbered *out)
{
    size_t used = 0;
    *out = (struct numbered){.count = 0};
    while (*name) {
        if (!isdigit((unsigned char)*name)) {
            put(out, &used, (char)tolower((unsigned char)*name++));
            continue;
        }
        char *end;
        long number = strtol(name, &end, 10);
        if (!*end && used && strchr("_.-", out->base[used - 1])) out->base[--used] = '\0';
        put_number(out, &used, number);
        name = end;
    }
    if (!used || out->base[used - 1] != '#') put_number(out, &used, -1);
}

/* Both have the same stem and `a` the lower number. */
static bool is_before(const struct numbered *a, const struct numbered *b)
{
    if (strcmp(a->base, b->base) != 0 || a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->numbers[i] != b->numbers[i]) return a->numbers[i] < b->numbers[i];
    return false;
}

bool name_is_before(const char *a, const char *b)
{
    struct numbered x, y;
    split_name(a, &x);
    split_name(b, &y);
    return is_before(&x, &y);
}

/* A walk over all orders in which each layer takes what the one before gives. */
struct order_search {
    const struct layer_source *sources;
    const struct numbered *names;
    size_t count, found, steps;
    bool rising; /* only orders in which layers of one stem come by rising number */
    size_t order[NETWORK_MAX_LAYERS], answer[NETWORK_MAX_LAYERS];
    bool used[NETWORK_MAX_LAYERS];
};

static bool may_follow(const struct order_search *search, size_t depth, size_t next)
{
    if (search->used[next]) return false;
    if (depth && source_outputs(&search->sources[search->order[depth - 1]]) !=
                     source_inputs(&search->sources[next]))
        return false;
    for (size_t i = 0; search->rising && i < search->count; i++)
        if (!search->used[i] && is_before(&search->names[i], &search->names[next])) return false;
    return true;
}

static void search_orders(struct order_search *search, size_t depth)
{
    if (search->found > 1 || ++search->steps > STEPS_MAX) return;
    if (depth == search->count) {
        if (!search->found++) memcpy(search->answer, search->order, sizeof search->answer);
        return;
    }
    for (size_t i = 0; i < search->count; i++) {
        if (!may_follow(search, depth, i)) continue;
        search->used[i] = true;
        search->order[depth] = i;
        search_orders(search, depth + 1);
        search->used[i] = false;
    }
}

/* The first two neighbors that do not fit, for a message. */
static int refuse_chain(const struct layer_source *sources, size_t count, struct error *error)
{
    char a[64], b[64];
    size_t i = 1;
    while (i + 1 < count && source_outputs(&sources[i - 1]) == source_inputs(&sources[i])) i++;
    const struct named_tensor *first = sources[i - 1].tensors[ROLE_WEIGHT],
                              *next = sources[i].tensors[ROLE_WEIGHT];
    return error_set(error, ERROR_INPUT,
                     "the layers do not chain: %s is %s and %s is %s: the studio reads networks "
                     "whose dense layers follow one another",
                     first->name, shape_text(2, first->shape, a), next->name,
                     shape_text(2, next->shape, b));
}

/* "a,b,c", cut where it gets too long. */
static const char *list_names(const struct layer_source *sources, size_t count, char out[400])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count && used < 400; i++)
        used += (size_t)snprintf(out + used, 400 - used, "%s%s", i ? "," : "", sources[i].name);
    return out;
}

static void apply(struct layer_source *sources, size_t count, const size_t *order)
{
    struct layer_source old[NETWORK_MAX_LAYERS];
    memcpy(old, sources, count * sizeof *old);
    for (size_t i = 0; i < count; i++) sources[i] = old[order[i]];
}

/* The order that was told: every layer's name once. */
static int take_told(struct layer_source *sources, size_t count, const char *told,
                     struct error *error)
{
    size_t order[NETWORK_MAX_LAYERS], given = 0;
    bool used[NETWORK_MAX_LAYERS] = {false};
    char names[400];
    for (const char *word = told;; word++) {
        size_t length = strcspn(word, ","), i = 0;
        while (i < count &&
               (strlen(sources[i].name) != length || memcmp(sources[i].name, word, length) != 0))
            i++;
        if (i == count || used[i])
            return error_set(error, ERROR_USAGE, "--order names %s \"%.*s\": the layers are %s",
                             i == count ? "no layer" : "twice the layer",
                             (int)(length < 80 ? length : 80), word,
                             list_names(sources, count, names));
        used[i] = true;
        order[given++] = i;
        word += length;
        if (!*word) break;
    }
    if (given < count)
        return error_set(error, ERROR_USAGE, "--order names %zu of %zu layers: the layers are %s",
                         given, count, list_names(sources, count, names));
    apply(sources, count, order);
    for (size_t i = 1; i < count; i++)
        if (source_outputs(&sources[i - 1]) != source_inputs(&sources[i]))
            return refuse_chain(sources, count, error);
    return 0;
}

static bool is_identity(const size_t *order, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (order[i] != i) return false;
    return true;
}

static bool chains(const struct layer_source *sources, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (source_outputs(&sources[i - 1]) != source_inputs(&sources[i])) return false;
    return true;
}

int sources_order(struct layer_source *sources, size_t count, bool listed,
                  const struct modelfile_options *options, struct error *error)
{
    struct numbered names[NETWORK_MAX_LAYERS];
    char list[400];
    if (options && options->order) return take_told(sources, count, options->order, error);
    for (size_t i = 0; i < count; i++) split_name(sources[i].name, &names[i]);
    struct order_search any = {.sources = sources, .names = names, .count = count};
    search_orders(&any, 0);
    bool searched = any.steps <= STEPS_MAX;
    if (!any.found && searched) return refuse_chain(sources, count, error);
    if (any.found == 1 && searched) {
        apply(sources, count, any.answer);
        return 0;
    }
    struct order_search rising = {
        .sources = sources, .names = names, .count = count, .rising = true};
    search_orders(&rising, 0);
    bool contradicted = listed && chains(sources, count) && !is_identity(rising.answer, count);
    if (rising.found == 1 && rising.steps <= STEPS_MAX && !contradicted) {
        apply(sources, count, rising.answer);
        return 0;
    }
    return error_set(error, ERROR_INPUT,
                     "several orders of its layers fit, and the file does not say which is right: "
                     "give the order in which they run, the first one first, with --order (its "
                     "layers: %s)",
                     list_names(sources, count, list));
}
