/* Changing what is registered: what is common to all targets. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/js.h"
#include "registry/targets.h"

#define KEY_LIMIT         250
#define ALIAS_LIMIT       255
#define TAG_VALUE_LIMIT   5000
#define DESCRIPTION_LIMIT 4000

const struct registry_change_row registry_change_table[REGISTRY_CHANGES] = {
    [REGISTRY_ALIAS] = {"alias", "set an alias", "an alias", false},
    [REGISTRY_DROP_ALIAS] = {"drop-alias", "remove an alias", "an alias", false},
    [REGISTRY_TAG] = {"tag", "set a tag", "a tag's name", true},
    [REGISTRY_DROP_TAG] = {"drop-tag", "remove a tag", "a tag's name", false},
    [REGISTRY_DESCRIPTION] = {"describe", "change a description", NULL, true},
    [REGISTRY_ARCHIVE] = {"archive", "archive a version", NULL, false},
    [REGISTRY_RESTORE] = {"restore", "restore an archived version", NULL, false},
    [REGISTRY_DELETE] = {"delete", "delete a version", NULL, false},
};

/* "set a tag, archive a version or delete a version" */
static void list_abilities(unsigned changes, char *out, size_t size)
{
    size_t at = 0;
    *out = '\0';
    for (unsigned kind = 0; kind < REGISTRY_CHANGES; kind++) {
        if (!(changes & 1u << kind) || at >= size) continue;
        bool last = !(changes >> (kind + 1));
        at += (size_t)snprintf(out + at, size - at, "%s%s",
                               !at    ? ""
                               : last ? " or "
                                      : ", ",
                               registry_change_table[kind].title);
    }
}

/* As MLflow has them: no word for the latest version, nothing that reads as a version. */
static int check_alias(const char *alias, struct error *error)
{
    size_t length = strlen(alias);
    const char *number = alias + (tolower((unsigned char)*alias) == 'v');
    bool fine = length >= 1 && length <= ALIAS_LIMIT && strcasecmp(alias, "latest") != 0 &&
                strspn(number, "0123456789") < strlen(number);
    for (const char *c = alias; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_') fine = false;
    if (fine) return 0;
    return error_set(error, ERROR_USAGE,
                     "\"%.60s\" is not a valid alias: use letters, digits, - and _, but not "
                     "\"latest\" nor a version's number",
                     alias);
}

static int check_length(const char *what, const char *text, size_t limit, struct error *error)
{
    if (text && !js_can_hold(text))
        return error_set(error, ERROR_USAGE, "%s is not UTF-8: write it in UTF-8", what);
    if (!text || strlen(text) <= limit) return 0;
    return error_set(error, ERROR_USAGE, "%s has %zu bytes: at most %zu are allowed", what,
                     strlen(text), limit);
}

static int check(const struct registry_target *target, const struct registry_change *change,
                 struct error *error)
{
    const struct registry_change_row *row = &registry_change_table[change->kind];
    char abilities[400];
    if (!(target->changes & 1u << change->kind)) {
        list_abilities(target->changes, abilities, sizeof abilities);
        return error_set(error, ERROR_USAGE, "%s cannot %s: there you can %s", target->title,
                         row->title, abilities);
    }
    if (row->key && (!change->key || !*change->key))
        return error_set(error, ERROR_USAGE, "to %s, %s is needed", row->title, row->key);
    if (row->value && !change->value)
        return error_set(error, ERROR_USAGE, "to %s, a text is needed", row->title);
    bool alias = change->kind == REGISTRY_ALIAS || change->kind == REGISTRY_DROP_ALIAS;
    if (alias) return check_alias(change->key, error);
    bool tag = change->kind == REGISTRY_TAG || change->kind == REGISTRY_DROP_TAG;
    if (tag && strcmp(change->key, "sha256") == 0)
        return error_set(error, ERROR_USAGE,
                         "the tag \"sha256\" stays as it is: downloads are checked against it");
    if (change->kind == REGISTRY_DESCRIPTION)
        return check_length("the description", change->value, DESCRIPTION_LIMIT, error);
    return check_length("the tag's name", change->key, KEY_LIMIT, error) ||
                   check_length("the tag's value", change->value, TAG_VALUE_LIMIT, error)
               ? -1
               : 0;
}

/* A deletion names its version twice: what is deleted cannot be had back. */
static int delete_version(const struct registry_target *target,
                          const struct registry_options *options,
                          const struct registry_change *change, struct error *error)
{
    char wanted[400];
    const char *version = change->version ? change->version : "";
    if (!*version || *version == '@')
        return error_set(error, ERROR_USAGE, "which version? Deleting needs its number");
    snprintf(wanted, sizeof wanted, "%s:%s", change->name, version);
    if (!change->confirmed || strcmp(change->confirmed, wanted) != 0)
        return error_set(error, ERROR_USAGE,
                         "deleting version %.40s of %.200s %s cannot be undone: confirm it with "
                         "\"%.260s\"",
                         version, change->name, target->where, wanted);
    return target->change(options, change, error);
}

int registry_change(const struct registry_target *target, const struct registry_options *options,
                    const struct registry_change *change, json_t **out, struct error *error)
{
    struct registry_change exact = *change;
    char alias[ALIAS_LIMIT + 2], version[64];
    json_t *found;
    *out = NULL;
    if (check(target, change, error)) return -1;
    if (change->kind == REGISTRY_DELETE) return delete_version(target, options, change, error);
    if (change->kind == REGISTRY_DROP_ALIAS) {
        snprintf(alias, sizeof alias, "@%s", change->key);
        exact.version = alias;
    }
    if (target->show(options, change->name, exact.version, &found, error)) return -1;
    snprintf(version, sizeof version, "%s", json_string_value(json_object_get(found, "version")));
    bool tagged = change->key && json_object_get(json_object_get(found, "tags"), change->key);
    json_decref(found);
    exact.version = version;
    if (change->kind == REGISTRY_DROP_TAG && !tagged)
        return error_set(error, ERROR_NOT_FOUND, "version %s of %s has no tag \"%.60s\"", version,
                         change->name, change->key);
    return target->change(options, &exact, error) ||
                   target->show(options, change->name, version, out, error)
               ? -1
               : 0;
}
