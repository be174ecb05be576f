#include "registry/azure/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"

#define CONFIG_LIMIT ((size_t)64 << 10)

static int copy_part(char *out, size_t size, const char *value, size_t length, const char *file,
                     const char *key, struct error *error)
{
    if (!length || length >= size)
        return error_set(
            error, ERROR_INPUT,
            "%s: \"%s\" is empty or too long: copy the file from the Azure portal again", file,
            key);
    snprintf(out, size, "%.*s", (int)length, value);
    return 0;
}

/* "/subscriptions/S/resourceGroups/R/providers/Microsoft.MachineLearningServices/workspaces/W" */
static int read_scope(const char *scope, const char *file, struct az_workspace *out,
                      struct error *error)
{
    const struct {
        unsigned piece;
        char *place;
        size_t size;
    } parts[] = {{2, out->subscription, sizeof out->subscription},
                 {4, out->resource_group, sizeof out->resource_group},
                 {8, out->name, sizeof out->name}};
    for (size_t i = 0; i < 3; i++) {
        const char *place = scope;
        for (unsigned piece = 0; piece < parts[i].piece && place; piece++) {
            place = strchr(place, '/');
            if (place) place++;
        }
        if (!place)
            return error_set(error, ERROR_INPUT,
                             "%s: \"Scope\" is not the id of a workspace: copy the file from the "
                             "Azure portal again",
                             file);
        if (copy_part(parts[i].place, parts[i].size, place, strcspn(place, "/"), file, "Scope",
                      error))
            return -1;
    }
    return 0;
}

static int read_key(const json_t *object, const char *key, char *out, size_t size, const char *file,
                    struct error *error)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return error_set(
            error, ERROR_INPUT,
            "%s has no \"%s\": it needs subscription_id, resource_group and workspace_name", file,
            key);
    if (!json_is_string(value))
        return error_set(error, ERROR_INPUT, "%s: \"%s\" must be a string", file, key);
    return copy_part(out, size, json_string_value(value), strlen(json_string_value(value)), file,
                     key, error);
}

/* One UTF-16 unit at `bytes`. */
static unsigned unit_at(const unsigned char *bytes, bool big_endian)
{
    return (unsigned)bytes[big_endian ? 0 : 1] << 8 | bytes[big_endian ? 1 : 0];
}

/* UTF-16 as Windows' editors and PowerShell write it, to UTF-8. */
static int from_utf16(const unsigned char *bytes, size_t size, bool big_endian, const char *file,
                      struct buffer *out, struct error *error)
{
    for (size_t i = 0; i + 1 < size; i += 2) {
        unsigned code = unit_at(bytes + i, big_endian);
        if (code >= 0xD800 && code < 0xDC00 && i + 3 < size) {
            unsigned low = unit_at(bytes + i + 2, big_endian);
            if (low >= 0xDC00 && low < 0xE000) {
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                i += 2;
            }
        }
        if (code >= 0xD800 && code < 0xE000)
            return error_set(error, ERROR_INPUT, "%s is not valid UTF-16: save it as UTF-8", file);
        char text[4];
        size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        static const unsigned char starts[] = {0, 0, 0xC0, 0xE0, 0xF0};
        for (size_t k = length; k-- > 1; code >>= 6) text[k] = (char)(0x80 | (code & 0x3F));
        text[0] = (char)(starts[length] | code);
        buffer_append(out, text, length);
    }
    if (size % 2)
        return error_set(error, ERROR_INPUT, "%s ends within a character: copy it again", file);
    return buffer_check(out, file, error);
}

/* The object in the file: UTF-8 with or without a byte order mark, or UTF-16 with one. */
static int read_json(const char *file, json_t **object, struct error *error)
{
    char *text;
    size_t size;
    struct buffer plain;
    if (file_read(file, CONFIG_LIMIT, &text, &size, error)) return -1;
    const unsigned char *bytes = (const unsigned char *)text;
    bool little = size >= 2 && bytes[0] == 0xFF && bytes[1] == 0xFE;
    bool big = size >= 2 && bytes[0] == 0xFE && bytes[1] == 0xFF;
    size_t skip = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    int status;
    if (little || big) {
        buffer_init(&plain, 2 * CONFIG_LIMIT);
        status = from_utf16(bytes + 2, size - 2, big, file, &plain, error);
        if (!status)
            status = js_parse_object(plain.data ? plain.data : "", plain.length, file, object,
                                     error);
        buffer_free(&plain);
    } else {
        status = js_parse_object(text + skip, size - skip, file, object, error);
    }
    free(text);
    return status;
}

int az_config_read(const char *file, struct az_workspace *out, struct error *error)
{
    json_t *object;
    int status;
    *out = (struct az_workspace){0};
    if (read_json(file, &object, error)) return -1;
    const char *scope = json_string_value(json_object_get(object, "Scope"));
    if (scope && *scope) {
        status = read_scope(scope, file, out, error);
    } else {
        status = read_key(object, "subscription_id", out->subscription, sizeof out->subscription,
                          file, error) ||
                         read_key(object, "resource_group", out->resource_group,
                                  sizeof out->resource_group, file, error) ||
                         read_key(object, "workspace_name", out->name, sizeof out->name, file,
                                  error)
                     ? -1
                     : 0;
    }
    json_decref(object);
    if (status) return -1;
    snprintf(out->found_in, sizeof out->found_in, "%s", file);
    if (az_workspace_check(out, error)) return error_prefix(error, "%s", file);
    return 0;
}

/* From `start` upwards for FOLDER/FILE; the path into `out`. */
static bool walk_up(const char *start, const char *folder, const char *file, char *out, size_t size)
{
    char place[4096];
    snprintf(place, sizeof place, "%s", start);
    for (;;) {
        int length = snprintf(out, size, "%s%s%s%s%s", strcmp(place, "/") == 0 ? "" : place, "/",
                              folder, *folder ? "/" : "", file);
        if (length > 0 && (size_t)length < size && file_exists(out) && !file_is_directory(out))
            return true;
        char *slash = strrchr(place, '/');
        if (!slash || strcmp(place, "/") == 0) return false;
        *(slash == place ? slash + 1 : slash) = '\0';
    }
}

int az_config_find(const char *path, struct az_workspace *out, struct error *error)
{
    static const char *const folders[] = {".azureml", "aml_config", ""};
    static const char *const files[] = {"config.json", "project.json"};
    char found[4096];
    if (path && file_exists(path) && !file_is_directory(path))
        return az_config_read(path, out, error);
    if (path && !file_exists(path))
        return error_set(error, ERROR_NOT_FOUND,
                         "%s is not there: name a config.json or its folder", path);
    char *start = realpath(path ? path : ".", NULL);
    if (!start)
        return error_set(error, ERROR_NOT_FOUND, "%s cannot be read: name a config.json",
                         path ? path : "the current folder");
    for (size_t d = 0; d < 3; d++) {
        for (size_t f = 0; f < 2; f++) {
            if (!walk_up(start, folders[d], files[f], found, sizeof found)) continue;
            free(start);
            return az_config_read(found, out, error);
        }
    }
    error_set(error, ERROR_NOT_FOUND,
              "no config.json from %s upwards: download it from the workspace's page in the Azure "
              "portal, or give --subscription, "
              "--resource-group and --workspace",
              start);
    free(start);
    return -1;
}

static bool is_guid(const char *text)
{
    if (strlen(text) != 36) return false;
    for (int i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i])) return false;
    }
    return true;
}

static bool is_name(const char *text, size_t least, size_t most, const char *extra)
{
    size_t length = strlen(text);
    if (length < least || length > most || !isalnum((unsigned char)text[0])) return false;
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(extra, *c)) return false;
    return true;
}

/* Letters and digits of any script, - _ . ( ), no period at the end, 1 to 90 characters
 * (learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules). Which
 * characters beyond ASCII are letters, Azure decides. */
static bool is_group(const char *text)
{
    size_t count = 0;
    for (const char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x80 && !isalnum(byte) && !strchr("-_.()", byte)) return false;
        count += (byte & 0xC0) != 0x80;
    }
    return count >= 1 && count <= 90 && text[strlen(text) - 1] != '.';
}

int az_workspace_check(const struct az_workspace *workspace, struct error *error)
{
    if (!is_guid(workspace->subscription))
        return error_set(error, ERROR_INPUT,
                         "the subscription id \"%.60s\" is not a GUID such as "
                         "00000000-0000-0000-0000-000000000000",
                         workspace->subscription);
    if (!is_group(workspace->resource_group))
        return error_set(error, ERROR_INPUT,
                         "the resource group \"%.100s\" is not a name that Azure allows: use 1 to "
                         "90 letters, digits, - _ . ( ), and no . at the end",
                         workspace->resource_group);
    if (!is_name(workspace->name, 3, 33, "-_"))
        return error_set(
            error, ERROR_INPUT,
            "\"%.60s\" is not a valid workspace name: use 3 to 33 letters, digits, - and _",
            workspace->name);
    return 0;
}

int az_registry_name_check(const char *name, struct error *error)
{
    if (is_name(name, 3, 33, "-_")) return 0;
    return error_set(error, ERROR_USAGE,
                     "the registry \"%.60s\" is not a name Azure takes: 3 to 33 letters, digits, - "
                     "and _",
                     name);
}

int az_model_name_check(const char *name, struct error *error)
{
    if (is_name(name, 1, 255, "-_")) return 0;
    return error_set(
        error, ERROR_USAGE,
        "\"%.60s\" is not a valid model name in Azure ML: begin with a letter or digit, then "
        "letters, digits, - and _ (no dots)",
        name);
}

static const struct az_cloud clouds[] = {
    {"AzureCloud", "https://login.microsoftonline.com", "https://management.azure.com",
     "core.windows.net", "https://ml.azure.com", "https://eastus.api.azureml.ms"},
    {"AzureUSGovernment", "https://login.microsoftonline.us",
     "https://management.usgovcloudapi.net", "core.usgovcloudapi.net", "https://ml.azure.us",
     "https://usgovarizona.api.ml.azure.us"},
    {"AzureChinaCloud", "https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn",
     "core.chinacloudapi.cn", "https://ml.azure.cn", "https://chinaeast2.api.ml.azure.cn"},
};

static void copy_address(char *out, size_t size, const char *value)
{
    size_t length = value ? strlen(value) : 0;
    while (length && value[length - 1] == '/') length--;
    snprintf(out, size, "%.*s", (int)length, value ? value : "");
}

/* Metadata of a cloud that is not in the table:
 * [{"name","portal","resourceManager","authentication":{…},"suffixes":{…}}]. */
static int read_metadata(const struct web_answer *answer, const char *name, struct az_cloud *out,
                         struct error *error)
{
    json_t *list = json_loadb(answer->body.data ? answer->body.data : "", answer->body.length, 0,
                              NULL),
           *entry;
    size_t i;
    int status = -1;
    json_array_foreach(list, i, entry) {
        const char *own = json_string_value(json_object_get(entry, "name"));
        if (!own || strcmp(own, name) != 0) continue;
        snprintf(out->name, sizeof out->name, "%s", own);
        copy_address(out->arm, sizeof out->arm,
                     json_string_value(json_object_get(entry, "resourceManager")));
        copy_address(out->portal, sizeof out->portal,
                     json_string_value(json_object_get(entry, "portal")));
        copy_address(out->authority, sizeof out->authority,
                     json_string_value(json_object_get(json_object_get(entry, "authentication"),
                                                       "loginEndpoint")));
        copy_address(
            out->storage_suffix, sizeof out->storage_suffix,
            json_string_value(json_object_get(json_object_get(entry, "suffixes"), "storage")));
        /* as Microsoft's client: the metadata has no row for it */
        copy_address(out->discovery, sizeof out->discovery,
                     getenv("REGISTRY_DISCOVERY_ENDPOINT_URL"));
        status = *out->arm && *out->authority && *out->storage_suffix ? 0 : -1;
    }
    json_decref(list);
    if (!status) return 0;
    return error_set(error, ERROR_INPUT,
                     "asking for the cloud's addresses: ARM_CLOUD_METADATA_URL does not describe "
                     "\"%.60s\": check AZUREML_CURRENT_CLOUD",
                     name);
}

int az_cloud_find(struct web *web, struct az_cloud *out, struct error *error)
{
    const char *name = getenv("AZUREML_CURRENT_CLOUD"), *url = getenv("ARM_CLOUD_METADATA_URL");
    *out = (struct az_cloud){0};
    if (!name || !*name) name = clouds[0].name;
    for (size_t i = 0; i < sizeof clouds / sizeof clouds[0]; i++) {
        if (strcmp(clouds[i].name, name) != 0) continue;
        *out = clouds[i];
        return 0;
    }
    if (!url || !*url)
        return error_set(error, ERROR_INPUT,
                         "the cloud \"%.60s\" is not known: use AzureCloud, AzureUSGovernment or "
                         "AzureChinaCloud, or set "
                         "ARM_CLOUD_METADATA_URL",
                         name);
    struct web_request request = {
        .method = "GET", .url = url, .what = "asking for the cloud's addresses"};
    struct web_answer answer;
    int status = web_send(web, &request, &answer, error);
    if (!status && answer.status != 200)
        status = error_set(
            error, ERROR_UNAVAILABLE,
            "asking for the cloud's addresses: HTTP %d: check ARM_CLOUD_METADATA_URL",
            answer.status);
    if (!status && web_answer_is_page(&answer))
        status = error_set(error, ERROR_UNAVAILABLE,
                           "asking for the cloud's addresses: the answer is a web page: is a proxy "
                           "or a sign-in page in between?");
    if (!status) status = read_metadata(&answer, name, out, error);
    web_answer_clear(&answer);
    return status;
}
