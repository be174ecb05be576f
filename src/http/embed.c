/* Run while building: turns the files of a folder into a C array, compressed where that helps.
 *
 *   embed FOLDER NAME OUTPUT.c DEPFILE
 *
 * makes `const struct asset NAMEs[]` and NAME_count, sorted by path (http/assets.h). Without the
 * folder a plain page is made that says how to build the real one. */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define FILES_MAX     256
#define FILE_SIZE_MAX (16 << 20)

static const char placeholder[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Neural Net Studio</title>\n"
    "<h1>Neural Net Studio</h1>\n<p>The dashboard was not built into this program. Build it with "
    "<code>make</code>; "
    "it needs Node.js.</p>\n<p>The server itself is running: see <a "
    "href=\"/api/openapi.json\">/api/openapi.json</a>.</p>\n</html>\n";

static const struct {
    const char *ending, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".json", "application/json"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
    {".webmanifest", "application/manifest+json"},
};

static char *paths[FILES_MAX];
static int path_count;
static FILE *dependencies;
static size_t root_length;

static void die(const char *what, const char *which)
{
    fprintf(stderr, "embed: %s %s\n", what, which);
    exit(1);
}

static int note_file(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)walk;
    fprintf(dependencies, " %s", path);
    if (kind != FTW_F) return 0;
    if (path_count == FILES_MAX) die("too many files in", path);
    paths[path_count] = strdup(path);
    if (!paths[path_count++]) die("no memory for", path);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = malloc(FILE_SIZE_MAX);
    if (!file || !bytes) die("cannot read", path);
    *size = fread(bytes, 1, FILE_SIZE_MAX, file);
    if (ferror(file) || *size == FILE_SIZE_MAX) die("cannot read", path);
    fclose(file);
    return bytes;
}

static unsigned char *compress_gzip(const unsigned char *bytes, size_t size, size_t *out_size)
{
    z_stream stream = {0};
    size_t room = size + size / 1000 + 128;
    unsigned char *out = malloc(room);
    if (!out || deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        die("cannot compress", "");
    stream.next_in = (unsigned char *)(uintptr_t)bytes;
    stream.avail_in = (unsigned)size;
    stream.next_out = out;
    stream.avail_out = (unsigned)room;
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END) die("cannot compress", "");
    *out_size = room - stream.avail_out;
    deflateEnd(&stream);
    return out;
}

static void write_array(FILE *out, const char *name, int index, const unsigned char *bytes,
                        size_t size)
{
    fprintf(out, "static const unsigned char %s_%d[] = {", name, index);
    for (size_t i = 0; i < size; i++) fprintf(out, i % 32 ? "%u," : "\n%u,", bytes[i]);
    fprintf(out, "0};\n");
}

static const char *type_of(const char *path)
{
    const char *ending = strrchr(path, '.');
    for (size_t i = 0; ending && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].ending, ending) == 0) return types[i].type;
    return "application/octet-stream";
}

/* FNV-1a: tells contents apart, keeps nobody out. */
static uint64_t digest(const unsigned char *bytes, size_t size)
{
    uint64_t value = 14695981039346656037u;
    for (size_t i = 0; i < size; i++) value = (value ^ bytes[i]) * 1099511628211u;
    return value;
}

static void write_asset(FILE *out, FILE *table, int index, const char *path,
                        const unsigned char *bytes, size_t size)
{
    size_t zipped_size;
    unsigned char *zipped = compress_gzip(bytes, size, &zipped_size);
    int helps = zipped_size < size - size / 20;
    write_array(out, "plain", index, bytes, size);
    if (helps) write_array(out, "gzip", index, zipped, zipped_size);
    fprintf(table, "    {\"%s\", \"%s\", \"\\\"%016llx\\\"\", plain_%d, %zu, ", path, type_of(path),
            (unsigned long long)digest(bytes, size), index, size);
    if (helps)
        fprintf(table, "gzip_%d, %zu},\n", index, zipped_size);
    else
        fprintf(table, "NULL, 0},\n");
    free(zipped);
}

static void find_files(const char *folder, const char *output, const char *depfile)
{
    dependencies = fopen(depfile, "w");
    if (!dependencies) die("cannot write", depfile);
    fprintf(dependencies, "%s:", output);
    root_length = strlen(folder);
    if (nftw(folder, note_file, 16, FTW_PHYS)) path_count = 0;
    /* The folder may appear later: then its parent changes. */
    char *parent = strdup(folder), *slash = parent ? strrchr(parent, '/') : NULL;
    struct stat info;
    while (slash) {
        *slash = '\0';
        if (*parent && !stat(parent, &info)) break;
        slash = strrchr(parent, '/');
    }
    if (!path_count && parent) fprintf(dependencies, " %s", parent);
    free(parent);
    fprintf(dependencies, "\n");
    if (fclose(dependencies)) die("cannot write", depfile);
    qsort(paths, (size_t)path_count, sizeof paths[0], by_name);
}

int main(int argc, char **argv)
{
    if (argc != 5) die("usage: embed FOLDER NAME OUTPUT.c DEPFILE", "");
    const char *name = argv[2], *output = argv[3];
    find_files(argv[1], output, argv[4]);
    char *text = NULL;
    size_t length = 0;
    FILE *out = fopen(output, "w"), *table = open_memstream(&text, &length);
    if (!out || !table) die("cannot write", output);
    fprintf(out, "/* Made by embed.c. */\n#include \"http/assets.h\"\n");
    for (int i = 0; i < path_count; i++) {
        size_t size;
        unsigned char *bytes = read_file(paths[i], &size);
        write_asset(out, table, i, paths[i] + root_length, bytes, size);
        free(bytes);
        free(paths[i]);
    }
    if (!path_count)
        write_asset(out, table, 0, "/index.html", (const unsigned char *)placeholder,
                    sizeof placeholder - 1);
    if (fclose(table)) die("no memory for", output);
    fprintf(
        out,
        "const struct asset %ss[] = {\n%s};\nconst size_t %s_count = sizeof %ss / sizeof %ss[0];\n",
        name, text, name, name, name);
    free(text);
    if (fclose(out)) die("cannot write", output);
    return 0;
}
