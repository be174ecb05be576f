/* Build-time program: cuts the marked stages out of C sources and writes them as an array of struct
 * code_extract.
 *
 *   extract_stages OUT ROOT ENGINE:FILE…
 *
 * A stage begins after a line holding the mark [stage: NAME] in a comment and ends before the next
 * [end]. A mark [IDEA] in a comment at the end of a line says which idea the line's statement
 * stands for; [stage: NAME, IDEA] gives all of the stage's statements that idea. The marks
 * themselves are not shown. [layer: TYPE] begins a part of the stage "network" that computes layers
 * of that type. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *constant;
} stages[] = {
    {"data", "CODE_DATA"},
    {"network", "CODE_NETWORK"},
    {"loss and optimizer", "CODE_OPTIMIZER"},
    {"one step", "CODE_STEP"},
    {"loop", "CODE_LOOP"},
    {"saving", "CODE_SAVE"},
};
static const size_t stage_count = sizeof stages / sizeof stages[0];

#define MAX_LINES 400
#define IDEA_SIZE 32

struct shown_line {
    char *text;
    char idea[IDEA_SIZE]; /* "": none */
};
struct shown_stage {
    const char *constant;
    char layer[IDEA_SIZE]; /* the type of layer that it computes; "": not of a single type */
    char idea[IDEA_SIZE];  /* of every statement; "": as the lines say */
    unsigned first_line;
    size_t count;
    struct shown_line lines[MAX_LINES];
};

static void fail(const char *what, const char *about)
{
    fprintf(stderr, "extract_stages: %s: %s\n", what, about);
    exit(1);
}

/* [stage: NAME] or [stage: NAME, IDEA] in a comment; or [layer: TYPE]. */
static bool opens_stage(const char *line, struct shown_stage *out)
{
    *out = (struct shown_stage){.constant = "CODE_NETWORK"};
    if (sscanf(line, "/* [layer: %31[a-z0-9]]", out->layer) == 1) return true;
    const char *mark = strstr(line, "/* [stage: ");
    if (!mark) return false;
    mark += strlen("/* [stage: ");
    for (size_t i = 0; i < stage_count; i++) {
        size_t length = strlen(stages[i].name);
        if (strncmp(mark, stages[i].name, length) != 0 || !strchr("],", mark[length])) continue;
        *out = (struct shown_stage){.constant = stages[i].constant};
        sscanf(mark + length, ", %31[a-z_]", out->idea);
        return true;
    }
    fail("unknown stage in", line);
    return false;
}

/* Takes the line's mark, if it has one, off its end and writes it to `idea`. */
static void take_mark(char *line, char idea[IDEA_SIZE])
{
    int end = 0;
    char *mark = NULL;
    for (char *at = line; (at = strstr(at, "/* [")); at++) mark = at;
    *idea = '\0';
    if (!mark || sscanf(mark, "/* [%31[a-z_]] */%n", idea, &end) != 1 || !end || mark[end]) {
        *idea = '\0';
        return;
    }
    while (mark > line && mark[-1] == ' ') mark--;
    *mark = '\0';
}

static void add_line(struct shown_stage *stage, char *line)
{
    if (stage->count == MAX_LINES) fail("a stage is too long", line);
    struct shown_line *shown = &stage->lines[stage->count++];
    line[strcspn(line, "\n")] = '\0';
    take_mark(line, shown->idea);
    shown->text = strdup(line);
    if (!shown->text) fail("out of memory", line);
}

/* Comments, empty lines and what only closes a block stand for nothing. */
static bool is_silent(const char *line)
{
    const char *first = line + strspn(line, " ");
    return !*first || strchr("{}/", *first) || strncmp(first, "* ", 2) == 0;
}

static bool ends_statement(const char *line)
{
    size_t length = strlen(line);
    return is_silent(line) || strchr(";{}", line[length - 1]);
}

/* A mark on one line of a statement is the mark of all of its lines. */
static void spread_ideas(struct shown_stage *stage)
{
    for (size_t first = 0, end; first < stage->count; first = end) {
        char idea[IDEA_SIZE];
        memcpy(idea, stage->idea, sizeof idea);
        end = first;
        do {
            if (*stage->lines[end].idea) memcpy(idea, stage->lines[end].idea, sizeof idea);
        } while (!ends_statement(stage->lines[end++].text) && end < stage->count);
        for (size_t i = first; i < end; i++) {
            if (is_silent(stage->lines[i].text)) continue;
            memcpy(stage->lines[i].idea, idea, sizeof idea);
        }
    }
}

static void write_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\') fputc('\\', out);
        fputc(*c, out);
    }
    fputc('"', out);
}

/* The stage's array of lines to `out`, its row to `table`. */
static void write_stage(FILE *out, FILE *table, const char *engine, const char *file,
                        struct shown_stage *stage)
{
    static unsigned written;
    spread_ideas(stage);
    fprintf(out, "static const struct code_extract_line lines_%u[] = {\n", written);
    for (size_t i = 0; i < stage->count; i++) {
        fputs("    {", out);
        write_string(out, stage->lines[i].text);
        if (*stage->lines[i].idea) fprintf(out, ", \"%s\"", stage->lines[i].idea);
        fputs("},\n", out);
        free(stage->lines[i].text);
    }
    fputs("};\n", out);
    fprintf(
        table,
        "    {.engine = \"%s\", .stage = %s, .layer = \"%s\", .file = \"%s\", .first_line = %u, "
        ".lines = lines_%u, .count = %zu},\n",
        engine, stage->constant, stage->layer, file, stage->first_line, written++, stage->count);
}

/* Writes the arrays of lines of one file, and notes the table's rows in `table`. */
static void extract(FILE *out, FILE *table, const char *root, const char *engine, const char *file)
{
    char path[4096], line[4096];
    static struct shown_stage stage;
    snprintf(path, sizeof path, "%s/%s", root, file);
    FILE *in = fopen(path, "r");
    if (!in) fail("cannot read", path);
    bool inside = false;
    for (unsigned number = 1; fgets(line, sizeof line, in); number++) {
        if (inside && strstr(line, "/* [end] */")) {
            write_stage(out, table, engine, file, &stage);
            inside = false;
        } else if (inside) {
            add_line(&stage, line);
        } else if (opens_stage(line, &stage)) {
            stage.first_line = number + 1;
            inside = true;
        }
    }
    fclose(in);
    if (inside) fail("a stage without [end]", file);
}

int main(int argc, char **argv)
{
    if (argc < 3) return 1;
    FILE *out = fopen(argv[1], "w");
    char *rows = NULL;
    size_t size = 0;
    FILE *table = open_memstream(&rows, &size);
    if (!out || !table) return 1;
    fputs("/* Generated by extract_stages.c from the engines' sources. */\n#include "
          "\"code/text.h\"\n\n",
          out);
    for (int i = 3; i < argc; i++) {
        char *colon = strchr(argv[i], ':');
        if (!colon) return 1;
        *colon = '\0';
        extract(out, table, argv[2], argv[i], colon + 1);
    }
    fclose(table);
    fprintf(out, "const struct code_extract code_extracts[] = {\n%s    {.engine = \"\"},\n};\n",
            rows);
    fprintf(
        out,
        "const size_t code_extract_count = sizeof code_extracts / sizeof code_extracts[0] - 1;\n");
    free(rows);
    return fclose(out) ? 1 : 0;
}
