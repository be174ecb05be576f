#include "base/environment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static const char *const secrets[] = {
    "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",      "IDENTITY_HEADER",
    "MSI_SECRET",          "MLFLOW_TRACKING_TOKEN",
    "NNSTUDIO_TOKEN",      "MLFLOW_TRACKING_PASSWORD",
};

static bool same_name(const char *entry, const char *name, size_t length)
{
    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

static bool is_kept(const char *entry, const char *more)
{
    if (more && same_name(entry, more, strcspn(more, "="))) return false;
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (same_name(entry, secrets[i], strlen(secrets[i]))) return false;
    return true;
}

char **environment_for_child(char *more)
{
    size_t count = 0, kept = 0;
    while (environ[count]) count++;
    char **list = calloc(count + 2, sizeof *list);
    if (!list) return NULL;
    for (size_t i = 0; i < count; i++)
        if (is_kept(environ[i], more)) list[kept++] = environ[i];
    list[kept] = more;
    return list;
}
