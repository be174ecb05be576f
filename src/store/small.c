/* Preferences, evaluations, showdowns, registrations: small tables, one after another. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/js.h"
#include "base/random.h"
#include "store/database.h"

/* The JSON of the only column of the only row; NULL when there is no row. */
static int one_json(struct store *store, sqlite3_stmt *row, json_t **out, struct error *error)
{
    *out = NULL;
    int status = query_step(store, row, error);
    if (status == 1) *out = column_parsed_json(row, 0);
    query_end(row);
    return status < 0 ? -1 : 0;
}

int store_preference_get(struct store *store, const char *key, json_t **out, struct error *error)
{
    sqlite3_stmt *row;
    *out = NULL;
    if (query_start(store, "SELECT value FROM preferences WHERE key=?", &row, error, "s", key))
        return -1;
    return one_json(store, row, out, error);
}

int store_preference_set(struct store *store, const char *key, const json_t *value,
                         struct error *error)
{
    char *text = js_dump(value);
    if (!text) return error_set_memory(error, "a preference");
    int status = query_run(store, "INSERT OR REPLACE INTO preferences (key, value) VALUES (?,?)",
                           error, "ss", key, text);
    free(text);
    return status;
}

int store_evaluation_get(struct store *store, const char *run, const char *sha256, json_t **out,
                         struct error *error)
{
    sqlite3_stmt *row;
    *out = NULL;
    if (query_start(store,
                    "SELECT result FROM evaluations JOIN runs ON key=run WHERE id=? AND sha256=?",
                    &row, error, "ss", run, sha256))
        return -1;
    return one_json(store, row, out, error);
}

int store_evaluation_set(struct store *store, const char *run, const char *sha256,
                         const json_t *result, struct error *error)
{
    char *text = js_dump(result);
    if (!text) return error_set_memory(error, "an evaluation");
    int status = query_run(store,
                           "INSERT OR REPLACE INTO evaluations (run, sha256, result) SELECT key, "
                           "?, ? FROM runs WHERE id=?",
                           error, "sss", sha256, text, run);
    free(text);
    return status;
}

int store_showdown_create(struct store *store, const char *mode, char id[32], struct error *error)
{
    uint32_t chance;
    random_fill(&chance, sizeof chance);
    snprintf(id, 32, "g-%llx-%06x", (unsigned long long)clock_wall_ms() / 1000, chance & 0xffffff);
    return query_run(store, "INSERT INTO showdowns (id, mode, created_at) VALUES (?,?,?)", error,
                     "ssi", id, mode, clock_wall_ms());
}

int store_showdown_mode(struct store *store, const char *id, char mode[16], struct error *error)
{
    sqlite3_stmt *row;
    if (query_start(store, "SELECT mode FROM showdowns WHERE id=?", &row, error, "s", id))
        return -1;
    int status = query_step(store, row, error);
    if (status == 1) {
        snprintf(mode, 16, "%s", column_text(row, 0));
        status = 0;
    } else if (status == 0) {
        status = error_set(error, ERROR_NOT_FOUND, "there is no showdown \"%.40s\"", id);
    }
    query_end(row);
    return status;
}

/* NULL when it is not there: a column without a value. */
static const char *text_member(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

int store_registration_add(struct store *store, const json_t *registration, int64_t *id,
                           struct error *error)
{
    const json_t *given = json_object_get(registration, "steps"),
                 *more = json_object_get(registration, "data");
    char *steps = given ? js_dump(given) : strdup("[]"),
         *data = more ? js_dump(more) : strdup("{}");
    const char *target = text_member(registration, "target"),
               *name = text_member(registration, "name");
    const char *state = text_member(registration, "state");
    int status = -1;
    if (!steps || !data) {
        error_set_memory(error, "a registration");
    } else if (!target || !name) {
        error_set(error, ERROR_INPUT, "a registration needs \"target\" and \"name\"");
    } else {
        status = query_run(store,
                           "INSERT INTO registrations (run, target, name, version, uri, sha256, "
                           "created_at, state, steps, data)"
                           " VALUES (?,?,?,?,?,?,?,?,?,?)",
                           error, "ssssssisss", text_member(registration, "run"), target, name,
                           text_member(registration, "version"), text_member(registration, "uri"),
                           text_member(registration, "sha256"), clock_wall_ms(),
                           state ? state : "running", steps, data);
        if (!status) *id = sqlite3_last_insert_rowid(store->db);
    }
    free(steps);
    free(data);
    return status;
}

int store_registration_update(struct store *store, int64_t id, const json_t *changes,
                              struct error *error)
{
    const json_t *given = json_object_get(changes, "steps"),
                 *more = json_object_get(changes, "data");
    char *steps = given ? js_dump(given) : NULL, *data = more ? js_dump(more) : NULL;
    int status = query_run(store,
                           "UPDATE registrations SET name=coalesce(?,name), "
                           "version=coalesce(?,version), uri=coalesce(?,uri),"
                           " sha256=coalesce(?,sha256), state=coalesce(?,state), "
                           "steps=coalesce(?,steps), data=coalesce(?,data)"
                           " WHERE id=?",
                           error, "sssssssi", text_member(changes, "name"),
                           text_member(changes, "version"), text_member(changes, "uri"),
                           text_member(changes, "sha256"), text_member(changes, "state"), steps,
                           data, id);
    free(steps);
    free(data);
    return status;
}

int store_registration_list(struct store *store, const char *run, int64_t id, json_t **out,
                            struct error *error)
{
    sqlite3_stmt *row;
    int status;
    *out = NULL;
    if (query_start(store,
                    "SELECT id, run, target, name, version, uri, sha256, created_at, state, steps, "
                    "data FROM registrations"
                    " WHERE (?1 IS NULL OR run=?1) AND (?2=0 OR id=?2) ORDER BY id DESC",
                    &row, error, "si", run, id))
        return -1;
    json_t *list = json_array();
    while ((status = query_step(store, row, error)) == 1)
        json_array_append_new(
            list,
            json_pack("{s:I, s:o, s:s, s:s, s:o, s:o, s:o, s:I, s:s, s:o, s:o}", "id",
                      (json_int_t)sqlite3_column_int64(row, 0), "run", column_text_json(row, 1),
                      "target", column_text(row, 2), "name", column_text(row, 3), "version",
                      column_text_json(row, 4), "uri", column_text_json(row, 5), "sha256",
                      column_text_json(row, 6), "created_at",
                      (json_int_t)sqlite3_column_int64(row, 7), "state", column_text(row, 8),
                      "steps", column_parsed_json(row, 9), "data", column_parsed_json(row, 10)));
    query_end(row);
    if (status)
        json_decref(list);
    else
        *out = list;
    return status;
}
