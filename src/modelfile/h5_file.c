#include "modelfile/h5_file.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "modelfile/h5_lzf.h"

#define NAMES_MAX 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void h5_lock(void)
{
    pthread_mutex_lock(&lock);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* its stack of messages is not for users */
    H5PLset_loading_state(0);              /* no plug-in, whatever a file asks for */
    h5_lzf_register();
}

void h5_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static int damaged(const char *what, struct error *error)
{
    error_set(error, ERROR_INPUT, "\"%.100s\" cannot be read: the file is damaged or cut short",
              what);
    return -1;
}

int h5_open(const char *data, size_t size, hid_t *out, struct error *error)
{
    *out = -1;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0) return error_set_memory(error, "the model file");
    /* The library copies the bytes; it does not write to them. */
    if (H5Pset_fapl_core(access, 1 << 16, 0) >= 0 &&
        H5Pset_file_image(access, (void *)(uintptr_t)data, size) >= 0)
        *out = H5Fopen("model.h5", H5F_ACC_RDONLY, access); /* in memory: the name is only a name */
    H5Pclose(access);
    if (*out < 0)
        return error_set(error, ERROR_INPUT,
                         "HDF5 cannot open it: the file is damaged or cut short");
    return 0;
}

/* One step down, along a hard link. *out is negative when there is none of that name. */
static int open_member(hid_t parent, const char *name, hid_t *out, struct error *error)
{
    H5L_info_t link;
    *out = -1;
    htri_t exists = H5Lexists(parent, name, H5P_DEFAULT);
    if (exists == 0) return 0;
    if (exists < 0 || H5Lget_info(parent, name, &link, H5P_DEFAULT) < 0)
        return damaged(name, error);
    if (link.type != H5L_TYPE_HARD)
        return error_set(error, ERROR_INPUT,
                         "\"%.100s\" is a link to elsewhere: refused: save the model again, whole",
                         name);
    *out = H5Oopen(parent, name, H5P_DEFAULT);
    return *out < 0 ? damaged(name, error) : 0;
}

/* Walks "a/b/c"; an empty part ends it. The object may be of any kind. */
static int open_path(hid_t parent, const char *path, hid_t *out, struct error *error)
{
    char part[STATE_DICT_MAX_NAME];
    hid_t here = H5Oopen(parent, ".", H5P_DEFAULT);
    *out = -1;
    for (int depth = 0; here >= 0; depth++) {
        path += strspn(path, "/");
        if (!*path) break;
        size_t length = strcspn(path, "/");
        hid_t next = -1;
        int status = -1;
        if (length >= sizeof part || depth == H5_MAX_DEPTH || (length == 1 && *path == '.')) {
            damaged(path, error);
        } else {
            memcpy(part, path, length);
            part[length] = '\0';
            status = open_member(here, part, &next, error);
        }
        H5Oclose(here);
        if (status) return -1;
        here = next;
        path += length;
    }
    *out = here;
    return 0;
}

int h5_group(hid_t parent, const char *path, hid_t *out, struct error *error)
{
    if (open_path(parent, path, out, error)) return -1;
    if (*out >= 0 && H5Iget_type(*out) != H5I_GROUP) {
        H5Oclose(*out);
        return error_set(error, ERROR_INPUT, "\"%.100s\" is not a group: the file is damaged",
                         path);
    }
    return 0;
}

bool h5_may_be_group(hid_t parent, const char *name)
{
    hid_t member;
    struct error unused;
    if (open_member(parent, name, &member, &unused)) return true; /* h5_group() will say why not */
    if (member < 0) return false;
    bool group = H5Iget_type(member) == H5I_GROUP;
    H5Oclose(member);
    return group;
}

void h5_names_free(struct h5_names *names)
{
    for (size_t i = 0; i < names->count; i++) free(names->items[i]);
    free(names->items);
    *names = (struct h5_names){0};
}

/* The attribute's texts when each has a fixed room. */
static int read_fixed(hid_t attribute, hid_t type, struct h5_names *out, struct error *error)
{
    size_t room = H5Tget_size(type);
    if (!room || room > H5_MAX_TEXT || out->count > H5_MAX_TEXT / room)
        return damaged("an attribute", error);
    char *block = calloc(out->count, room);
    if (!block) return error_set_memory(error, "an attribute");
    int status = H5Aread(attribute, type, block) < 0 ? damaged("an attribute", error) : 0;
    for (size_t i = 0; !status && i < out->count; i++) {
        out->items[i] = strndup(block + i * room, room);
        if (!out->items[i]) status = error_set_memory(error, "an attribute");
    }
    free(block);
    return status;
}

/* The same when they are of any length, kept in the file's heap. */
static int read_variable(hid_t attribute, hid_t type, hid_t space, struct h5_names *out,
                         struct error *error)
{
    char **texts = calloc(out->count, sizeof *texts);
    if (!texts) return error_set_memory(error, "an attribute");
    int status = H5Aread(attribute, type, texts) < 0 ? damaged("an attribute", error) : 0;
    for (size_t i = 0; !status && i < out->count; i++) {
        if (texts[i] && strlen(texts[i]) > H5_MAX_TEXT) {
            status = damaged("an attribute", error);
            break;
        }
        out->items[i] = strdup(texts[i] ? texts[i] : "");
        if (!out->items[i]) status = error_set_memory(error, "an attribute");
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
    free(texts);
    return status;
}

/* A type for reading texts of the attribute's kind; negative when it holds none. */
static hid_t memory_type(hid_t stored)
{
    if (H5Tget_class(stored) != H5T_STRING) return -1;
    return H5Tcopy(stored);
}

int h5_attribute_names(hid_t object, const char *name, struct h5_names *out, bool *found,
                       struct error *error)
{
    int status = -1;
    hid_t attribute = -1, space = -1, stored = -1, type = -1;
    *out = (struct h5_names){0};
    htri_t exists = H5Aexists(object, name);
    *found = exists > 0;
    if (exists == 0) return 0;
    if (exists < 0 || (attribute = H5Aopen(object, name, H5P_DEFAULT)) < 0 ||
        (space = H5Aget_space(attribute)) < 0 || (stored = H5Aget_type(attribute)) < 0) {
        damaged(name, error);
        goto out;
    }
    hssize_t count = H5Sget_simple_extent_npoints(space);
    if (count == 0) { /* an empty list has no type to speak of */
        status = 0;
        goto out;
    }
    type = memory_type(stored);
    if (count < 0 || count > NAMES_MAX || type < 0) {
        damaged(name, error);
        goto out;
    }
    out->items = calloc((size_t)count, sizeof *out->items);
    if (!out->items) {
        error_set_memory(error, "an attribute");
        goto out;
    }
    out->count = (size_t)count;
    status = H5Tis_variable_str(type) > 0 ? read_variable(attribute, type, space, out, error)
                                          : read_fixed(attribute, type, out, error);
out:
    if (status) h5_names_free(out);
    if (type >= 0) H5Tclose(type);
    if (stored >= 0) H5Tclose(stored);
    if (space >= 0) H5Sclose(space);
    if (attribute >= 0) H5Aclose(attribute);
    return status;
}

int h5_attribute_text(hid_t object, const char *name, char **out, struct error *error)
{
    struct h5_names names;
    bool found;
    *out = NULL;
    if (h5_attribute_names(object, name, &names, &found, error)) return -1;
    if (!found) return 0;
    if (names.count == 1) {
        *out = names.items[0];
        names.items[0] = NULL;
    }
    h5_names_free(&names);
    return *out ? 0 : damaged(name, error);
}

static int compare_names(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

int h5_members(hid_t group, struct h5_names *out, struct error *error)
{
    H5G_info_t info;
    *out = (struct h5_names){0};
    if (H5Gget_info(group, &info) < 0 || info.nlinks > NAMES_MAX) return damaged("a group", error);
    out->items = calloc(info.nlinks ? info.nlinks : 1, sizeof *out->items);
    if (!out->items) return error_set_memory(error, "a group");
    for (hsize_t i = 0; i < info.nlinks; i++) {
        ssize_t length = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, NULL, 0,
                                            H5P_DEFAULT);
        char *name = length >= 0 && length < STATE_DICT_MAX_NAME ? calloc(1, (size_t)length + 1)
                                                                 : NULL;
        if (name) out->items[out->count++] = name;
        if (!name || H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name,
                                        (size_t)length + 1, H5P_DEFAULT) < 0) {
            h5_names_free(out);
            return damaged("a group", error);
        }
    }
    if (out->count) qsort(out->items, out->count, sizeof *out->items, compare_names);
    return 0;
}

/* The data must lie in this file, plainly or behind the library's own filters, and be there at
 * all. */
static int check_storage(hid_t dataset, const char *path, size_t count, struct error *error)
{
    int status = -1;
    hid_t created = H5Dget_create_plist(dataset);
    if (created < 0) return damaged(path, error);
    if (H5Pget_external_count(created) != 0 || H5Pget_layout(created) == H5D_VIRTUAL) {
        error_set(error, ERROR_INPUT,
                  "\"%.100s\" keeps its data in another file: refused: save the model again, whole",
                  path);
        goto out;
    }
    int filters = H5Pget_nfilters(created);
    for (int i = 0; i < filters; i++) {
        unsigned int flags, settings;
        size_t room = 0;
        H5Z_filter_t filter = H5Pget_filter2(created, (unsigned int)i, &flags, &room, NULL, 0, NULL,
                                             &settings);
        if (filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE ||
            filter == H5Z_FILTER_FLETCHER32 || filter == H5_LZF_FILTER)
            continue;
        error_set(error, ERROR_INPUT,
                  "\"%.100s\" is compressed with HDF5's filter %d, which the studio does not "
                  "know: save it with gzip, lzf or plain",
                  path, (int)filter);
        goto out;
    }
    if (H5Pget_layout(created) == H5D_CHUNKED) {
        hsize_t chunk[STATE_DICT_MAX_RANK];
        size_t sizes[STATE_DICT_MAX_RANK], total;
        int rank = H5Pget_chunk(created, STATE_DICT_MAX_RANK, chunk);
        for (int d = 0; d < rank && d < STATE_DICT_MAX_RANK; d++) sizes[d] = (size_t)chunk[d];
        if (rank < 0 || rank > STATE_DICT_MAX_RANK ||
            shape_count((uint32_t)rank, sizes, NETWORK_MAX_PARAMETERS, &total)) {
            damaged(path, error);
            goto out;
        }
    }
    if (count && H5Dget_storage_size(dataset) == 0) {
        error_set(error, ERROR_INPUT, "\"%.100s\" has a shape but no data: the file is damaged",
                  path);
        goto out;
    }
    status = 0;
out:
    H5Pclose(created);
    return status;
}

/* Keras writes bfloat16, which HDF5 has no name for, as two bytes without a type, and in its newer
 * files notes beside them what they are. */
static bool is_bfloat16(hid_t dataset, hid_t type)
{
    char *noted;
    struct error unused;
    if (H5Tget_class(type) != H5T_OPAQUE || H5Tget_size(type) != 2 ||
        h5_attribute_text(dataset, "dtype", &noted, &unused) || !noted)
        return false;
    bool is = strcmp(noted, "bfloat16") == 0;
    free(noted);
    return is;
}

static int read_bfloat16(hid_t dataset, hid_t type, struct named_tensor *tensor, const char *path,
                         struct error *error)
{
    uint16_t *values = calloc(tensor->count ? tensor->count : 1, sizeof *values);
    if (!values) return error_set_memory(error, "the weights");
    int status = H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0
                     ? damaged(path, error)
                     : 0;
    if (!status) named_tensor_fill(tensor, 0, STORED_BFLOAT16, values, 1, tensor->count);
    free(values);
    return status;
}

static int read_values(hid_t dataset, hid_t space, hid_t type, const char *path, const char *as,
                       struct state_dict *state, struct error *error)
{
    hsize_t extent[STATE_DICT_MAX_RANK];
    size_t shape[STATE_DICT_MAX_RANK], count;
    bool opaque = H5Tget_class(type) == H5T_OPAQUE, wide = H5Tget_size(type) == 8;
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0 || rank > STATE_DICT_MAX_RANK ||
        H5Sget_simple_extent_dims(space, extent, NULL) < 0)
        return damaged(path, error);
    for (int d = 0; d < rank; d++) shape[d] = (size_t)extent[d];
    if (shape_count((uint32_t)rank, shape, NETWORK_MAX_PARAMETERS, &count))
        return error_set(
            error, ERROR_INPUT,
            "\"%.100s\" claims too many values: the file is damaged, or no model for the studio",
            path);
    struct named_tensor *tensor;
    if (check_storage(dataset, path, count, error) ||
        state_dict_add(state, as, wide ? DTYPE_FLOAT64 : DTYPE_FLOAT32, (uint32_t)rank, shape,
                       &tensor, error))
        return -1;
    if (opaque) return read_bfloat16(dataset, type, tensor, path, error);
    if (H5Dread(dataset, wide ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                tensor->values) < 0)
        return damaged(path, error);
    return 0;
}

int h5_dataset(hid_t group, const char *path, const char *as, struct state_dict *state,
               struct error *error)
{
    int status = -1;
    hid_t dataset, type = -1, space = -1;
    if (open_path(group, path, &dataset, error)) return -1;
    if (dataset < 0)
        return error_set(error, ERROR_INPUT, "\"%.100s\" is missing: the file is damaged", path);
    if (H5Iget_type(dataset) != H5I_DATASET) {
        error_set(error, ERROR_INPUT, "\"%.100s\" is not a data set: the file is damaged", path);
        goto out;
    }
    if ((type = H5Dget_type(dataset)) < 0 || (space = H5Dget_space(dataset)) < 0) {
        damaged(path, error);
        goto out;
    }
    size_t size = H5Tget_size(type);
    bool numbers = H5Tget_class(type) == H5T_FLOAT && (size == 2 || size == 4 || size == 8);
    if (numbers || is_bfloat16(dataset, type))
        status = read_values(dataset, space, type, path, as, state, error);
    else if (H5Tget_class(type) == H5T_OPAQUE && size == 2)
        error_set(error, ERROR_INPUT,
                  "\"%.100s\" holds numbers of two bytes and does not say which, as Keras writes "
                  "bfloat16 into .h5: save the model as .keras",
                  path);
    else
        error_set(error, ERROR_INPUT,
                  "\"%.100s\" holds no floating-point numbers the studio knows: save it as float32 "
                  "or float64",
                  path);
out:
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    H5Oclose(dataset);
    return status;
}

int h5_read_confined(const char *path, confined_reader *read,
                     const struct modelfile_options *options, struct model *out,
                     struct error *error)
{
    char *data;
    size_t size;
    if (file_read(path, H5_FILE_MAX, &data, &size, error)) return -1;
    h5_lock(); /* no other thread is inside the library while the child is split off */
    int status = confined_read(read, data, size, options, out, error);
    h5_unlock();
    free(data);
    return status ? error_prefix(error, "%s", path) : 0;
}
