/* /api/openapi.json, made of the same table that is served. */
#include <string.h>

#include "http/router.h"
#include "http/schema.h"
#include "run/settings.h"

const struct route_group *const route_groups[] = {
    &routes_system,      &routes_datasets,  &routes_runs,     &routes_showdowns, &routes_models,
    &routes_activations, &routes_atlas,     &routes_networks, &routes_tasks,     &routes_code,
    &routes_cluster,     &routes_diff,      &routes_schedule, &routes_registry,  &routes_uploads,
    &routes_versions,    &routes_endpoints, &routes_tracking};
const size_t route_group_count = sizeof route_groups / sizeof route_groups[0];

/* {"$ref":…} to a shape by its name; one that is not there is a mistake in the table. */
static json_t *reference(const char *name)
{
    CHECK(schema_find(name));
    return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", name));
}

json_t *parameter_choices(const struct parameter *parameter)
{
    if (parameter->choices[0] == '@')
        return json_incref(json_object_get(schema_find(parameter->choices + 1), "enum"));
    json_t *choices = json_array();
    for (const char *word = parameter->choices; *word; word += strspn(word, " ")) {
        size_t length = strcspn(word, " ");
        json_array_append_new(choices, json_stringn(word, length));
        word += length;
    }
    return choices;
}

static json_t *parameter_schema(const struct parameter *parameter)
{
    if (parameter->type == PARAMETER_INTEGER)
        return json_pack("{s:s, s:I, s:I, s:I}", "type", "integer", "minimum",
                         (json_int_t)parameter->low, "maximum", (json_int_t)parameter->high,
                         "default", (json_int_t)parameter->fallback);
    if (parameter->type == PARAMETER_TEXT)
        return json_pack("{s:s, s:i}", "type", "string", "maxLength", 50);
    json_t *choices = parameter_choices(parameter);
    json_t *schema = json_pack("{s:s, s:O}", "type", "string", "enum", choices);
    if (parameter->type == PARAMETER_CHOICE)
        json_object_set(schema, "default", json_array_get(choices, 0));
    json_decref(choices);
    return schema;
}

/* A setting in the query: widths with commas, all else as in JSON. */
static json_t *setting_parameter(const struct setting *setting)
{
    json_t *schema = setting->kind == SETTING_WIDTHS
                         ? json_pack("{s:s, s:s}", "type", "string", "pattern",
                                     "^(none|[0-9]+(,[0-9]+)*)?$")
                         : setting_schema(setting);
    return json_pack("{s:s, s:s, s:s, s:o}", "name", setting->key, "in", "query", "description",
                     setting->help, "schema", schema);
}

static json_t *parameters_json(const struct route *route)
{
    json_t *list = json_array();
    for (const char *open = strchr(route->path, '{'); open; open = strchr(open + 1, '{')) {
        json_t *parameter = json_pack("{s:s#, s:s, s:b, s:{s:s, s:i}}", "name", open + 1,
                                      (int)strcspn(open + 1, "}"), "in", "path", "required", 1,
                                      "schema", "type", "string", "minLength", 1);
        json_array_append_new(list, parameter);
    }
    for (const struct parameter *parameter = route->parameters; parameter && parameter->name;
         parameter++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "name", parameter->name, "in",
                                              "query", "description", parameter->summary, "schema",
                                              parameter_schema(parameter)));
    for (size_t i = 0; route->flags & ROUTE_SETTINGS && i < settings_count; i++)
        if (settings_table[i].flags & SETTING_PROGRAM)
            json_array_append_new(list, setting_parameter(&settings_table[i]));
    return list;
}

static json_t *response_json(const struct route *route)
{
    json_t *content = route->flags & ROUTE_RAW ? json_pack("{s:{}}", route->response)
                                               : json_pack("{s:{s:o}}", "application/json",
                                                           "schema", reference(route->response));
    return json_pack("{s:s, s:o}", "description", route->summary, "content", content);
}

static json_t *operation_json(const struct route *route, const char *group)
{
    char status[8];
    json_t *responses = json_object();
    snprintf(status, sizeof status, "%d", route->status);
    json_object_set_new(responses, status, response_json(route));
    json_object_set_new(responses, "default",
                        json_pack("{s:s}", "$ref", "#/components/responses/Error"));
    json_t *operation = json_pack("{s:s, s:[s], s:o, s:o}", "summary", route->summary, "tags",
                                  group, "parameters", parameters_json(route), "responses",
                                  responses);
    if (route->body)
        json_object_set_new(operation, "requestBody",
                            json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content",
                                      "application/json", "schema", reference(route->body)));
    if (route->flags & ROUTE_BYTES)
        json_object_set_new(
            operation, "requestBody",
            json_pack("{s:b, s:{s:{}}}", "required", 1, "content", "application/octet-stream"));
    return operation;
}

static const char *lower(const char *method)
{
    static const char *const pairs[][2] = {
        {"GET", "get"}, {"POST", "post"}, {"PUT", "put"}, {"PATCH", "patch"}, {"DELETE", "delete"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (strcmp(pairs[i][0], method) == 0) return pairs[i][1];
    CHECK(false && "a method of the table");
    return "";
}

json_t *openapi_document(void)
{
    json_t *paths = json_object();
    for (size_t g = 0; g < route_group_count; g++) {
        for (size_t i = 0; i < route_groups[g]->count; i++) {
            const struct route *route = &route_groups[g]->routes[i];
            json_t *path = json_object_get(paths, route->path);
            if (!path) {
                path = json_object();
                json_object_set_new(paths, route->path, path);
            }
            json_object_set_new(path, lower(route->method),
                                operation_json(route, route_groups[g]->title));
        }
    }
    json_t *error = json_pack("{s:s, s:{s:{s:o}}}", "description", "what is wrong: how to fix it",
                              "content", "application/json", "schema", reference("Error"));
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:{s:o, s:{s:o}}}", "openapi", "3.1.0", "info",
                     "title", "Neural Net Studio", "version", NNSTUDIO_VERSION, "description",
                     "Train one network with PyTorch, TensorFlow and a native engine.", "paths",
                     paths, "components", "schemas", json_deep_copy(schema_all()), "responses",
                     "Error", error);
}
