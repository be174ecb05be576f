/* A reader of pickles that can build nothing but plain data and tensors. Private to this room.
 *
 * A pickle is a program for a small stack machine (Python's pickletools lists its instructions).
 * This one has the instructions that make numbers, texts, tuples, lists and dicts; where a pickle
 * names a Python object or calls one, the name must be in the short table of pickle_globals.c,
 * whose "calls" only make values of the kinds below. Anything else ends the reading with an error
 * that gives the name. Nothing is ever imported or run.
 *
 * All values belong to the struct pickle and live as long as it does; a value may be reached by
 * several ways, and in a hostile file contain itself, so a walk over them must be bounded. */
#ifndef NNSTUDIO_MODELFILE_PICKLE_H
#define NNSTUDIO_MODELFILE_PICKLE_H

#include <stdbool.h>

#include "modelfile/state_dict.h"

#define PICKLE_MAX_BYTES ((size_t)8 << 20)
#define PICKLE_MAX_STEPS 1000000 /* instructions */

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INTEGER,
    PICKLE_REAL,
    PICKLE_TEXT,
    PICKLE_TUPLE, /* items */
    PICKLE_LIST,  /* items; sets too */
    PICKLE_DICT,  /* items: key, value, key, value … in the order they were set */
    PICKLE_GLOBAL,
    PICKLE_STORAGE,
    PICKLE_TENSOR,
    /* something whose content is of no use here: bytes, a device, an object of a class that is not
     * known, whose name is * then in `global` */
    PICKLE_OPAQUE,
    PICKLE_MARK, /* only ever on the machine's stack */
};

struct pickle_value;
struct pickle_global;

struct pickle_items {
    struct pickle_value **values; /* owned array */
    size_t count, capacity;
};

/* torch's storage: `count` values in the archive's record data/KEY. */
struct pickle_storage {
    const char *type; /* "FloatStorage" */
    /* whether `stored` says something; integers and the like are only carried along */
    bool floating;
    size_t size; /* bytes of a value; 0: not known */
    enum stored_type stored;
    const char *key;
    size_t count;
};

struct pickle_tensor {
    const struct pickle_storage *storage;
    size_t offset; /* in values, as the strides */
    uint32_t rank;
    size_t shape[STATE_DICT_MAX_RANK], strides[STATE_DICT_MAX_RANK];
};

struct pickle_value {
    enum pickle_kind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        char *text; /* owned; NUL-terminated, holds no other NUL */
        struct pickle_items items;
        const struct pickle_global *global;
        struct pickle_storage storage;
        struct pickle_tensor tensor;
    };
};

struct pickle;

/* Runs the pickle at the beginning of `size` bytes; `used` (may be NULL) becomes its length. The
 * caller destroys *out. */
int pickle_read(const void *bytes, size_t size, size_t *used, struct pickle **out,
                struct error *error);
/* The storage of this key, or NULL. */
const struct pickle_storage *pickle_storage_find(const struct pickle *pickle, const char *key);
void pickle_destroy(struct pickle *pickle);
const struct pickle_value *pickle_root(const struct pickle *pickle);
/* The value of a text key, or NULL when `dict` is no dict or has none. */
const struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key);

/* Between pickle.c and pickle_globals.c. */

/* A Python object that a pickle may name. */
struct pickle_global {
    const char *module, *name;
    /* What a call of it with `arguments` (a tuple) gives; NULL: it may only be named. */
    int (*call)(struct pickle *pickle, const struct pickle_value *arguments,
                struct pickle_value **out, struct error *error);
    bool unknown; /* a class of the file's own */
};
/* NULL for all that is not in the table. */
const struct pickle_global *pickle_global_find(const char *module, const char *name);
/* Whether a module runs things: no file of weights names it. */
bool pickle_module_runs(const char *module);
/* The storage that the persistent id `id`, ("storage", torch.FloatStorage, "0", "cpu", 12), means.
 */
int pickle_make_storage(struct pickle *pickle, const struct pickle_value *id,
                        struct pickle_value **out, struct error *error);
/* A fresh value, owned by `pickle`. */
int pickle_new(struct pickle *pickle, enum pickle_kind kind, struct pickle_value **out,
               struct error *error);

#endif
