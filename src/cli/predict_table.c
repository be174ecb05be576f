#include "cli/predict_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/cli.h"

json_t *predict_assumed(const struct predictor *predictor)
{
    const struct model *model = predictor->model;
    json_t *assumed = model->assumed ? json_copy(model->assumed) : json_array();
    return assumed;
}

json_t *predict_preprocessing(const struct predictor *predictor)
{
    char words[128];
    return json_pack("{s:s, s:b}", "done", input_form_words(&predictor->form, words), "known",
                     predictor->form.known);
}

void predict_print_assumed(const struct predictor *predictor, FILE *stream)
{
    size_t i;
    json_t *text;
    json_array_foreach(predictor->model->assumed, i, text)
        fprintf(stream, "assumed   %s\n", text_shown(json_string_value(text)));
    if (!model_activation_known(predictor->model))
        fputs("          (the file does not say: set it with --activation)\n", stream);
    char words[128];
    if (!predictor->form.known)
        fprintf(stream, "assumed   pixels %s (the file does not say: see --scale, --mean, --std)\n",
                input_form_words(&predictor->form, words));
}

/* A cell, in quotes where it needs them. */
static void put_cell(FILE *stream, const char *text)
{
    if (!strpbrk(text, ",\"\n\r")) {
        fputs(text, stream);
        return;
    }
    fputc('"', stream);
    for (; *text; text++) {
        if (*text == '"') fputc('"', stream);
        fputc(*text, stream);
    }
    fputc('"', stream);
}

/* The cells are as they are, so that whoever reads the table finds the same names; who opens it in
 * a spreadsheet is warned. */
static void warn_of_formulas(const struct predict_table *table, const struct dataset *dataset)
{
    char number[16];
    const char *odd = NULL;
    for (uint32_t c = 0; c < table->predictor->classes && !odd; c++) {
        const char *name = predictor_class_name(table->predictor, c, number);
        if (text_is_formula(name)) odd = name;
    }
    for (size_t i = 0; i < dataset->train.count && !odd; i++)
        if (text_is_formula(dataset->ids[i])) odd = dataset->ids[i];
    if (odd)
        log_line("caution: \"%.60s\" in the table looks like a formula: in a spreadsheet, import "
                 "the columns as text",
                 text_shown(odd));
}

static void put_header(const struct predict_table *table, FILE *stream)
{
    char number[16];
    if (table->submission) {
        fputs("ImageId,Label\n", stream);
        return;
    }
    fputs("id,class", stream);
    for (uint32_t c = 0; c < table->predictor->classes; c++) {
        fputc(',', stream);
        put_cell(stream, predictor_class_name(table->predictor, c, number));
    }
    fputc('\n', stream);
}

static void put_row(const struct predict_table *table, FILE *stream, const char *id, uint32_t best,
                    const double *probabilities)
{
    char number[16];
    put_cell(stream, id);
    fputc(',', stream);
    put_cell(stream, predictor_class_name(table->predictor, best, number));
    for (uint32_t c = 0; !table->submission && c < table->predictor->classes; c++)
        fprintf(stream, ",%.9g", probabilities[c]);
    fputc('\n', stream);
}

static void put_json(const struct predict_table *table, const char *id, uint32_t best,
                     const double *probabilities)
{
    char number[16];
    json_t *list = json_array();
    for (uint32_t c = 0; c < table->predictor->classes; c++)
        json_array_append_new(list, js_real(probabilities[c]));
    cli_print_json(json_pack("{s:o, s:I, s:s, s:o}", "id", js_shown(id), "class", (json_int_t)best,
                             "class_name", predictor_class_name(table->predictor, best, number),
                             "probabilities", list));
}

static int predict_all(const struct predict_table *table, const struct dataset *dataset,
                       FILE *stream, struct error *error)
{
    struct predictor *predictor = table->predictor;
    double *probabilities = malloc(predictor->classes * sizeof *probabilities);
    if (!probabilities) return error_set_memory(error, "the probabilities");
    int status = 0;
    if (!table->json) put_header(table, stream);
    for (size_t i = 0; i < dataset->train.count && !status; i++) {
        uint32_t best;
        status = predictor_predict(predictor, dataset->train.pixels + i * predictor->inputs,
                                   probabilities, &best, error);
        if (status) break;
        if (table->json)
            put_json(table, dataset->ids[i], best, probabilities);
        else
            put_row(table, stream, dataset->ids[i], best, probabilities);
    }
    free(probabilities);
    return status;
}

static int open_data(const struct predict_table *table, struct dataset **out, struct error *error)
{
    const struct network *network = &table->predictor->model->network;
    struct dataset_options options = table->data;
    options.unlabeled = true;
    options.features = table->predictor->inputs;
    options.rows = network->rows;
    options.columns = network->columns;
    options.channels = network->channels;
    if (dataset_open(table->path, &options, out, error)) return -1;
    const struct dataset *dataset = *out;
    size_t inputs = dataset_inputs(dataset);
    if (inputs == table->predictor->inputs && dataset->ids) return 0;
    if (!dataset->ids)
        error_set(error, ERROR_INPUT,
                  "%s cannot be predicted: give a picture, a folder of pictures, a table (.csv, "
                  ".tsv, .parquet) or one array (.npy)",
                  table->path);
    else
        error_set(error, ERROR_INPUT,
                  "the model takes %zu numbers per sample, but %s has %zu: give the data it was "
                  "made for, or name the label with --label-column",
                  table->predictor->inputs, table->path, inputs);
    dataset_close(*out);
    *out = NULL;
    return -1;
}

int predict_write_table(const struct predict_table *table, struct error *error)
{
    struct dataset *dataset;
    struct file_writer writer = {0};
    int status = -1;
    if (open_data(table, &dataset, error)) return -1;
    char *summary = dataset_summary(dataset);
    if (summary) log_line("%s", summary);
    free(summary);
    uint32_t threads = table->threads ? table->threads : engine_default_threads(table->ops);
    if (predictor_start(table->predictor, table->ops, threads, &dataset->preprocess, error))
        goto out;
    if (table->out && file_create(table->out, &writer, error)) goto out;
    if (predict_all(table, dataset, table->out ? writer.stream : stdout, error)) goto out;
    if (table->out && file_commit(&writer, error)) goto out;
    if (!table->json) warn_of_formulas(table, dataset);
    predict_print_assumed(table->predictor, stderr);
    status = 0;
out:
    file_abort(&writer);
    dataset_close(dataset);
    return status;
}
