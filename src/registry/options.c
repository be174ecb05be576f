/* The targets' options, one row each. */
#include <stdlib.h>
#include <string.h>

#include "registry/registry.h"
#include "registry/targets.h"

#define EVERYWHERE  (REGISTRY_ON_COMMAND_LINE | REGISTRY_IN_REQUEST | REGISTRY_ON_PAGE)
#define NOT_ON_PAGE (REGISTRY_ON_COMMAND_LINE | REGISTRY_IN_REQUEST)

/* clang-format off */
const struct registry_option registry_option_table[REGISTRY_KEYS] = {
    [REGISTRY_CONFIG] = {"config", "azure", REGISTRY_FILE, REGISTRY_ON_COMMAND_LINE, 4096,
        "config", "FILE", "config.json, or a folder to search from", "config.json", NULL, NULL},
    [REGISTRY_SUBSCRIPTION] = {"subscription_id", "azure", REGISTRY_TEXT, NOT_ON_PAGE, 255,
        "subscription", "ID", "instead of config.json", "Subscription", NULL,
        "AZURE_SUBSCRIPTION_ID"},
    [REGISTRY_RESOURCE_GROUP] = {"resource_group", "azure", REGISTRY_TEXT, NOT_ON_PAGE, 255,
        "resource-group", "NAME", "instead of config.json", "Resource group", NULL,
        "AZURE_RESOURCE_GROUP"},
    [REGISTRY_WORKSPACE] = {"workspace_name", "azure", REGISTRY_TEXT, NOT_ON_PAGE, 255,
        "workspace", "NAME", "instead of config.json", "Workspace", NULL,
        "AZUREML_WORKSPACE_NAME"},
    [REGISTRY_REGISTRY] = {"registry_name", "azure", REGISTRY_TEXT, REGISTRY_IN_REQUEST | REGISTRY_ON_PAGE, 33,
        "to azureml://registries/", "NAME", "an Azure ML registry instead of the workspace",
        "Registry", NULL, NULL},
    [REGISTRY_SIGN_IN] = {"sign_in", "azure", REGISTRY_CHOICE, EVERYWHERE, 31,
        "sign-in", "WAY", "auto, service-principal, workload-identity, azure-cli, "
        "managed-identity, device-code, browser", "Way", NULL, NULL},
    [REGISTRY_TENANT] = {"tenant", "azure", REGISTRY_TEXT, NOT_ON_PAGE, 255,
        "tenant", "ID", "the tenant to sign in to", "Tenant", NULL, "AZURE_TENANT_ID"},
    [REGISTRY_CLIENT_ID] = {"client_id", "azure", REGISTRY_TEXT, NOT_ON_PAGE, 255,
        "client-id", "ID", "the application to sign in as", "Application", NULL,
        "AZURE_CLIENT_ID"},
    [REGISTRY_TRACKING_URI] = {"tracking_uri", "mlflow", REGISTRY_TEXT, EVERYWHERE, 500,
        "tracking-uri", "URI", "the server's address", "Tracking server", NULL,
        "MLFLOW_TRACKING_URI"},
    [REGISTRY_EXPERIMENT] = {"experiment", "mlflow", REGISTRY_TEXT, EVERYWHERE, 255,
        "experiment", "NAME", "the experiment (nnstudio)", "Experiment", "nnstudio", NULL},
    [REGISTRY_INSECURE_HTTP] = {"insecure_http", "mlflow", REGISTRY_SWITCH, REGISTRY_ON_COMMAND_LINE, 1,
        "insecure-http", NULL, "allow plain http to another machine: everything sent is readable "
        "on the way", "Plain http", NULL, "NNSTUDIO_INSECURE_HTTP"},
    [REGISTRY_CA_FILE] = {"ca_file", NULL, REGISTRY_FILE, REGISTRY_ON_COMMAND_LINE, 4096,
        "ca-file", "FILE", "additional certificates to trust (PEM)", "Certificates", NULL,
        "NNSTUDIO_CA_FILE"},
    [REGISTRY_FORM] = {"form", "azure", REGISTRY_CHOICE, NOT_ON_PAGE, 32,
        "form", "FORM", "file (a custom model) or mlflow (a folder that MLflow loads)", "Form", "file", NULL},
};

const struct registry_secret registry_secret_table[] = {
    {"azure", "AZURE_CLIENT_SECRET", "the service principal's secret"},
    {"mlflow", "MLFLOW_TRACKING_TOKEN", "a bearer token"},
    {"mlflow", "MLFLOW_TRACKING_USERNAME", "the user of basic authentication"},
    {"mlflow", "MLFLOW_TRACKING_PASSWORD", "the password of basic authentication"},
};
/* clang-format on */
const size_t registry_secret_count = sizeof registry_secret_table / sizeof registry_secret_table[0];

const char *const *registry_choices(enum registry_key key)
{
    static const char *const none[] = {NULL}, *const forms[] = {"file", "mlflow", NULL};
    return key == REGISTRY_SIGN_IN ? azure_sign_in_choices() : key == REGISTRY_FORM ? forms : none;
}

static bool is_for(const struct registry_option *option, const char *target)
{
    return !option->target || strcmp(option->target, target) == 0;
}

json_t *registry_options_json(const char *target, unsigned place)
{
    static const char *const kinds[] = {"text", "file", "choice", "switch"};
    json_t *list = json_array();
    for (unsigned key = 0; key < REGISTRY_KEYS; key++) {
        const struct registry_option *option = &registry_option_table[key];
        if (!(option->places & place) || !is_for(option, target)) continue;
        json_t *choices = json_array();
        for (const char *const *word = registry_choices(key); *word; word++)
            json_array_append_new(choices, json_string(*word));
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:s?, s:s?, s:o}", "key", option->key,
                            "kind", kinds[option->kind], "title", option->title, "help",
                            option->help, "on_page", (option->places & REGISTRY_ON_PAGE) != 0,
                            "max_length", (int)option->max_length, "fallback", option->fallback,
                            "variable", option->variable, "choices", choices));
    }
    return list;
}

const char *registry_given(const struct registry_options *options, enum registry_key key)
{
    const char *value = options->values[key];
    return value && *value ? value : NULL;
}

const char *registry_value(const struct registry_options *options, enum registry_key key)
{
    const struct registry_option *option = &registry_option_table[key];
    const char *value = registry_given(options, key);
    if (!value && option->variable) value = getenv(option->variable);
    return value && *value ? value : option->fallback;
}

int registry_options_check(const struct registry_options *options, const char *target, bool as_json,
                           struct error *error)
{
    for (unsigned key = 0; key < REGISTRY_KEYS; key++) {
        const struct registry_option *option = &registry_option_table[key];
        const char *value = registry_given(options, key);
        char name[64];
        if (!value) continue;
        snprintf(name, sizeof name, as_json ? "\"%s\"" : "--%s",
                 as_json ? option->key : option->flag);
        if (!is_for(option, target))
            return error_set(error, ERROR_USAGE, "%s is an option of %s, not of %s: leave it out",
                             name, option->target, target);
        if (strlen(value) > option->max_length)
            return error_set(error, ERROR_USAGE, "%s is %zu bytes long: at most %u are allowed",
                             name, strlen(value), option->max_length);
        if (option->kind != REGISTRY_CHOICE) continue;
        const char *const *word = registry_choices(key);
        while (*word && strcmp(*word, value) != 0) word++;
        if (!*word)
            return error_set(error, ERROR_USAGE, "%s \"%.40s\" is not known: use %s", name, value,
                             option->help);
    }
    return 0;
}
