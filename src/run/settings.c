#include "run/settings.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/text.h"

const struct setting *setting_find(const char *key)
{
    for (size_t i = 0; i < settings_count; i++)
        if (strcmp(settings_table[i].key, key) == 0) return &settings_table[i];
    return NULL;
}

/* --- where a value lies --- */

static void *place_of(const struct setting *setting, struct job *job)
{
    return (char *)job + setting->offset;
}

static const void *value_of(const struct setting *setting, const struct job *job)
{
    return (const char *)job + setting->offset;
}

static uint64_t integer_of(const struct setting *setting, const struct job *job)
{
    const void *value = value_of(setting, job);
    return setting->size == sizeof(uint64_t) ? *(const uint64_t *)value : *(const uint32_t *)value;
}

static double number_of(const struct setting *setting, const struct job *job)
{
    return *(const double *)value_of(setting, job);
}

static bool *flag_place(const struct setting *setting, const struct job *job)
{
    return (bool *)((char *)(uintptr_t)job + setting->offset);
}

static bool same_value(const struct setting *setting, const struct job *a, const struct job *b)
{
    switch (setting->kind) {
    case SETTING_FLAG:
        return *flag_place(setting, a) == *flag_place(setting, b);
    case SETTING_TEXT:
        return strcmp(value_of(setting, a), value_of(setting, b)) == 0;
    case SETTING_WIDTHS:
        return a->hidden_count == b->hidden_count &&
               memcmp(a->hidden, b->hidden, a->hidden_count * sizeof *a->hidden) == 0;
    case SETTING_NUMBER:
        return number_of(setting, a) == number_of(setting, b);
    case SETTING_INTEGER:
    case SETTING_CHOICE:
        return integer_of(setting, a) == integer_of(setting, b);
    }
    return false;
}

/* --- refusals --- */

/* "batch size" of "Batch size". */
static const char *spoken(const struct setting *setting, char out[40])
{
    snprintf(out, 40, "%s", setting->label);
    if (out[0] >= 'A' && out[0] <= 'Z') out[0] = (char)(out[0] - 'A' + 'a');
    return out;
}

static int refuse(const struct setting *setting, const char *value, const char *what,
                  struct error *error)
{
    char name[40], range[SETTING_TEXT_SIZE];
    return error_set(error, ERROR_INPUT, "%s %s is %s: give %s", spoken(setting, name), value, what,
                     setting_range(setting, range));
}

static int refuse_text(const struct setting *setting, const char *text, struct error *error)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%.50s\"", text);
    return refuse(setting, quoted, "not valid", error);
}

/* --- setting a value --- */

static int set_integer(const struct setting *setting, uint64_t value, struct job *job)
{
    if (setting->size == sizeof(uint64_t))
        *(uint64_t *)place_of(setting, job) = value;
    else
        *(uint32_t *)place_of(setting, job) = (uint32_t)value;
    return 0;
}

/* The largest value that the member holds and that JSON can say. */
static uint64_t integer_most(const struct setting *setting)
{
    return setting->size == sizeof(uint64_t) ? INT64_MAX : UINT32_MAX;
}

static int set_choice(const struct setting *setting, const char *name, struct job *job,
                      struct error *error)
{
    for (uint32_t value = 0; value <= (uint32_t)setting->high; value++) {
        if (strcmp(setting->choice(value), name) != 0) continue;
        if (setting->chosen && value != integer_of(setting, job)) setting->chosen(job, value);
        return set_integer(setting, value, job);
    }
    return refuse_text(setting, name, error);
}

static int set_text(const struct setting *setting, const char *text, struct job *job,
                    struct error *error)
{
    char name[40];
    size_t length = strlen(text);
    /* It would drop out of the job's JSON, and the default would take its place. */
    if (!js_can_hold(text))
        return error_set(error, ERROR_INPUT,
                         "%s \"%.200s\" is not UTF-8, so it cannot be kept: rename it",
                         spoken(setting, name), text_shown(text));
    if (length >= setting->size) {
        return error_set(error, ERROR_INPUT, "%s is too long, %zu bytes: the most is %zu",
                         spoken(setting, name), length, setting->size - 1);
    }
    memcpy(place_of(setting, job), text, length + 1);
    return 0;
}

static int too_many_widths(struct error *error)
{
    return error_set(error, ERROR_INPUT, "too many hidden layers: the most is %d",
                     NETWORK_MAX_LAYERS - 1);
}

/* "128,64"; "" or "none" for no hidden layer. */
static int set_widths_text(const struct setting *setting, const char *text, struct job *job,
                           struct error *error)
{
    uint32_t widths[NETWORK_MAX_LAYERS], count = 0;
    const char *place = *text && strcmp(text, "none") != 0 ? text : NULL;
    while (place) {
        char *end;
        errno = 0;
        unsigned long width = strtoul(place, &end, 10);
        if (*place < '0' || *place > '9' || errno || width < (unsigned long)setting->low ||
            width > (unsigned long)setting->high || (*end && *end != ','))
            return refuse_text(setting, text, error);
        if (count == NETWORK_MAX_LAYERS - 1) return too_many_widths(error);
        widths[count++] = (uint32_t)width;
        place = *end ? end + 1 : NULL;
    }
    job->hidden_count = count;
    memcpy(job->hidden, widths, count * sizeof *widths);
    return 0;
}

int setting_set_text(const struct setting *setting, const char *text, struct job *job,
                     struct error *error)
{
    char *end;
    unsigned long long whole;
    double number;
    errno = 0;
    switch (setting->kind) {
    case SETTING_INTEGER:
        if (setting->before && strncmp(text, setting->before, strlen(setting->before)) == 0)
            text += strlen(setting->before);
        whole = strtoull(text, &end, 10);
        /* strtoull takes blanks and signs; we do not. */
        if (text[0] < '0' || text[0] > '9' || *end) return refuse_text(setting, text, error);
        if (errno || whole > integer_most(setting))
            return refuse(setting, text, "out of range", error);
        return set_integer(setting, whole, job);
    case SETTING_NUMBER:
        if (setting->zero_word && strcmp(text, setting->zero_word) == 0) text = "0";
        number = strtod(text, &end);
        if (end == text || *end || !isfinite(number)) return refuse_text(setting, text, error);
        *(double *)place_of(setting, job) = number;
        return 0;
    case SETTING_TEXT:
        return set_text(setting, text, job, error);
    case SETTING_CHOICE:
        return set_choice(setting, text, job, error);
    case SETTING_WIDTHS:
        return set_widths_text(setting, text, job, error);
    case SETTING_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return refuse_text(setting, text, error);
        *flag_place(setting, job) = strcmp(text, "true") == 0;
        return 0;
    }
    return -1;
}

/* A value of JSON of a wrong type, or a number out of the member's reach. */
static int refuse_json(const struct setting *setting, const json_t *value, struct error *error)
{
    char *text = js_dump_as(value, JSON_COMPACT | JSON_ENCODE_ANY), shown[64];
    if (!text) return error_set_memory(error, "a setting");
    snprintf(shown, sizeof shown, strlen(text) > 50 ? "%.50s…" : "%s", text);
    free(text);
    return refuse(setting, shown, json_is_integer(value) ? "out of range" : "not valid", error);
}

static int set_widths_json(const struct setting *setting, const json_t *value, struct job *job,
                           struct error *error)
{
    if (!json_is_array(value)) return refuse_json(setting, value, error);
    if (json_array_size(value) > NETWORK_MAX_LAYERS - 1) return too_many_widths(error);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *width = json_array_get(value, i);
        if (!json_is_integer(width) || json_integer_value(width) < (json_int_t)setting->low ||
            json_integer_value(width) > (json_int_t)setting->high)
            return refuse_json(setting, value, error);
        job->hidden[i] = (uint32_t)json_integer_value(width);
    }
    job->hidden_count = (uint32_t)json_array_size(value);
    return 0;
}

static int set_json(const struct setting *setting, const json_t *value, struct job *job,
                    struct error *error)
{
    switch (setting->kind) {
    case SETTING_INTEGER:
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            (uint64_t)json_integer_value(value) > integer_most(setting))
            return refuse_json(setting, value, error);
        return set_integer(setting, (uint64_t)json_integer_value(value), job);
    case SETTING_NUMBER:
        if (!json_is_number(value)) return refuse_json(setting, value, error);
        *(double *)place_of(setting, job) = json_number_value(value);
        return 0;
    case SETTING_TEXT:
        if (!json_is_string(value)) return refuse_json(setting, value, error);
        return set_text(setting, json_string_value(value), job, error);
    case SETTING_CHOICE:
        if (!json_is_string(value)) return refuse_json(setting, value, error);
        return set_choice(setting, json_string_value(value), job, error);
    case SETTING_WIDTHS:
        return set_widths_json(setting, value, job, error);
    case SETTING_FLAG:
        if (!json_is_boolean(value)) return refuse_json(setting, value, error);
        *flag_place(setting, job) = json_is_true(value);
        return 0;
    }
    return -1;
}

/* Choices that bring defaults come first, so that what is given beside them holds. */
static int take(const json_t *object, bool choosing, struct job *job, struct error *error)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        const json_t *value = json_object_get(object, setting->key);
        if (!value || json_is_null(value) || (setting->chosen != NULL) != choosing) continue;
        if (set_json(setting, value, job, error)) return -1;
    }
    return 0;
}

int settings_take_all(const json_t *object, struct job *job, struct error *error)
{
    return take(object, true, job, error) || take(object, false, job, error) ? -1 : 0;
}

int settings_take_texts(const char *const texts[SETTINGS_MAX], struct job *job, struct error *error)
{
    for (int choosing = 1; choosing >= 0; choosing--)
        for (size_t i = 0; i < settings_count; i++)
            if (texts[i] && (settings_table[i].chosen != NULL) == choosing &&
                setting_set_text(&settings_table[i], texts[i], job, error))
                return -1;
    return 0;
}

int settings_from_json(const json_t *value, struct job *job, struct error *error)
{
    const char *key;
    json_t *member;
    job_init(job);
    if (!value || json_is_null(value)) return 0;
    if (!json_is_object(value))
        return error_set(error, ERROR_INPUT, "\"settings\" must be an object");
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        const struct setting *setting = setting_find(key);
        if (!setting || setting->flags & SETTING_PRIVATE)
            return error_set(error, ERROR_INPUT, "there is no setting \"%.60s\": leave it out",
                             key);
    }
    return settings_take_all(value, job, error);
}

void settings_init(struct job *job)
{
    struct error error;
    optimizer_defaults(OPTIMIZER_SGD, MEANING_PYTORCH, &job->optimizer);
    for (size_t i = 0; i < settings_count; i++)
        if (settings_table[i].fallback)
            CHECK(setting_set_text(&settings_table[i], settings_table[i].fallback, job, &error) ==
                  0);
}

/* --- to JSON --- */

json_t *setting_value(const struct setting *setting, const struct job *job)
{
    json_t *list;
    const char *text;
    switch (setting->kind) {
    case SETTING_INTEGER:
        return json_integer((json_int_t)integer_of(setting, job));
    case SETTING_NUMBER:
        return json_real(number_of(setting, job));
    case SETTING_TEXT:
        text = value_of(setting, job);
        return !*text && setting->flags & SETTING_NULLABLE ? json_null() : json_string(text);
    case SETTING_CHOICE:
        return json_string(setting->choice((uint32_t)integer_of(setting, job)));
    case SETTING_WIDTHS:
        list = json_array();
        for (uint32_t i = 0; i < job->hidden_count; i++)
            json_array_append_new(list, json_integer(job->hidden[i]));
        return list;
    case SETTING_FLAG:
        return json_boolean(*flag_place(setting, job));
    }
    return NULL;
}

json_t *settings_to_json(const struct job *job)
{
    json_t *object = json_object();
    for (size_t i = 0; i < settings_count; i++)
        if (!(settings_table[i].flags & SETTING_PRIVATE))
            json_object_set_new(object, settings_table[i].key,
                                setting_value(&settings_table[i], job));
    return object;
}

void settings_add_all(const struct job *job, json_t *object)
{
    for (size_t i = 0; i < settings_count; i++)
        json_object_set_new(object, settings_table[i].key, setting_value(&settings_table[i], job));
}

/* --- checks --- */

static bool in_range(const struct setting *setting, double value, bool begun)
{
    if (begun && setting->begun_high > 0)
        return value >= setting->begun_low && value <= setting->begun_high;
    return (setting->low_open ? value > setting->low : value >= setting->low) &&
           (setting->high_open ? value < setting->high : value <= setting->high);
}

static int check_one(const struct setting *setting, const struct job *job, bool begun,
                     struct error *error)
{
    char shown[JS_SHORTEST_SIZE];
    double number;
    switch (setting->kind) {
    case SETTING_INTEGER:
        if (in_range(setting, (double)integer_of(setting, job), begun)) return 0;
        snprintf(shown, sizeof shown, "%llu", (unsigned long long)integer_of(setting, job));
        return refuse(setting, shown, "out of range", error);
    case SETTING_NUMBER:
        number = number_of(setting, job);
        if (in_range(setting, number, begun)) return 0; /* not for nan */
        if (isfinite(number))
            js_shortest(number, shown);
        else
            snprintf(shown, sizeof shown, "%g", number);
        return refuse(setting, shown, "out of range", error);
    case SETTING_TEXT:
        return in_range(setting, (double)strlen(value_of(setting, job)), begun)
                   ? 0
                   : refuse_text(setting, value_of(setting, job), error);
    case SETTING_CHOICE:
        number = (double)integer_of(setting, job);
        return in_range(setting, number, begun)
                   ? 0
                   : refuse_text(setting, setting->choice((uint32_t)number), error);
    case SETTING_WIDTHS:
        if (job->hidden_count > NETWORK_MAX_LAYERS - 1) return too_many_widths(error);
        for (uint32_t i = 0; i < job->hidden_count; i++) {
            if (in_range(setting, job->hidden[i], begun)) continue;
            snprintf(shown, sizeof shown, "%u", job->hidden[i]);
            return refuse(setting, shown, "out of range", error);
        }
        return 0;
    case SETTING_FLAG:
        return 0;
    }
    return -1;
}

bool setting_belongs(const struct setting *setting, enum optimizer_type type)
{
    return !setting->optimizer_field ||
           optimizer_has(type, (enum optimizer_field)setting->optimizer_field);
}

/* What belongs to other optimizers must be left at its default. */
static int check_belongs(const struct setting *setting, const struct job *job,
                         const struct job *defaults, struct error *error)
{
    char name[40], types[SETTING_TEXT_SIZE] = "";
    if (setting_belongs(setting, job->optimizer.type) || same_value(setting, job, defaults))
        return 0;
    size_t length = 0;
    for (uint32_t type = 0; type < OPTIMIZER_TYPE_COUNT; type++)
        if (setting_belongs(setting, (enum optimizer_type)type))
            length += (size_t)snprintf(types + length, sizeof types - length, "%s%s",
                                       length ? ", " : "",
                                       optimizer_type_name((enum optimizer_type)type));
    return error_set(error, ERROR_INPUT, "%s belongs to %s: leave it out with %s",
                     spoken(setting, name), types, optimizer_type_name(job->optimizer.type));
}

int settings_check(const struct job *job, bool begun, struct error *error)
{
    struct job *defaults = calloc(1, sizeof *defaults);
    int status = defaults ? 0 : error_set_memory(error, "the settings");
    if (defaults)
        optimizer_defaults(job->optimizer.type, job->optimizer.meaning, &defaults->optimizer);
    for (size_t i = 0; i < settings_count && !status; i++) {
        const struct setting *setting = &settings_table[i];
        status = check_one(setting, job, begun, error) ||
                 check_belongs(setting, job, defaults, error);
    }
    free(defaults);
    /* what no single setting says: that they go together */
    struct schedule schedule;
    double weights[LOSS_MAX_CLASSES];
    size_t count;
    if (!status) status = loss_parse_weights(job->class_weight, weights, &count, error);
    return status || optimizer_check(&job->optimizer, error) || job_schedule(job, &schedule, error)
               ? -1
               : 0;
}

int settings_same_run(const struct job *job, const struct job *begun, struct error *error)
{
    char name[40];
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (!(setting->flags & SETTING_FIXED) || same_value(setting, job, begun)) continue;
        return error_set(error, ERROR_INPUT,
                         "a run cannot change its %s on the way: leave it as it began",
                         spoken(setting, name));
    }
    return 0;
}
