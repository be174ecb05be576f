/* PyTorch's form from before 1.6: five pickles (a magic number, a version, the machine, the object,
 * the storages' keys), * then each storage as its count and its bytes (torch/serialization.py,
 * _legacy_save). Private to this room. */
#ifndef NNSTUDIO_MODELFILE_PTH_LEGACY_H
#define NNSTUDIO_MODELFILE_PTH_LEGACY_H

#include "modelfile/pickle.h"

struct legacy {
    char *data; /* owned; the whole file */
    size_t size;
    struct pickle *object, *keys; /* owned */
    size_t storages;              /* where the first storage begins */
};

bool legacy_is(const char *path);
int legacy_open(const char *path, struct legacy *out, struct error *error);
void legacy_close(struct legacy *legacy);
/* The `size` bytes of the storage of this key, malloc'd. */
int legacy_storage(const struct legacy *legacy, const char *key, size_t size, char **out,
                   struct error *error);

#endif
