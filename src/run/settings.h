/* The settings of a training: one table, from which everything that knows a setting is made. The
 * JSON of jobs and of the HTTP interface, the checks of types and ranges, the command line's
 * options, the JSON schema, the description the page's form is built from, and what a run that goes
 * on must keep.
 *
 * Adding a setting: a member of struct job (job.h) and a row in settings_table.c. */
#ifndef NNSTUDIO_RUN_SETTINGS_H
#define NNSTUDIO_RUN_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/loss.h"
#include "run/job.h"

enum setting_kind {
    SETTING_INTEGER, /* uint32_t or uint64_t, by size */
    SETTING_NUMBER,  /* double, finite */
    SETTING_TEXT,    /* char[size]; low and high bound its length in bytes */
    SETTING_CHOICE,  /* an enum; low and high are its first and last value on offer */
    SETTING_WIDTHS,  /* the hidden layers: low and high bound each width */
    SETTING_FLAG,    /* bool; on the command line an option without a value */
};

enum {
    SETTING_BASIC = 1,         /* a form shows it at once, the others under "more" */
    SETTING_FIXED = 2,         /* a run that goes on keeps the value it began with */
    SETTING_PROGRAM = 4,       /* the generated programs follow it: a parameter of GET /api/code */
    SETTING_PRIVATE = 8,       /* kept with the job, no member of the HTTP interface's Settings */
    SETTING_NULLABLE = 16,     /* a text that is null in JSON when empty */
    SETTING_PATH = 32,         /* on the command line, a path: made absolute */
    SETTING_NAME_OR_PATH = 64, /* likewise, when it has a slash */
    SETTING_OWN_DATA = 256,  /* only for data of the user's own: a form shows it with such a set */
    SETTING_TEXT_FILE = 128, /* on the command line, the name of a .json file stands for its text */
};

struct setting {
    const char *key;      /* in JSON: "batch_size" */
    const char *option;   /* on the command line, without dashes; NULL: not there */
    const char *argument; /* the value's name in the help: "N" */
    const char *label;    /* on the page and in messages: "Batch size" */
    const char *unit;     /* what its number counts: "samples per step"; NULL: none */
    const char *help;     /* one line, without the choices and the default */
    enum setting_kind kind;
    unsigned flags;
    double low, high;         /* the range, both included … */
    bool low_open, high_open; /* … unless open: the bound itself is out */
    /* what runs of older versions may have been begun with; 0, 0: the same range */
    double begun_low, begun_high;
    size_t offset, size; /* where it lies in struct job */
    /* the default as text; NULL: that of the optimizer and the meaning (net/optimizer.h) */
    const char *fallback;
    const char *zero;      /* what 0, or an empty text or list, stands for: "all samples" */
    const char *zero_word; /* numbers: what a text may say for 0: "auto" */
    const char *before;    /* whole numbers: what a text may have before them: "patience=" */
    /* choices: the name of a value, and what a form shows for it (NULL: the name) */
    const char *(*choice)(uint32_t value);
    const char *(*choice_label)(uint32_t value);
    /* a choice that other settings' defaults depend on: sets them; called when the value changes */
    void (*chosen)(struct job *job, uint32_t value);
    unsigned optimizer_field; /* enum optimizer_field: only for optimizers that have it; 0: all */
};

extern const struct setting settings_table[];
extern const size_t settings_count;
#define SETTINGS_MAX 56 /* at least settings_count */

const struct setting *setting_find(const char *key); /* NULL: there is none */

/* Every setting's default into the job; nothing else of it changes. */
void settings_init(struct job *job);

/* One value from a text, as on the command line and in a query: "32", "0.01", "relu", "128,64".
 * What does not fit the member is refused; whether the value is in range is settings_check()'s. */
int setting_set_text(const struct setting *setting, const char *text, struct job *job,
                     struct error *error);

/* Texts by their setting's place in the table, NULL where none is given; likewise. */
int settings_take_texts(const char *const texts[SETTINGS_MAX], struct job *job,
                        struct error *error);

/* The members of the HTTP interface's Settings; new reference. */
json_t *settings_to_json(const struct job *job);
/* Starts from job_init(); members that are absent or null keep the default, any other name is
 * refused. NULL is an empty object. Types are checked, ranges by settings_check(): settings that
 * were accepted once can be read for ever. */
int settings_from_json(const json_t *value, struct job *job, struct error *error);
/* Likewise for job.c: all rows, private ones too, in an object that holds others as well; absent
 * members keep the value *job has. */
void settings_add_all(const struct job *job, json_t *object);
int settings_take_all(const json_t *object, struct job *job, struct error *error);

/* Whether an optimizer has the setting. */
bool setting_belongs(const struct setting *setting, enum optimizer_type type);

/* Every value in range, none given that belongs to another optimizer. `begun`: of a run that was
 * accepted once, perhaps by an older version whose range was wider. */
int settings_check(const struct job *job, bool begun, struct error *error);
/* Refuses a job that would make the rest of the run `begun` another run, naming the setting. */
int settings_same_run(const struct job *job, const struct job *begun, struct error *error);

/* "relu, tanh or sigmoid" of a choice. Returns `out`. */
#define SETTING_TEXT_SIZE 256
const char *setting_choices(const struct setting *setting, char out[SETTING_TEXT_SIZE]);
/* The values that are taken: "a whole number from 1 to 65,536". Returns `out`. */
const char *setting_range(const struct setting *setting, char out[SETTING_TEXT_SIZE]);
/* The default for users: "32", "sgd 0.01, adam 0.001; keras: …", "all samples". Returns `out`. */
const char *setting_default(const struct setting *setting, char out[SETTING_TEXT_SIZE]);
/* The member's value in JSON; new reference. */
json_t *setting_value(const struct setting *setting, const struct job *job);

/* The JSON schema of Settings; new reference. */
json_t *settings_schema(void);
/* One setting's schema: for a parameter of a query or a member of a body. New reference. */
json_t *setting_schema(const struct setting *setting);
/* The description a form is made from (api.md, GET /api/settings); new reference. */
json_t *settings_describe(void);

#endif
