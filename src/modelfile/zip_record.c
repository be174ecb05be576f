#include "modelfile/zip_record.h"

#include <stdbool.h>
#include <stdlib.h>

int zip_record_read(zip_t *zip, zip_int64_t index, const char *name, uint64_t file_size,
                    size_t limit, char **out, size_t *size, struct error *error)
{
    zip_stat_t info;
    if (index < 0 || zip_stat_index(zip, (zip_uint64_t)index, 0, &info) ||
        !(info.valid & ZIP_STAT_SIZE))
        return error_set(error, ERROR_INPUT, "the record %s is missing: the file is damaged", name);
    bool stored = info.comp_method == ZIP_CM_STORE;
    if (!stored && info.comp_method != ZIP_CM_DEFLATE)
        return error_set(error, ERROR_INPUT,
                         "the record %s is compressed in an unusual way: save the file again",
                         name);
    /* Deflate shrinks at most about 1:1032. */
    if (info.size > limit || info.comp_size > file_size ||
        info.size > info.comp_size * (stored ? 1 : 1040))
        return error_set(error, ERROR_INPUT,
                         "the record %s claims %llu bytes, the most is %zu: the file is "
                         "damaged",
                         name, (unsigned long long)info.size, limit);
    char extra, *data = malloc((size_t)info.size + 1);
    zip_file_t *file = data ? zip_fopen_index(zip, (zip_uint64_t)index, 0) : NULL;
    if (!file || zip_fread(file, data, info.size) != (zip_int64_t)info.size ||
        zip_fread(file, &extra, 1) != 0) {
        bool memory = !data;
        if (file) zip_fclose(file);
        free(data);
        if (memory) return error_set_memory(error, "the model file");
        return error_set(error, ERROR_INPUT, "the record %s cannot be read: the file is damaged",
                         name);
    }
    zip_fclose(file);
    data[info.size] = '\0';
    *out = data;
    *size = (size_t)info.size;
    return 0;
}
