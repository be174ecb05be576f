/* .pth: what torch.save(model.state_dict(), path) writes since PyTorch 1.6. A zip archive of stored
 * records under one folder: data.pkl (the pickle), data/0 … (the storages' bytes), byteorder,
 * version (torch/serialization.py, caffe2/serialize/inline_container.cc). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zip.h>

#include "base/js.h"
#include "modelfile/assemble.h"
#include "modelfile/formats.h"
#include "modelfile/pickle.h"
#include "modelfile/pth.h"
#include "modelfile/pth_legacy.h"
#include "modelfile/zip_record.h"

#define SAVE_AGAIN "save the weights in Python with torch.save(model.state_dict(), \"model.pth\")"
#define NOTE_MAX   ((size_t)1 << 20)
#define KEY_MAX    64
/* What a state dict of the studio may have, with room for a tensor too many to be named in a
 * message. */
#define TENSORS_MAX (PARAMETERS_MAX_TENSORS + 1)

struct archive {
    zip_t *zip;
    char *folder; /* owned; "archive/", or "" */
    uint64_t file_size;
    const struct legacy *legacy; /* instead of a zip: PyTorch's form from before 1.6 */
};

static void archive_close(struct archive *archive)
{
    if (archive->zip) zip_discard(archive->zip);
    free(archive->folder);
}

/* The folder of data.pkl; its name is the file's own at the time of saving. */
static int find_folder(struct archive *archive, struct error *error)
{
    static const char wanted[] = "data.pkl";
    zip_int64_t count = zip_get_num_entries(archive->zip, 0);
    for (zip_int64_t i = 0; i < count; i++) {
        const char *name = zip_get_name(archive->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        size_t length = name ? strlen(name) : 0;
        if (length < sizeof wanted - 1) continue;
        size_t before = length - (sizeof wanted - 1);
        if (strcmp(name + before, wanted) != 0 || (before && name[before - 1] != '/')) continue;
        archive->folder = strndup(name, before);
        return archive->folder ? 0 : error_set_memory(error, "a name");
    }
    for (zip_int64_t i = 0; i < count; i++) {
        const char *name = zip_get_name(archive->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        if (name && (strstr(name, "archive_format") || strstr(name, "models/model.json")))
            return error_set(error, ERROR_INPUT,
                             "it is an exported program (.pt2): " SAVE_AGAIN
                             ", or export it with torch.onnx.export");
    }
    return error_set(error, ERROR_INPUT,
                     "it is a zip archive without a PyTorch pickle: " SAVE_AGAIN);
}

static int archive_open(const char *path, struct archive *archive, struct error *error)
{
    int code = 0;
    FILE *file = fopen(path, "rbe");
    if (file && !fseeko(file, 0, SEEK_END)) archive->file_size = (uint64_t)ftello(file);
    if (file) fclose(file);
    archive->zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (archive->zip) return find_folder(archive, error);
    zip_error_t problem;
    zip_error_init_with_code(&problem, code);
    error_set(error, ERROR_INPUT,
              "the zip archive is damaged or cut short (%s): copy or save it again",
              zip_error_strerror(&problem));
    zip_error_fini(&problem);
    return -1;
}

/* The index of record `name` within the folder, or -1. */
static zip_int64_t find_record(const struct archive *archive, const char *name)
{
    char *full;
    if (asprintf(&full, "%s%s", archive->folder, name) < 0) return -1;
    zip_int64_t index = zip_name_locate(archive->zip, full, ZIP_FL_ENC_RAW);
    free(full);
    return index;
}

/* A whole record of at most `limit` bytes, malloc'd. */
static int read_record(const struct archive *archive, const char *name, size_t limit, char **out,
                       size_t *size, struct error *error)
{
    return zip_record_read(archive->zip, find_record(archive, name), name, archive->file_size,
                           limit, out, size, error);
}

static bool holds_tensors(const struct pickle_value *value)
{
    if (!value || value->kind != PICKLE_DICT) return false;
    for (size_t i = 1; i < value->items.count; i += 2)
        if (value->items.values[i]->kind == PICKLE_TENSOR) return true;
    return false;
}

/* The state dict that the user named: "teacher", or "ema.model" within a dict. */
static const struct pickle_value *follow_key(const struct pickle_value *root, const char *key,
                                             struct error *error)
{
    const struct pickle_value *here = root;
    char part[160];
    for (const char *place = key; here && *place;) {
        const struct pickle_value *whole = pickle_get(here, place);
        if (whole) {
            here = whole;
            break;
        }
        size_t length = strcspn(place, ".");
        snprintf(part, sizeof part, "%.*s", (int)(length < 159 ? length : 159), place);
        here = pickle_get(here, part);
        place += length + (place[length] == '.');
    }
    if (holds_tensors(here)) return here;
    error_set(error, ERROR_USAGE, "the file has no state dict \"%.100s\": name one with --key",
              key);
    return NULL;
}

/* What else than a dict stands where the state dict should be. */
static int refuse_root(const struct pickle_value *root, struct error *error)
{
    if (root->kind == PICKLE_OPAQUE && root->global)
        return error_set(error, ERROR_INPUT,
                         "it holds an object of the class %.79s.%.79s, a program and not weights: "
                         "refused, nothing was run: " SAVE_AGAIN,
                         root->global->module, root->global->name);
    return error_set(error, ERROR_INPUT, "the pickle holds no state dict of tensors: " SAVE_AGAIN);
}

/* The only dict of tensors in the checkpoint. */
static const struct pickle_value *find_only(const struct pickle_value *root, struct error *error)
{
    const struct pickle_value *only = NULL;
    char names[200] = "";
    size_t found = 0, used = 0;
    for (size_t i = 1; root->kind == PICKLE_DICT && i < root->items.count; i += 2) {
        const struct pickle_value *name = root->items.values[i - 1];
        if (!holds_tensors(root->items.values[i])) continue;
        only = root->items.values[i];
        if (used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%.60s",
                                     found ? ", " : "",
                                     name->kind == PICKLE_TEXT ? name->text : "?");
        found++;
    }
    if (found == 1) return only;
    if (found)
        error_set(error, ERROR_INPUT, "it holds %zu state dicts (%s): name the one with --key",
                  found, names);
    else
        refuse_root(root, error);
    return NULL;
}

/* The state dict itself, or where it usually is in a checkpoint. */
static const struct pickle_value *find_state_dict(const struct pickle_value *root, const char *key,
                                                  struct error *error)
{
    static const char *const keys[] = {"state_dict", "model_state_dict", "model_state", "model",
                                       "net",        "network",          "weights"};
    if (key) return follow_key(root, key, error);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const struct pickle_value *value = pickle_get(root, keys[k]);
        if (holds_tensors(value)) return value;
    }
    return holds_tensors(root) ? root : find_only(root, error);
}

/* The highest place a tensor touches lies within its storage. */
static bool within_storage(const struct pickle_tensor *tensor)
{
    size_t last = tensor->offset, count;
    if (shape_count(tensor->rank, tensor->shape, NETWORK_MAX_PARAMETERS, &count)) return false;
    if (!count) return true;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        size_t reach;
        if (__builtin_mul_overflow(tensor->shape[d] - 1, tensor->strides[d], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return false;
    }
    return last < tensor->storage->count;
}

/* Row by row through a tensor of any strides (transposed, a slice, expanded). */
static void gather(const struct pickle_tensor *from, const char *data, struct named_tensor *to)
{
    size_t index[STATE_DICT_MAX_RANK] = {0}, size = stored_type_size(from->storage->stored);
    uint32_t inner = from->rank ? from->rank - 1 : 0;
    size_t row = from->rank ? from->shape[inner] : 1,
           stride = from->rank ? from->strides[inner] : 1;
    for (size_t done = 0; done < to->count; done += row) {
        size_t place = from->offset;
        for (uint32_t d = 0; d < inner; d++) place += index[d] * from->strides[d];
        named_tensor_fill(to, done, from->storage->stored, data + place * size, stride, row);
        for (uint32_t d = inner; d-- > 0 && ++index[d] == from->shape[d];) index[d] = 0;
    }
}

/* The values of a storage, malloc'd, of the size that the pickle says. */
static int read_storage(const struct archive *archive, const char *name,
                        const struct pickle_storage *storage, char **data, struct error *error)
{
    char record[KEY_MAX + 8];
    size_t size, wanted = storage->count * stored_type_size(storage->stored);
    if (strlen(storage->key) > KEY_MAX ||
        strspn(storage->key, "0123456789") != strlen(storage->key))
        return error_set(error, ERROR_INPUT,
                         "the tensor %.100s names no record: the file is damaged", name);
    if (archive->legacy) return legacy_storage(archive->legacy, storage->key, wanted, data, error);
    snprintf(record, sizeof record, "data/%s", storage->key);
    /* no more is taken out of the archive than the pickle says there is */
    if (read_record(archive, record, wanted, data, &size, error)) return -1;
    if (size == wanted) return 0;
    free(*data);
    return error_set(error, ERROR_INPUT,
                     "the record %s has %zu bytes, the pickle says %zu values: the file is damaged",
                     record, size, storage->count);
}

static int load_tensor(const struct archive *archive, const char *name,
                       const struct pickle_tensor *tensor, struct state_dict *state,
                       struct error *error)
{
    const struct pickle_storage *storage = tensor->storage;
    struct named_tensor *to;
    char *data;
    if (!storage->floating)
        return error_set(error, ERROR_INPUT,
                         "the tensor %.100s is a %s: weights of floating-point numbers are read",
                         name, storage->type);
    if (!within_storage(tensor) || storage->count > NETWORK_MAX_PARAMETERS)
        return error_set(error, ERROR_INPUT,
                         "the tensor %.100s reaches outside its storage: the file is damaged",
                         name);
    if (read_storage(archive, name, storage, &data, error)) return -1;
    int status = state_dict_add(state, name, stored_type_dtype(storage->stored), tensor->rank,
                                tensor->shape, &to, error);
    if (!status) gather(tensor, data, to);
    free(data);
    return status;
}

/* Counters and the like: integers that are no layer's weight or bias. */
static bool is_counter(const char *name, const struct pickle_tensor *tensor)
{
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
    return !tensor->storage->floating && strcmp(last, "weight") != 0 && strcmp(last, "bias") != 0;
}

/* Entries that are no tensors (versions, counters) are passed over; an object of a class that is
 * not known could be * anything, a quantized layer's weights too. */
static int load_state_dict(const struct archive *archive, const struct pickle_value *dict,
                           struct state_dict *state, struct error *error)
{
    for (size_t i = 0; i < dict->items.count; i += 2) {
        const struct pickle_value *name = dict->items.values[i], *value = dict->items.values[i + 1];
        if (value->kind == PICKLE_OPAQUE && value->global)
            return error_set(error, ERROR_INPUT,
                             "the state dict holds an object of the class %.79s.%.79s: refused, "
                             "nothing was run: " SAVE_AGAIN,
                             value->global->module, value->global->name);
        if (value->kind != PICKLE_TENSOR) continue;
        if (name->kind != PICKLE_TEXT)
            return error_set(error, ERROR_INPUT, "a tensor has no name: " SAVE_AGAIN);
        if (is_counter(name->text, &value->tensor)) continue;
        if (state->count == TENSORS_MAX)
            return error_set(
                error, ERROR_INPUT,
                "it has more than %d tensors: the studio reads networks of up to %d layers",
                PARAMETERS_MAX_TENSORS, NETWORK_MAX_LAYERS);
        if (load_tensor(archive, name->text, &value->tensor, state, error)) return -1;
    }
    return 0;
}

/* PyTorch writes one pickle. Which of several another program takes, and which a scanner looks at,
 * is anybody's guess. */
static int refuse_second_pickle(const struct archive *archive, struct error *error)
{
    zip_int64_t own = find_record(archive, "data.pkl"),
                count = zip_get_num_entries(archive->zip, 0);
    for (zip_int64_t i = 0; i < count; i++) {
        const char *name = zip_get_name(archive->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        size_t length = name ? strlen(name) : 0;
        if (i != own && length >= 4 && strcasecmp(name + length - 4, ".pkl") == 0)
            return error_set(error, ERROR_INPUT,
                             "it holds a second pickle, %.100s, which torch.save does not write: "
                             "refused, nothing was run: " SAVE_AGAIN,
                             name);
    }
    return 0;
}

static int check_records(const struct archive *archive, struct error *error)
{
    char *order;
    size_t size;
    if (find_record(archive, "constants.pkl") >= 0)
        return error_set(error, ERROR_INPUT,
                         "it is a TorchScript program: save only its weights in Python with "
                         "torch.save(torch.jit.load(\"model.pt\").state_dict(), \"model.pth\")");
    if (refuse_second_pickle(archive, error)) return -1;
    if (find_record(archive, "byteorder") < 0) return 0; /* older than PyTorch 2.1 */
    if (read_record(archive, "byteorder", 64, &order, &size, error)) return -1;
    bool little = strncmp(order, "little", 6) == 0;
    free(order);
    return little ? 0
                  : error_set(error, ERROR_INPUT,
                              "it was saved on a big-endian machine: save it again on another");
}

/* What the studio wrote beside the tensors: {"network":{…},"metadata":{…}}. NULL when there is
 * none. */
static int read_note(const struct archive *archive, json_t **out, struct error *error)
{
    char *text;
    size_t size;
    *out = NULL;
    if (find_record(archive, PTH_NOTE_RECORD) < 0) return 0;
    if (read_record(archive, PTH_NOTE_RECORD, NOTE_MAX, &text, &size, error)) return -1;
    int status = js_parse_object(text, size, "the record " PTH_NOTE_RECORD, out, error);
    free(text);
    return status;
}

static int read_archive(const char *path, const char *key, struct state_dict *state, json_t **note,
                        struct error *error)
{
    int status = -1;
    struct archive archive = {0};
    struct pickle *pickle = NULL;
    const struct pickle_value *dict;
    char *program = NULL;
    size_t size;
    if (archive_open(path, &archive, error) || check_records(&archive, error) ||
        read_record(&archive, "data.pkl", PICKLE_MAX_BYTES, &program, &size, error) ||
        pickle_read(program, size, NULL, &pickle, error) ||
        !(dict = find_state_dict(pickle_root(pickle), key, error)) ||
        load_state_dict(&archive, dict, state, error) || read_note(&archive, note, error))
        goto out;
    status = 0;
out:
    pickle_destroy(pickle);
    free(program);
    archive_close(&archive);
    return status;
}

static int read_legacy(const char *path, const char *key, struct state_dict *state,
                       struct error *error)
{
    struct legacy legacy;
    const struct pickle_value *dict;
    int status = -1;
    if (legacy_open(path, &legacy, error)) return -1;
    const struct archive archive = {.legacy = &legacy};
    dict = find_state_dict(pickle_root(legacy.object), key, error);
    if (dict) status = load_state_dict(&archive, dict, state, error);
    legacy_close(&legacy);
    return status;
}

static int read_model(const char *path, const struct modelfile_options *options, struct model *out,
                      struct error *error)
{
    struct state_dict state = {0};
    json_t *note = NULL;
    const char *key = options ? options->key : NULL;
    int status = legacy_is(path) ? read_legacy(path, key, &state, error)
                                 : read_archive(path, key, &state, &note, error);
    const struct model_note noted = {.network = json_object_get(note, "network"),
                                     .metadata = json_object_get(note, "metadata"),
                                     .assumed = json_object_get(note, "assumed")};
    if (!status) status = model_from_state_dict(&state, &noted, true, options, out, error);
    if (status)
        error_prefix(error, "%s", path);
    else if (json_is_object(noted.metadata))
        out->metadata = json_deep_copy(noted.metadata);
    json_decref(note);
    state_dict_clear(&state);
    return status;
}

const struct modelfile_format modelfile_pth = {
    .id = "pth",
    .title = "PyTorch state dict",
    .extensions = "pth pt",
    .read = read_model,
    .write = pth_write_model,
};
