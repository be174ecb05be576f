/* Files embedded in the binary: the page's, and the schemas. */
#ifndef NNSTUDIO_HTTP_ASSETS_H
#define NNSTUDIO_HTTP_ASSETS_H

#include <stddef.h>

#include "http/server.h"

/* Made at build time by embed.c, sorted by path: of web/dist, and of http/schemas. */
struct asset {
    const char *path;           /* "/index.html" */
    const char *type;           /* media type */
    const char *etag;           /* quoted: a digest of the content */
    const unsigned char *plain; /* NULL when only the compressed form is kept */
    size_t plain_size;
    const unsigned char *gzip; /* NULL when compression does not help */
    size_t gzip_size;
};
extern const struct asset page_files[];
extern const size_t page_file_count;
extern const struct asset schema_files[];
extern const size_t schema_file_count;

/* Answers with the file at `path`; an address of a tab gets index.html. */
void assets_reply(struct request *request, const char *path);

#endif
