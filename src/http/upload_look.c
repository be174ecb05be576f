/* What is in files that came from the page. All of it runs on threads. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "data/csv_text.h"
#include "http/routes.h"
#include "http/upload_impl.h"
#include "net/compact.h"

#define SHOWN       10                 /* samples */
#define COLUMNS_MAX 400                /* names of columns that are offered */
#define HEADER_MAX  ((size_t)64 << 10) /* bytes of a first line */

/* --- where it lies --- */

bool upload_ends_in(const char *name, const char *ending)
{
    size_t length = strlen(name), wanted = strlen(ending);
    return length >= wanted && strcasecmp(name + length - wanted, ending) == 0;
}

/* The only entry of a folder, malloc'd; NULL when it has none or several. */
static char *only_entry(const char *folder)
{
    char *found = NULL;
    int count = 0;
    DIR *directory = opendir(folder);
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.') continue;
        if (count++ == 0) found = path_join(folder, entry->d_name);
    }
    if (directory) closedir(directory);
    if (count == 1) return found;
    free(found);
    return NULL;
}

/* Folders, or files of many samples: not the pictures of one class. */
static bool holds_data(const char *folder)
{
    bool found = false;
    DIR *directory = opendir(folder);
    for (const struct dirent *entry; directory && !found && (entry = readdir(directory));) {
        char *path = entry->d_name[0] != '.' ? path_join(folder, entry->d_name) : NULL;
        found = path && (file_is_directory(path) || upload_is_data(entry->d_name));
        free(path);
    }
    if (directory) closedir(directory);
    return found;
}

/* Archives often hold one folder, which is what was zipped; a folder of pictures alone is a class,
 * though. Takes `folder` and gives what is meant in its place. */
static char *inner_folder(char *folder)
{
    char *inner;
    while ((inner = only_entry(folder))) {
        if (file_is_directory(inner) ? !holds_data(inner) : !upload_is_data(inner)) {
            free(inner);
            break;
        }
        free(folder);
        folder = inner;
    }
    return folder;
}

/* Unpacks what is zipped, once. */
static int find_unpacked(struct upload *upload, char **path, size_t *skipped, struct error *error)
{
    struct error ignored;
    char *archive = path_join(upload->files, upload->file[0].name), *folder;
    if (asprintf(&folder, "%s/unpacked/%s", upload->folder, upload->proposed) < 0) folder = NULL;
    int status = archive && folder ? 0 : error_set_memory(error, "a path");
    if (!status && !file_is_directory(folder)) {
        status = upload_unpack(archive, folder, &upload->stop, skipped, error);
        if (status) file_remove_tree(folder, &ignored);
    }
    free(archive);
    *path = status ? NULL : inner_folder(folder);
    if (status) free(folder);
    return status;
}

/* The model among the files: the index of shards, else the first with a model's ending. */
static const char *model_name(const struct upload *upload)
{
    const struct modelfile_format *format;
    struct error ignored;
    for (int i = 0; i < upload->count; i++)
        if (upload_ends_in(upload->file[i].name, ".index.json")) return upload->file[i].name;
    for (int i = 0; i < upload->count; i++)
        if (!modelfile_format_for_writing(upload->file[i].name, &format, &ignored))
            return upload->file[i].name;
    return upload->file[0].name;
}

/* What is opened, malloc'd. */
static int find_subject(struct upload *upload, char **path, size_t *skipped, struct error *error)
{
    *skipped = 0;
    *path = NULL;
    if (upload->kind == UPLOAD_MODEL)
        *path = path_join(upload->files, model_name(upload));
    else if (upload->count > 1)
        *path = strdup(upload->files);
    else if (upload_ends_in(upload->file[0].name, ".zip"))
        return find_unpacked(upload, path, skipped, error);
    else
        *path = path_join(upload->files, upload->file[0].name);
    return *path ? 0 : error_set_memory(error, "a path");
}

/* --- problems in the page's words --- */

/* What the command line calls it, and the form. */
static const struct field {
    const char *option, *label, *key;
} fields[] = {
    {"--label-column NAME", "“Label column”", "label_column"},
    {"--label-column", "“Label column”", "label_column"},
    {"--activation", "“Activation”", "activation"},
    {"--order", "“Order of layers”", "order"},
    {"--key", "“Name within the file”", "key"},
    {"--scale", "“Scale”", "scale"},
};

static void replace_all(char *text, size_t size, const char *what, const char *by)
{
    char *place, rest[1024];
    for (size_t from = 0; *what && (place = strstr(text + from, what));) {
        size_t at = (size_t)(place - text);
        snprintf(rest, sizeof rest, "%s", place + strlen(what));
        snprintf(place, size - at, "%s%s", by, rest);
        from = at + strlen(by);
        if (from >= strlen(text)) return;
    }
}

void upload_reword(const struct upload *upload, struct error *error, const char **asks)
{
    char folder[1024];
    const char *const places[] = {upload->files, upload->folder};
    *asks = NULL;
    snprintf(folder, sizeof folder, "%s/unpacked/%s/", upload->folder, upload->proposed);
    replace_all(error->message, sizeof error->message, folder, "");
    for (size_t i = 0; i < 2; i++) {
        snprintf(folder, sizeof folder, "%s/", places[i]);
        replace_all(error->message, sizeof error->message, folder, "");
    }
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!strstr(error->message, fields[i].option)) continue;
        if (!*asks) *asks = fields[i].key;
        replace_all(error->message, sizeof error->message, fields[i].option, fields[i].label);
    }
}

/* --- data --- */

static void set_options(const struct upload_answers *answers, struct dataset_options *options)
{
    *options = (struct dataset_options){
        .label_column = answers->label_column[0] ? answers->label_column : NULL,
        .scale = answers->scale};
}

/* The names in a CSV file's first line, to choose from. */
static json_t *columns_json(const char *path)
{
    json_t *list = json_array();
    char *line = malloc(HEADER_MAX), name[CSV_NAME_MAX];
    FILE *file = upload_ends_in(path, ".csv") || upload_ends_in(path, ".tsv") ? fopen(path, "rbe")
                                                                              : NULL;
    size_t size = file && line ? fread(line, 1, HEADER_MAX - 1, file) : 0;
    if (file) fclose(file);
    if (line) line[size] = '\0';
    char *end = size ? strpbrk(line, "\r\n") : NULL;
    if (end) *end = '\0';
    const char *at = end ? line + csv_mark_length(line, (size_t)(end - line)) : NULL;
    char separator = end ? csv_separator(at, (size_t)(end - at)) : ',';
    for (; end && at <= end && json_array_size(list) < COLUMNS_MAX; at++) {
        size_t length = csv_cell_length(at, end, separator);
        name[csv_cell_text(at, length, name, sizeof name - 1)] = '\0';
        json_array_append_new(list, js_shown(name));
        at += length;
    }
    free(line);
    return list;
}

static json_t *shown_samples(const struct dataset *dataset)
{
    json_t *samples = NULL;
    struct error ignored;
    if (dataset->table) return json_null();
    if (samples_json(dataset, &dataset->train, -1, 0, SHOWN, &samples, &ignored))
        return json_null();
    return samples;
}

static json_t *data_json(const struct dataset *dataset, size_t hidden)
{
    json_t *value = dataset_describe(dataset);
    json_object_del(value, "path");
    json_object_del(value, "synthetic");
    json_object_set_new(value, "table", json_boolean(dataset->table));
    json_object_set_new(value, "shown", shown_samples(dataset));
    if (hidden)
        json_array_append_new(json_object_get(value, "skipped"),
                              json_pack("{s:s, s:I}", "what", "hidden files of the archive",
                                        "count", (json_int_t)hidden));
    return value;
}

/* --- models --- */

/* "relu,none": in place of what the file does not say. */
static int read_activations(const char *text, struct modelfile_options *out, struct error *error)
{
    while (*text) {
        char name[40];
        size_t length = strcspn(text, ",");
        if (out->activation_count == NETWORK_MAX_LAYERS)
            return error_set(error, ERROR_INPUT,
                             "more than %d activations are named: give one, or "
                             "one per hidden layer",
                             NETWORK_MAX_LAYERS);
        snprintf(name, sizeof name, "%.*s", (int)(length < 39 ? length : 39), text);
        if (activation_parse(name, &out->activations[out->activation_count++], error)) return -1;
        text += length + (text[length] == ',');
    }
    return 0;
}

static int open_model(const char *path, const struct upload_answers *answers, struct model **out,
                      struct error *error)
{
    struct modelfile_options options = {.key = answers->key[0] ? answers->key : NULL,
                                        .order = answers->order[0] ? answers->order : NULL};
    if (modelfile_read(path, &options, out, error)) return -1;
    if (!answers->activation[0]) return 0;
    bool known = model_activation_known(*out);
    model_destroy(*out);
    *out = NULL;
    if (known)
        return error_set(error, ERROR_INPUT,
                         "the file itself says every activation: leave “Activation” as it is");
    return read_activations(answers->activation, &options, error) ||
                   modelfile_read(path, &options, out, error)
               ? -1
               : 0;
}

static json_t *layers_json(const struct network *network)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        char output[48];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:I}", "name", layer->name,
                                              "type", layer_kind(layer->type)->title, "output",
                                              shape_words(&layer->output, output), "activation",
                                              activation_name(layer->activation), "parameters",
                                              (json_int_t)layer_parameters(layer)));
    }
    return list;
}

static json_t *model_json(const struct model *model)
{
    const struct network *network = &model->network;
    return json_pack(
        "{s:s, s:s, s:I, s:[i,i,i], s:i, s:o, s:b, s:o, s:o}", "format",
        modelfile_format_find(model->format)->title, "dtype", dtype_name(model->parameters->dtype),
        "parameters", (json_int_t)network_parameter_count(network), "input", (int)network->rows,
        (int)network->columns, (int)network->channels, "classes", (int)network_classes(network),
        "layers", layers_json(network), "activation_known", (int)model_activation_known(model),
        "assumed", model->assumed ? json_deep_copy(model->assumed) : json_array(), "net",
        network_compact_json(network));
}

/* --- looking --- */

void subject_close(struct upload_subject *subject)
{
    dataset_close(subject->dataset);
    model_destroy(subject->model);
    free(subject->path);
}

int subject_open(struct upload *upload, const struct upload_answers *answers,
                 struct upload_subject *subject, struct error *error)
{
    struct dataset_options options;
    *subject = (struct upload_subject){0};
    error->code = ERROR_NONE;
    if (find_subject(upload, &subject->path, &subject->hidden, error)) return -1;
    if (upload->kind == UPLOAD_MODEL)
        return open_model(subject->path, answers, &subject->model, error);
    set_options(answers, &options);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): subject_close() has it all */
    return dataset_open(subject->path, &options, &subject->dataset, error);
}

int upload_look(struct upload *upload, const struct upload_answers *answers, json_t **out,
                struct error *error)
{
    struct upload_subject subject;
    const char *asks = NULL;
    bool bad = subject_open(upload, answers, &subject, error) != 0;
    if (bad && (error->code == ERROR_MEMORY || error->code == ERROR_INTERRUPTED)) {
        subject_close(&subject);
        return -1;
    }
    if (bad) upload_reword(upload, error, &asks);
    if (!bad && subject.model && !model_activation_known(subject.model)) asks = "activation";
    *out = json_pack("{s:s, s:s, s:o, s:s?, s:o, s:o, s:o}", "kind",
                     upload->kind == UPLOAD_MODEL ? "model" : "data", "name", upload->proposed,
                     "problem", bad ? js_shown(error->message) : json_null(), "asks", asks,
                     "columns", subject.path ? columns_json(subject.path) : json_array(), "data",
                     subject.dataset ? data_json(subject.dataset, subject.hidden) : json_null(),
                     "model", subject.model ? model_json(subject.model) : json_null());
    subject_close(&subject);
    return *out ? 0 : error_set_memory(error, "the answer");
}
