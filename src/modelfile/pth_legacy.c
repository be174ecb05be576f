#include "modelfile/pth_legacy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static const char magic[] = "\x80\x02\x8a\x0al\xfc\x9c"
                            "F\xf9 j\xa8P\x19.";

bool legacy_is(const char *path)
{
    char head[sizeof magic - 1];
    FILE *file = fopen(path, "rbe");
    bool is = file && fread(head, 1, sizeof head, file) == sizeof head &&
              memcmp(head, magic, sizeof head) == 0;
    if (file) fclose(file);
    return is;
}

static int damaged(struct error *error)
{
    error_set(error, ERROR_INPUT, "the file is damaged or cut short: save it again");
    return -1;
}

/* The pickle at `place`, which moves behind it. */
static int take_pickle(const struct legacy *legacy, size_t *place, struct pickle **out,
                       struct error *error)
{
    size_t left = legacy->size - *place, used;
    if (left > PICKLE_MAX_BYTES) left = PICKLE_MAX_BYTES;
    if (pickle_read(legacy->data + *place, left, &used, out, error)) return -1;
    *place += used;
    return 0;
}

/* The version and the machine's pickles. */
static int take_head(const struct legacy *legacy, size_t *place, struct error *error)
{
    for (int i = 0; i < 2; i++) {
        struct pickle *pickle;
        if (take_pickle(legacy, place, &pickle, error)) return -1;
        const struct pickle_value *root = pickle_root(pickle),
                                  *little = pickle_get(root, "little_endian");
        bool version = i == 0 && (root->kind != PICKLE_INTEGER || root->integer != 1001);
        bool big = i == 1 && little && little->kind == PICKLE_BOOL && !little->truth;
        pickle_destroy(pickle);
        if (version)
            return error_set(error, ERROR_INPUT,
                             "it is of a version of PyTorch that the studio does not know");
        if (big)
            return error_set(error, ERROR_INPUT,
                             "it was saved on a big-endian machine: save it again on another");
    }
    return 0;
}

int legacy_open(const char *path, struct legacy *out, struct error *error)
{
    size_t place = sizeof magic - 1;
    *out = (struct legacy){0};
    if (file_read(path, STATE_DICT_MAX_VALUES * sizeof(double), &out->data, &out->size, error))
        return -1;
    if (take_head(out, &place, error) || take_pickle(out, &place, &out->object, error) ||
        take_pickle(out, &place, &out->keys, error) ||
        (pickle_root(out->keys)->kind != PICKLE_LIST && damaged(error))) {
        legacy_close(out);
        return -1;
    }
    out->storages = place;
    return 0;
}

void legacy_close(struct legacy *legacy)
{
    pickle_destroy(legacy->object);
    pickle_destroy(legacy->keys);
    free(legacy->data);
}

int legacy_storage(const struct legacy *legacy, const char *key, size_t size, char **out,
                   struct error *error)
{
    const struct pickle_items *keys = &pickle_root(legacy->keys)->items;
    size_t place = legacy->storages;
    for (size_t i = 0; i < keys->count; i++) {
        int64_t count;
        if (keys->values[i]->kind != PICKLE_TEXT || legacy->size - place < sizeof count)
            return damaged(error);
        memcpy(&count, legacy->data + place, sizeof count);
        place += sizeof count;
        const struct pickle_storage *storage = pickle_storage_find(legacy->object,
                                                                   keys->values[i]->text);
        size_t bytes;
        if (!storage || !storage->size || count < 0 || (size_t)count != storage->count ||
            __builtin_mul_overflow((size_t)count, storage->size, &bytes) ||
            bytes > legacy->size - place)
            return damaged(error);
        if (strcmp(keys->values[i]->text, key) == 0) {
            if (bytes != size) return damaged(error);
            *out = malloc(bytes + 1);
            if (!*out) return error_set_memory(error, "the model file");
            memcpy(*out, legacy->data + place, bytes);
            return 0;
        }
        place += bytes;
    }
    return damaged(error);
}
