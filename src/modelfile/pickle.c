/* The stack machine. See pickle.h; the instructions are described in Python's Lib/pickletools.py.
 */
#include "modelfile/pickle.h"

#include <stdlib.h>
#include <string.h>

#define MEMO_MAX PICKLE_MAX_STEPS

struct pickle {
    const unsigned char *bytes; /* what is left to read */
    size_t size;
    struct pickle_items stack;      /* borrowed values */
    struct pickle_items memo;       /* by number; NULL where there is none */
    struct pickle_items all;        /* every value made, to be freed */
    struct pickle_global **unknown; /* owned; classes that are in no table */
    size_t unknown_count;
    struct pickle_value *root;
    struct pickle_value none, mark;
};

static int items_add(struct pickle_items *items, struct pickle_value *value, struct error *error)
{
    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? 2 * items->capacity : 8;
        struct pickle_value **values = realloc(items->values, capacity * sizeof *values);
        if (!values) return error_set_memory(error, "the pickle");
        items->values = values;
        items->capacity = capacity;
    }
    items->values[items->count++] = value;
    return 0;
}

static bool has_items(const struct pickle_value *value)
{
    return value->kind == PICKLE_TUPLE || value->kind == PICKLE_LIST || value->kind == PICKLE_DICT;
}

int pickle_new(struct pickle *pickle, enum pickle_kind kind, struct pickle_value **out,
               struct error *error)
{
    struct pickle_value *value = calloc(1, sizeof *value);
    if (!value) return error_set_memory(error, "the pickle");
    value->kind = kind;
    if (items_add(&pickle->all, value, error)) {
        free(value);
        return -1;
    }
    *out = value;
    return 0;
}

void pickle_destroy(struct pickle *pickle)
{
    if (!pickle) return;
    for (size_t i = 0; i < pickle->all.count; i++) {
        struct pickle_value *value = pickle->all.values[i];
        if (value->kind == PICKLE_TEXT) free(value->text);
        if (has_items(value)) free(value->items.values);
        free(value);
    }
    for (size_t i = 0; i < pickle->unknown_count; i++) {
        free((char *)(uintptr_t)pickle->unknown[i]->module);
        free((char *)(uintptr_t)pickle->unknown[i]->name);
        free(pickle->unknown[i]);
    }
    free(pickle->unknown);
    free(pickle->all.values);
    free(pickle->memo.values);
    free(pickle->stack.values);
    free(pickle);
}

const struct pickle_value *pickle_root(const struct pickle *pickle)
{
    return pickle->root;
}

const struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key)
{
    const struct pickle_value *found = NULL; /* the last of equal keys, as in Python */
    if (dict->kind != PICKLE_DICT) return NULL;
    for (size_t i = 0; i + 1 < dict->items.count; i += 2)
        if (dict->items.values[i]->kind == PICKLE_TEXT &&
            strcmp(dict->items.values[i]->text, key) == 0)
            found = dict->items.values[i + 1];
    return found;
}

/* Reading the program */

static int damaged(struct error *error)
{
    error_set(error, ERROR_INPUT, "the pickle is damaged or cut short: save the file again");
    return -1;
}

static int take(struct pickle *pickle, size_t count, const unsigned char **out, struct error *error)
{
    if (count > pickle->size) return damaged(error);
    *out = pickle->bytes;
    pickle->bytes += count;
    pickle->size -= count;
    return 0;
}

/* A little-endian number of `width` bytes, at most 8. */
static int take_number(struct pickle *pickle, size_t width, uint64_t *out, struct error *error)
{
    const unsigned char *bytes;
    if (take(pickle, width, &bytes, error)) return -1;
    *out = 0;
    for (size_t i = 0; i < width; i++) *out |= (uint64_t)bytes[i] << (8 * i);
    return 0;
}

/* Text up to a newline, malloc'd. */
static int take_line(struct pickle *pickle, char **out, struct error *error)
{
    const unsigned char *line;
    const unsigned char *end = pickle->size ? memchr(pickle->bytes, '\n', pickle->size) : NULL;
    if (!end) return damaged(error);
    size_t length = (size_t)(end - pickle->bytes);
    if (take(pickle, length + 1, &line, error)) return -1;
    if (memchr(line, '\0', length)) return damaged(error);
    *out = strndup((const char *)line, length);
    return *out ? 0 : error_set_memory(error, "the pickle");
}

/* The stack */

static int push(struct pickle *pickle, struct pickle_value *value, struct error *error)
{
    return items_add(&pickle->stack, value, error);
}

static int pop(struct pickle *pickle, struct pickle_value **out, struct error *error)
{
    if (!pickle->stack.count || pickle->stack.values[pickle->stack.count - 1] == &pickle->mark)
        return damaged(error);
    *out = pickle->stack.values[--pickle->stack.count];
    return 0;
}

static struct pickle_value *top(const struct pickle *pickle)
{
    size_t count = pickle->stack.count;
    return count && pickle->stack.values[count - 1] != &pickle->mark
               ? pickle->stack.values[count - 1]
               : NULL;
}

/* The values above the uppermost mark are values[*first …]; pop_mark() takes them and the mark
 * off. */
static int find_mark(struct pickle *pickle, size_t *first, struct error *error)
{
    size_t i = pickle->stack.count;
    while (i && pickle->stack.values[i - 1] != &pickle->mark) i--;
    if (!i) return damaged(error);
    *first = i;
    return 0;
}

static void pop_mark(struct pickle *pickle, size_t first)
{
    pickle->stack.count = first - 1;
}

/* The instructions. `extra` is the table's number: a width or a count. */

static int op_ignore(struct pickle *pickle, int extra, struct error *error)
{
    uint64_t unused;
    return extra ? take_number(pickle, (size_t)extra, &unused, error) : 0;
}

static int op_mark(struct pickle *pickle, int extra, struct error *error)
{
    (void)extra;
    return push(pickle, &pickle->mark, error);
}

static int op_pop(struct pickle *pickle, int extra, struct error *error)
{
    (void)extra;
    if (!pickle->stack.count) return damaged(error);
    pickle->stack.count--;
    return 0;
}

static int op_pop_mark(struct pickle *pickle, int extra, struct error *error)
{
    size_t first;
    (void)extra;
    if (find_mark(pickle, &first, error)) return -1;
    pop_mark(pickle, first);
    return 0;
}

static int op_dup(struct pickle *pickle, int extra, struct error *error)
{
    (void)extra;
    return top(pickle) ? push(pickle, top(pickle), error) : damaged(error);
}

static int op_none(struct pickle *pickle, int extra, struct error *error)
{
    (void)extra;
    return push(pickle, &pickle->none, error);
}

static int op_bool(struct pickle *pickle, int extra, struct error *error)
{
    struct pickle_value *value;
    if (pickle_new(pickle, PICKLE_BOOL, &value, error)) return -1;
    value->truth = extra;
    return push(pickle, value, error);
}

static int op_integer(struct pickle *pickle, int width, struct error *error)
{
    uint64_t number;
    struct pickle_value *value;
    if (take_number(pickle, (size_t)width, &number, error) ||
        pickle_new(pickle, PICKLE_INTEGER, &value, error))
        return -1;
    value->integer = width == 4 ? (int32_t)number : (int64_t)number;
    return push(pickle, value, error);
}

/* LONG1: any length; what does not fit 64 bits is of no use here. */
static int op_long(struct pickle *pickle, int width, struct error *error)
{
    uint64_t length, number = 0;
    const unsigned char *bytes;
    struct pickle_value *value;
    if (take_number(pickle, (size_t)width, &length, error) ||
        take(pickle, (size_t)length, &bytes, error))
        return -1;
    if (length > 8) {
        if (pickle_new(pickle, PICKLE_OPAQUE, &value, error)) return -1;
        return push(pickle, value, error);
    }
    if (length && bytes[length - 1] & 0x80) number = UINT64_MAX;
    for (size_t i = 0; i < length; i++)
        number = (number & ~((uint64_t)0xff << (8 * i))) | (uint64_t)bytes[i] << (8 * i);
    if (pickle_new(pickle, PICKLE_INTEGER, &value, error)) return -1;
    value->integer = (int64_t)number;
    return push(pickle, value, error);
}

static int op_real(struct pickle *pickle, int extra, struct error *error)
{
    uint64_t bits;
    struct pickle_value *value;
    (void)extra;
    if (take_number(pickle, 8, &bits, error) || pickle_new(pickle, PICKLE_REAL, &value, error))
        return -1;
    bits = __builtin_bswap64(bits); /* the one big-endian number there is */
    memcpy(&value->real, &bits, sizeof bits);
    return push(pickle, value, error);
}

static int push_text(struct pickle *pickle, const unsigned char *bytes, size_t length,
                     struct error *error)
{
    struct pickle_value *value;
    /* A text with a NUL could be cut to look like another; nothing here needs one. */
    bool odd = length && memchr(bytes, '\0', length);
    char *text = odd ? NULL : strndup((const char *)bytes, length);
    if (!odd && !text) return error_set_memory(error, "the pickle");
    if (pickle_new(pickle, odd ? PICKLE_OPAQUE : PICKLE_TEXT, &value, error)) {
        free(text);
        return -1;
    }
    if (!odd) value->text = text;
    return push(pickle, value, error);
}

static int op_text(struct pickle *pickle, int width, struct error *error)
{
    uint64_t length;
    const unsigned char *bytes;
    if (take_number(pickle, (size_t)width, &length, error) ||
        take(pickle, (size_t)length, &bytes, error))
        return -1;
    return push_text(pickle, bytes, (size_t)length, error);
}

static int op_bytes(struct pickle *pickle, int width, struct error *error)
{
    uint64_t length;
    const unsigned char *bytes;
    struct pickle_value *value;
    if (take_number(pickle, (size_t)width, &length, error) ||
        take(pickle, (size_t)length, &bytes, error) ||
        pickle_new(pickle, PICKLE_OPAQUE, &value, error))
        return -1;
    return push(pickle, value, error);
}

static int op_empty(struct pickle *pickle, int kind, struct error *error)
{
    struct pickle_value *value;
    return pickle_new(pickle, (enum pickle_kind)kind, &value, error) ? -1
                                                                     : push(pickle, value, error);
}

/* Adds stack values from `first` on to `target` and takes them off, with the mark below them if
 * `marked`. */
static int add_from(struct pickle *pickle, struct pickle_value *target, size_t first, bool marked,
                    struct error *error)
{
    for (size_t i = first; i < pickle->stack.count; i++)
        if (items_add(&target->items, pickle->stack.values[i], error)) return -1;
    pickle->stack.count = marked ? first - 1 : first;
    return 0;
}

/* TUPLE, LIST, DICT: of all above the mark. */
static int op_collect(struct pickle *pickle, int kind, struct error *error)
{
    size_t first;
    struct pickle_value *value;
    if (find_mark(pickle, &first, error) ||
        pickle_new(pickle, (enum pickle_kind)kind, &value, error))
        return -1;
    if (kind == PICKLE_DICT && (pickle->stack.count - first) % 2) return damaged(error);
    if (add_from(pickle, value, first, true, error)) return -1;
    return push(pickle, value, error);
}

static int op_short_tuple(struct pickle *pickle, int count, struct error *error)
{
    struct pickle_value *value, *parts[3];
    for (int i = count; i-- > 0;)
        if (pop(pickle, &parts[i], error)) return -1;
    if (pickle_new(pickle, PICKLE_TUPLE, &value, error)) return -1;
    for (int i = 0; i < count; i++)
        if (items_add(&value->items, parts[i], error)) return -1;
    return push(pickle, value, error);
}

/* APPEND, SETITEM: the upper `count` values go into the list (1) or dict (2) below them. */
static int op_add(struct pickle *pickle, int count, struct error *error)
{
    size_t have = pickle->stack.count, needed = (size_t)count + 1;
    enum pickle_kind kind = count == 1 ? PICKLE_LIST : PICKLE_DICT;
    if (have < needed) return damaged(error);
    for (size_t i = have - needed; i < have; i++)
        if (pickle->stack.values[i] == &pickle->mark) return damaged(error);
    if (pickle->stack.values[have - needed]->kind == PICKLE_OPAQUE) {
        pickle->stack.count -= (size_t)count; /* of an object whose content is of no use */
        return 0;
    }
    if (pickle->stack.values[have - needed]->kind != kind) return damaged(error);
    return add_from(pickle, pickle->stack.values[have - needed], have - (size_t)count, false,
                    error);
}

/* APPENDS, ADDITEMS (1), SETITEMS (2): all above the mark goes into what is below it. */
static int op_add_all(struct pickle *pickle, int count, struct error *error)
{
    size_t first;
    enum pickle_kind kind = count == 1 ? PICKLE_LIST : PICKLE_DICT;
    if (find_mark(pickle, &first, error)) return -1;
    if (first >= 2 && pickle->stack.values[first - 2]->kind == PICKLE_OPAQUE) {
        pop_mark(pickle, first);
        return 0;
    }
    if (first < 2 || pickle->stack.values[first - 2]->kind != kind ||
        (pickle->stack.count - first) % (size_t)count)
        return damaged(error);
    return add_from(pickle, pickle->stack.values[first - 2], first, true, error);
}

/* A class that is not known: it can be named, and its objects are opaque. */
static const struct pickle_global *remember_unknown(struct pickle *pickle, const char *module,
                                                    const char *name)
{
    struct pickle_global **longer = realloc(pickle->unknown,
                                            (pickle->unknown_count + 1) * sizeof *longer);
    if (!longer) return NULL;
    pickle->unknown = longer;
    struct pickle_global *global = calloc(1, sizeof *global);
    if (!global) return NULL;
    global->module = strdup(module);
    global->name = strdup(name);
    global->unknown = true;
    pickle->unknown[pickle->unknown_count++] = global;
    return global->module && global->name ? global : NULL;
}

static int refuse_global(const char *verb, const char *module, const char *name,
                         struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "the pickle %s %.79s.%.79s: refused, nothing was run: save only the weights, "
                     "with torch.save(model.state_dict(), \"model.pth\")",
                     verb, module, name);
}

static int push_global(struct pickle *pickle, const char *module, const char *name,
                       struct error *error)
{
    struct pickle_value *value;
    const struct pickle_global *global = pickle_global_find(module, name);
    if (!global && pickle_module_runs(module)) return refuse_global("names", module, name, error);
    if (!global) global = remember_unknown(pickle, module, name);
    if (!global) return error_set_memory(error, "the pickle");
    if (pickle_new(pickle, PICKLE_GLOBAL, &value, error)) return -1;
    value->global = global;
    return push(pickle, value, error);
}

/* GLOBAL; INST as well, which calls at once, and which no state dict has, so that its name is
 * told. */
static int op_global(struct pickle *pickle, int calls, struct error *error)
{
    char *module = NULL, *name = NULL;
    int status = take_line(pickle, &module, error) || take_line(pickle, &name, error) ? -1
                 : calls ? refuse_global("calls", module, name, error)
                         : push_global(pickle, module, name, error);
    free(module);
    free(name);
    return status;
}

static int op_stack_global(struct pickle *pickle, int extra, struct error *error)
{
    struct pickle_value *module, *name;
    (void)extra;
    if (pop(pickle, &name, error) || pop(pickle, &module, error)) return -1;
    if (module->kind != PICKLE_TEXT || name->kind != PICKLE_TEXT) return damaged(error);
    return push_global(pickle, module->text, name->text, error);
}

/* REDUCE: a call. NEWOBJ (1): an object of a class, which is opaque when the class is not known. */
static int op_call(struct pickle *pickle, int makes_object, struct error *error)
{
    struct pickle_value *callee, *arguments, *result;
    if (pop(pickle, &arguments, error) || pop(pickle, &callee, error)) return -1;
    if (callee->kind != PICKLE_GLOBAL || arguments->kind != PICKLE_TUPLE) return damaged(error);
    if (makes_object && callee->global->unknown) {
        if (pickle_new(pickle, PICKLE_OPAQUE, &result, error)) return -1;
        result->global = callee->global;
        return push(pickle, result, error);
    }
    if (!callee->global->call)
        return refuse_global("calls", callee->global->module, callee->global->name, error);
    if (callee->global->call(pickle, arguments, &result, error)) return -1;
    return push(pickle, result, error);
}

/* BUILD: gives an object its attributes. A state dict has some (_metadata: versions); none matters
 * here. */
static int op_build(struct pickle *pickle, int extra, struct error *error)
{
    struct pickle_value *attributes;
    (void)extra;
    if (pop(pickle, &attributes, error)) return -1;
    if (!top(pickle) || (top(pickle)->kind != PICKLE_DICT && top(pickle)->kind != PICKLE_OPAQUE))
        return damaged(error);
    return 0;
}

static int op_persistent(struct pickle *pickle, int extra, struct error *error)
{
    struct pickle_value *id, *storage;
    (void)extra;
    if (pop(pickle, &id, error) || pickle_make_storage(pickle, id, &storage, error)) return -1;
    return push(pickle, storage, error);
}

static int remember(struct pickle *pickle, uint64_t number, struct error *error)
{
    struct pickle_items *memo = &pickle->memo;
    if (number > MEMO_MAX || !top(pickle)) return damaged(error);
    while (memo->count <= number)
        if (items_add(memo, NULL, error)) return -1;
    memo->values[number] = top(pickle);
    return 0;
}

static int op_put(struct pickle *pickle, int width, struct error *error)
{
    uint64_t number;
    return take_number(pickle, (size_t)width, &number, error) ? -1
                                                              : remember(pickle, number, error);
}

static int op_memoize(struct pickle *pickle, int extra, struct error *error)
{
    (void)extra;
    return remember(pickle, pickle->memo.count, error);
}

static int op_get(struct pickle *pickle, int width, struct error *error)
{
    uint64_t number;
    if (take_number(pickle, (size_t)width, &number, error)) return -1;
    if (number >= pickle->memo.count || !pickle->memo.values[number]) return damaged(error);
    return push(pickle, pickle->memo.values[number], error);
}

static const struct instruction {
    int (*run)(struct pickle *pickle, int extra, struct error *error);
    int extra;
} instructions[256] = {
    [0x80] = {op_ignore, 1},            /* PROTO */
    [0x95] = {op_ignore, 8},            /* FRAME */
    ['('] = {op_mark, 0},               /* MARK */
    ['0'] = {op_pop, 0},                /* POP */
    ['1'] = {op_pop_mark, 0},           /* POP_MARK */
    ['2'] = {op_dup, 0},                /* DUP */
    ['N'] = {op_none, 0},               /* NONE */
    [0x88] = {op_bool, 1},              /* NEWTRUE */
    [0x89] = {op_bool, 0},              /* NEWFALSE */
    ['K'] = {op_integer, 1},            /* BININT1 */
    ['M'] = {op_integer, 2},            /* BININT2 */
    ['J'] = {op_integer, 4},            /* BININT */
    [0x8a] = {op_long, 1},              /* LONG1 */
    [0x8b] = {op_long, 4},              /* LONG4 */
    ['G'] = {op_real, 0},               /* BINFLOAT */
    ['X'] = {op_text, 4},               /* BINUNICODE */
    [0x8c] = {op_text, 1},              /* SHORT_BINUNICODE */
    [0x8d] = {op_text, 8},              /* BINUNICODE8 */
    ['U'] = {op_text, 1},               /* SHORT_BINSTRING */
    ['T'] = {op_text, 4},               /* BINSTRING */
    ['C'] = {op_bytes, 1},              /* SHORT_BINBYTES */
    ['B'] = {op_bytes, 4},              /* BINBYTES */
    [0x8e] = {op_bytes, 8},             /* BINBYTES8 */
    [0x96] = {op_bytes, 8},             /* BYTEARRAY8 */
    [')'] = {op_empty, PICKLE_TUPLE},   /* EMPTY_TUPLE */
    [']'] = {op_empty, PICKLE_LIST},    /* EMPTY_LIST */
    ['}'] = {op_empty, PICKLE_DICT},    /* EMPTY_DICT */
    [0x8f] = {op_empty, PICKLE_LIST},   /* EMPTY_SET */
    ['t'] = {op_collect, PICKLE_TUPLE}, /* TUPLE */
    ['l'] = {op_collect, PICKLE_LIST},  /* LIST */
    ['d'] = {op_collect, PICKLE_DICT},  /* DICT */
    [0x91] = {op_collect, PICKLE_LIST}, /* FROZENSET */
    [0x85] = {op_short_tuple, 1},       /* TUPLE1 */
    [0x86] = {op_short_tuple, 2},       /* TUPLE2 */
    [0x87] = {op_short_tuple, 3},       /* TUPLE3 */
    ['a'] = {op_add, 1},                /* APPEND */
    ['s'] = {op_add, 2},                /* SETITEM */
    ['e'] = {op_add_all, 1},            /* APPENDS */
    ['u'] = {op_add_all, 2},            /* SETITEMS */
    [0x90] = {op_add_all, 1},           /* ADDITEMS */
    ['c'] = {op_global, 0},             /* GLOBAL */
    ['i'] = {op_global, 1},             /* INST */
    [0x93] = {op_stack_global, 0},      /* STACK_GLOBAL */
    ['R'] = {op_call, 0},               /* REDUCE */
    [0x81] = {op_call, 1},              /* NEWOBJ */
    ['b'] = {op_build, 0},              /* BUILD */
    ['Q'] = {op_persistent, 0},         /* BINPERSID */
    ['q'] = {op_put, 1},                /* BINPUT */
    ['r'] = {op_put, 4},                /* LONG_BINPUT */
    [0x94] = {op_memoize, 0},           /* MEMOIZE */
    ['h'] = {op_get, 1},                /* BINGET */
    ['j'] = {op_get, 4},                /* LONG_BINGET */
};

static int run(struct pickle *pickle, struct error *error)
{
    for (size_t step = 0; step < PICKLE_MAX_STEPS; step++) {
        const unsigned char *code;
        if (take(pickle, 1, &code, error)) return -1;
        if (*code == '.') return pop(pickle, &pickle->root, error); /* STOP */
        const struct instruction *instruction = &instructions[*code];
        if (!instruction->run)
            return error_set(
                error, ERROR_INPUT,
                "the pickle uses the instruction 0x%02x, which no state dict needs: save "
                "only the weights, with torch.save(model.state_dict(), \"model.pth\")",
                *code);
        if (instruction->run(pickle, instruction->extra, error)) return -1;
    }
    return error_set(error, ERROR_INPUT,
                     "the pickle has more than %d instructions: save only the weights",
                     PICKLE_MAX_STEPS);
}

const struct pickle_storage *pickle_storage_find(const struct pickle *pickle, const char *key)
{
    for (size_t i = 0; i < pickle->all.count; i++) {
        const struct pickle_value *value = pickle->all.values[i];
        if (value->kind == PICKLE_STORAGE && strcmp(value->storage.key, key) == 0)
            return &value->storage;
    }
    return NULL;
}

int pickle_read(const void *bytes, size_t size, size_t *used, struct pickle **out,
                struct error *error)
{
    struct pickle *pickle = calloc(1, sizeof *pickle);
    if (!pickle) return error_set_memory(error, "the pickle");
    pickle->bytes = bytes;
    pickle->size = size;
    pickle->none.kind = PICKLE_NONE;
    pickle->mark.kind = PICKLE_MARK;
    if (run(pickle, error)) {
        pickle_destroy(pickle);
        return -1;
    }
    if (used) *used = size - pickle->size;
    *out = pickle;
    return 0;
}
