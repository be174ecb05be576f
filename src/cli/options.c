/* The option parser and the help it prints. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "engine/engine.h"

#define NAME_MAX_LENGTH 40
#define HELP_COLUMNS    100
#define OPTION_COLUMNS  33 /* where an option's explanation begins */

const char *cli_engine_choice(void)
{
    static char choice[ENGINE_IDS_SIZE + 40];
    char ids[ENGINE_IDS_SIZE];
    snprintf(choice, sizeof choice, "%s (%s)", engine_ids(false, ids), engine_default->id);
    return choice;
}

/* Levenshtein's distance between two short words. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LENGTH + 1], length = strnlen(b, NAME_MAX_LENGTH);
    for (size_t j = 0; j <= length; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[length];
}

const char *cli_nearest(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 2;
    if (strlen(word) > NAME_MAX_LENGTH) return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t away = distance(word, names[i]);
        if (away >= least) continue;
        least = away;
        best = names[i];
    }
    return best;
}

static int option_count(const struct cli_option *options)
{
    int count = 0;
    while (options[count].name) count++;
    CHECK(count <= CLI_OPTIONS_MAX);
    return count;
}

/* Columns of UTF-8 text; none of ours is wider than one per character. */
static size_t columns_of(const char *text, size_t size)
{
    size_t columns = 0;
    for (size_t i = 0; i < size; i++) columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

/* Prints `text`, a line of which begins in column `indent`, where the cursor is. */
static void print_wrapped(const char *text, size_t indent)
{
    for (size_t column = indent; *text;) {
        size_t blanks = strspn(text, " "), size = strcspn(text + blanks, " \n");
        size_t width = columns_of(text + blanks, size);
        if (column > indent && column + blanks + width > HELP_COLUMNS)
            printf("\n%*s", (int)indent, ""), column = indent;
        else
            printf("%*s", (int)blanks, ""), column += blanks;
        printf("%.*s", (int)size, text + blanks);
        column += width;
        text += blanks + size;
        if (*text != '\n') continue;
        printf("\n%*s", (int)indent, "");
        column = indent;
        text++;
    }
    putchar('\n');
}

static void print_option(const struct cli_option *option)
{
    char left[80];
    int size = snprintf(left, sizeof left, "  --%s%s%s", option->name, option->argument ? " " : "",
                        option->argument ? option->argument : "");
    size_t columns = columns_of(left, (size_t)size);
    printf("%s", left);
    if (columns >= OPTION_COLUMNS) puts(""), columns = 0;
    printf("%*s", (int)(OPTION_COLUMNS - columns), "");
    print_wrapped(option->help, OPTION_COLUMNS);
}

static int print_help(const struct command *command, const struct cli_option *options)
{
    printf("usage: nnstudio %s %s\n", command->name, command->usage);
    if (command->summary) printf("\n%s\n", command->summary);
    if (command->details) putchar('\n'), print_wrapped(command->details, 0);
    if (!options[0].name) return EXIT_OK;
    puts("\noptions:");
    for (const struct cli_option *option = options; option->name; option++) print_option(option);
    return EXIT_OK;
}

static int unknown_option(const struct command *command, const struct cli_option *options,
                          const char *word)
{
    const char *names[CLI_OPTIONS_MAX];
    int count = option_count(options);
    for (int i = 0; i < count; i++) names[i] = options[i].name;
    const char *near = cli_nearest(word, names, (size_t)count);
    if (near) return cli_usage_error("unknown option --%.60s: did you mean --%s?", word, near);
    return cli_usage_error("unknown option --%.60s: see nnstudio %s --help", word, command->name);
}

static int read_whole(const struct cli_option *option, const char *text, uint64_t most,
                      uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    /* strtoull takes blanks and signs; we do not. */
    if (text[0] < '0' || text[0] > '9' || *end || errno || value > most)
        return cli_usage_error("--%s \"%.40s\" is not valid: give a whole number from 0 to %llu",
                               option->name, text, (unsigned long long)most);
    *out = value;
    return CLI_GO_ON;
}

static int read_real(const struct cli_option *option, const char *text, double *out)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end)
        return cli_usage_error("--%s \"%.40s\" is not a number", option->name, text);
    *out = value;
    return CLI_GO_ON;
}

static int store(const struct cli_option *option, const char *text)
{
    uint64_t whole = 0;
    int status = CLI_GO_ON;
    struct cli_list *list = option->target;
    switch (option->type) {
    case OPTION_FLAG:
        *(bool *)option->target = true;
        break;
    case OPTION_TEXT:
        *(const char **)option->target = text;
        break;
    case OPTION_U32:
        status = read_whole(option, text, UINT32_MAX, &whole);
        if (status == CLI_GO_ON) *(uint32_t *)option->target = (uint32_t)whole;
        break;
    case OPTION_U64:
        status = read_whole(option, text, UINT64_MAX, option->target);
        break;
    case OPTION_REAL:
        status = read_real(option, text, option->target);
        break;
    case OPTION_LIST:
        if (list->count == OPTION_LIST_MAX)
            return cli_usage_error("--%s is given too often: the most is %d times", option->name,
                                   OPTION_LIST_MAX);
        list->items[list->count++] = text;
        break;
    }
    return status;
}

/* argv[*index] starts with "--"; *index moves on over a value of its own. */
static int take_option(const struct command *command, const struct cli_option *options, int argc,
                       char **argv, int *index, struct cli_arguments *arguments)
{
    const char *word = argv[*index] + 2, *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    int count = option_count(options), found = 0;
    while (found < count && (strlen(options[found].name) != length ||
                             strncmp(options[found].name, word, length) != 0))
        found++;
    if (found == count) return unknown_option(command, options, word);

    const struct cli_option *option = &options[found];
    const char *value = equals ? equals + 1 : NULL;
    if (option->type == OPTION_FLAG) {
        if (value) return cli_usage_error("--%s takes no value", option->name);
    } else if (!value) {
        if (*index + 1 >= argc || strncmp(argv[*index + 1], "--", 2) == 0)
            return cli_usage_error("--%s needs a value: --%s %s", option->name, option->name,
                                   option->argument);
        value = argv[++*index];
    }
    arguments->given[found] = true;
    return store(option, value);
}

int cli_parse(const struct command *command, const struct cli_option *options, int argc,
              char **argv, struct cli_arguments *arguments)
{
    *arguments = (struct cli_arguments){0};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return print_help(command, options);
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && strncmp(argv[i], "--", 2) == 0) {
            int status = take_option(command, options, argc, argv, &i, arguments);
            if (status != CLI_GO_ON) return status;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
            return cli_usage_error("unknown option %.40s: options start with two dashes", argv[i]);
        } else {
            if (arguments->count == command->arguments_max || arguments->count == CLI_ARGUMENTS_MAX)
                return cli_usage_error("too many words at \"%.60s\": nnstudio %s %s", argv[i],
                                       command->name, command->usage);
            arguments->words[arguments->count++] = argv[i];
        }
    }
    if (arguments->count < command->arguments_min)
        return cli_usage_error("something is missing: nnstudio %s %s", command->name,
                               command->usage);
    return CLI_GO_ON;
}

bool cli_given(const struct cli_arguments *arguments, const struct cli_option *options,
               const char *name)
{
    int i = 0;
    while (options[i].name && strcmp(options[i].name, name) != 0) i++;
    CHECK(options[i].name);
    return arguments->given[i];
}
