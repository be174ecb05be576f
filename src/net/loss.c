#include "net/loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool loss_is_plain(const struct loss_rules *rules)
{
    return rules->smoothing == 0 && !rules->weighted;
}

bool loss_is_balanced(const char *text)
{
    return strcmp(text, "balanced") == 0;
}

int loss_parse_weights(const char *text, double weights[LOSS_MAX_CLASSES], size_t *count,
                       struct error *error)
{
    *count = 0;
    if (!*text || loss_is_balanced(text)) return 0;
    for (const char *at = text;; at++) {
        char *end;
        double weight = strtod(at, &end);
        bool whole = end != at && *at != ' ' && (*end == ',' || !*end);
        if (!whole || !(weight > 0 && weight <= LOSS_MAX_WEIGHT))
            return error_set(
                error, ERROR_INPUT,
                "class weight \"%.40s\" is not valid: give balanced, or a number above "
                "0 and at most %g for every class, such as 1,1,2.5",
                text, LOSS_MAX_WEIGHT);
        if (*count == LOSS_MAX_CLASSES)
            return error_set(error, ERROR_INPUT, "too many class weights: the most is %d",
                             LOSS_MAX_CLASSES);
        weights[(*count)++] = weight;
        at = end;
        if (!*at) return 0;
    }
}

void loss_balance(const uint8_t *labels, size_t count, uint32_t classes,
                  double weights[LOSS_MAX_CLASSES])
{
    size_t samples[LOSS_MAX_CLASSES] = {0};
    for (size_t i = 0; i < count; i++) samples[labels[i]]++;
    for (uint32_t c = 0; c < classes; c++)
        weights[c] = samples[c] ? (double)count / ((double)classes * (double)samples[c]) : 0;
}

static void fill(struct loss_table *table, const struct loss_rules *rules, enum meaning meaning)
{
    uint32_t classes = table->classes;
    double spread = rules->smoothing / classes;
    bool keras = meaning == MEANING_KERAS;
    for (uint32_t label = 0; label < classes; label++) {
        double own = rules->weighted ? rules->weights[label] : 1;
        for (uint32_t c = 0; c < classes; c++) {
            double weight = keras || !rules->weighted ? own : rules->weights[c];
            double share = (c == label ? 1 - rules->smoothing : 0) + spread;
            table->target[(size_t)label * classes + c] = weight * share;
            table->total[label] += weight * share;
        }
        table->divisor[label] = keras ? 1 : own;
    }
}

int loss_table_create(const struct loss_rules *rules, enum meaning meaning, uint32_t classes,
                      struct loss_table **out, struct error *error)
{
    *out = NULL;
    if (loss_is_plain(rules)) return 0;
    struct loss_table *table = calloc(1, sizeof *table);
    if (!table) return error_set_memory(error, "the loss");
    table->classes = classes;
    table->target = calloc((size_t)classes * classes, sizeof *table->target);
    table->total = calloc(classes, sizeof *table->total);
    table->divisor = calloc(classes, sizeof *table->divisor);
    if (!table->target || !table->total || !table->divisor) {
        loss_table_destroy(table);
        return error_set_memory(error, "the loss");
    }
    fill(table, rules, meaning);
    *out = table;
    return 0;
}

void loss_table_destroy(struct loss_table *table)
{
    if (!table) return;
    free(table->target);
    free(table->total);
    free(table->divisor);
    free(table);
}

double loss_divisor(const struct loss_table *table, const uint8_t *labels, const uint32_t *order,
                    size_t count)
{
    double sum = 0;
    if (!table) return (double)count;
    for (size_t i = 0; i < count; i++) sum += table->divisor[labels[order[i]]];
    return sum;
}
