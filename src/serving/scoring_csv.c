/* CSV as MLflow takes it: a header line, then one sample per line. */
#include <string.h>

#include "data/csv_text.h"
#include "serving/scoring_impl.h"

/* The next cell of a line. */
static bool next_cell(const char **at, const char *end, const char **cell, size_t *length)
{
    if (!*at) return false;
    *cell = *at;
    *length = csv_cell_length(*at, end, ',');
    const char *stop = *at + *length;
    *at = stop < end && *stop == ',' ? stop + 1 : NULL;
    return true;
}

/* A header is names, or counts the columns as pandas does: 0, 1, 2 … */
static bool is_header(const char *line, const char *end)
{
    const char *cell;
    size_t length;
    bool counts = true;
    double number, place = 0;
    for (const char *at = line; next_cell(&at, end, &cell, &length); place++) {
        if (!csv_number(cell, length, &number)) return true;
        counts = counts && number == place;
    }
    return counts;
}

static int read_line(const struct scoring_model *model, const char *line, const char *end,
                     size_t number, double *out, struct error *error)
{
    const char *cell;
    size_t length, count = 0, inputs = model->predictor->inputs;
    for (const char *at = line; next_cell(&at, end, &cell, &length); count++) {
        double value;
        if (count == inputs) continue;
        if (!csv_number(cell, length, &value))
            return error_set(error, ERROR_INPUT, "line %zu, column %zu: \"%.*s\" is not a number",
                             number, count + 1, (int)(length < 40 ? length : 40), cell);
        out[count] = value;
    }
    if (count == inputs) return 0;
    return error_set(error, ERROR_INPUT, "line %zu has %zu columns, but the model takes %zu",
                     number, count, inputs);
}

static const char *line_end(const char *line, const char *end)
{
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    return stop ? stop : end;
}

int scoring_read_csv(const struct scoring_model *model, const char *body, size_t size,
                     struct scoring_request *out, struct error *error)
{
    const char *end = body + size, *first = line_end(body, end);
    size_t count = 0, number = 2, inputs = model->predictor->inputs;
    if (!is_header(body, first))
        return error_set(error, ERROR_INPUT,
                         "the first line looks like a sample: begin with a header line, the "
                         "columns' names");
    while (end > first && strchr("\r\n", end[-1])) end--;
    for (const char *line = first; line < end; line = line_end(line + 1, end)) count++;
    if (scoring_begin(model, count, out, error)) return -1;
    const char *line = first + 1;
    for (size_t s = 0; s < count; s++, number++) {
        const char *stop = line_end(line, end);
        if (read_line(model, line, stop, number, out->values + s * inputs, error)) return -1;
        line = stop + 1;
    }
    return 0;
}
