#include "http/assets.h"

#include <stdbool.h>
#include <string.h>

#include "engine/engine.h"

/* The page shows a tab by its address: all of them, and each engine's lab at /ID, are index.html.
 */
static const char *const tabs[] = {"data",  "design",   "code", "diff",  "microscope",
                                   "atlas", "showdown", "runs", "azure", "system"};

static bool is_tab(const char *path)
{
    const char *name = path + 1;
    size_t length = strlen(name);
    if (!length) return true;
    if (name[length - 1] == '/') length--;
    for (size_t i = 0; i < sizeof tabs / sizeof tabs[0]; i++)
        if (strlen(tabs[i]) == length && strncmp(tabs[i], name, length) == 0) return true;
    for (size_t i = 0; i < engine_table_count; i++)
        if (strlen(engine_table[i]->id) == length && !strncmp(engine_table[i]->id, name, length))
            return true;
    return strncmp(name, "runs/", 5) == 0 && !strchr(name + 5, '/');
}

static const struct asset *find(const char *path)
{
    for (size_t i = 0; i < page_file_count; i++)
        if (strcmp(page_files[i].path, path) == 0) return &page_files[i];
    return NULL;
}

/* Is `etag` among those in If-None-Match? */
static bool unchanged(struct request *request, const char *etag)
{
    const char *header = request_header(request, "If-None-Match");
    return header && (strstr(header, etag) || strcmp(header, "*") == 0);
}

/* A browser that was sent to no page of ours gets the page, which says so and has the ways on. */
static bool wants_page(struct request *request, const char *path)
{
    const char *accepted = request_header(request, "Accept");
    return accepted && strstr(accepted, "text/html") && strncmp(path, "/assets/", 8) != 0;
}

void assets_reply(struct request *request, const char *path)
{
    static const char missing[] = "There is nothing at this address. The studio's page is at /\n";
    const struct asset *asset = find(is_tab(path) ? "/index.html" : path);
    int status = 200;
    if (!asset && wants_page(request, path)) {
        asset = find("/index.html");
        status = 404;
    }
    if (!asset) {
        request_reply(request, 404, "text/plain; charset=utf-8", missing, sizeof missing - 1);
        return;
    }
    const char *accepted = request_header(request, "Accept-Encoding");
    bool zip = asset->gzip && (!asset->plain || (accepted && strstr(accepted, "gzip")));
    /* Names in /assets/ carry a digest of their content. */
    bool lasting = strncmp(path, "/assets/", 8) == 0;
    request_add_header(request, "ETag", asset->etag);
    request_add_header(request, "Cache-Control",
                       lasting ? "public, max-age=31536000, immutable" : "no-cache");
    request_add_header(request, "Vary", "Accept-Encoding");
    if (status == 200 && unchanged(request, asset->etag)) {
        request_reply(request, 304, NULL, "", 0);
        return;
    }
    if (zip) request_add_header(request, "Content-Encoding", "gzip");
    request_reply_static(request, status, asset->type, zip ? asset->gzip : asset->plain,
                         zip ? asset->gzip_size : asset->plain_size);
}
