/* nnstudio convert: the same weights in another kind of file, with a receipt. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/model_words.h"
#include "modelfile/modelfile.h"

/* The receipt is only given for what really stands in the new file. */
static int check_copy(const char *path, const struct model *model, struct error *error)
{
    struct model *copy;
    if (modelfile_read(path, NULL, &copy, error))
        return error_prefix(error, "the new file cannot be read back");
    bool equal = model_equal(model, copy);
    model_destroy(copy);
    if (equal) return 0;
    return error_set(error, ERROR_FAILED,
                     "what was written, read back, differs from the source, so nothing is kept: "
                     "please report this");
}

/* Of the file at `place`, which is or will be `path`. */
static json_t *describe_file(const char *place, const char *path, const char *format,
                             struct error *error)
{
    char digest[HASH_HEX_SIZE];
    uint64_t size;
    if (hash_file(place, digest, &size, error)) return NULL;
    return json_pack("{s:s, s:s, s:I, s:s}", "path", path, "format", format, "bytes",
                     (json_int_t)size, "sha256", digest);
}

static void print_file(const char *word, const json_t *file)
{
    printf("%-5s %s  %s, %lld bytes, sha256 %s\n", word,
           text_shown(json_string_value(json_object_get(file, "path"))),
           json_string_value(json_object_get(file, "format")),
           (long long)json_integer_value(json_object_get(file, "bytes")),
           json_string_value(json_object_get(file, "sha256")));
}

static void print_receipt(const json_t *receipt, const struct model *model)
{
    size_t index;
    json_t *tensor;
    print_file("from", json_object_get(receipt, "from"));
    print_file("to", json_object_get(receipt, "to"));
    json_array_foreach(json_object_get(receipt, "tensors"), index, tensor)
        printf("%-12s %s  sha256 %s\n",
               text_shown(json_string_value(json_object_get(tensor, "name"))),
               dtype_name(model->parameters->dtype),
               json_string_value(json_object_get(tensor, "sha256")));
    model_words_print_assumed(model);
    printf("%zu parameters, equal to the last bit\n", network_parameter_count(&model->network));
}

/* The message of what failed in the folder of scratch names the file that was asked for. */
static void name_final(struct error *error, const char *place, const char *path)
{
    struct error old = *error;
    char *found = strstr(old.message, place);
    if (!found) return;
    *found = '\0';
    error_set(error, old.code, "%s%s%s", old.message, path, found + strlen(place));
}

/* Written beside its place and read back there; it gets its name once the receipt is out. */
static int convert(const char *from, const char *to, const struct modelfile_format *target,
                   const struct model *model, bool as_json, struct error *error)
{
    struct file_scratch scratch;
    json_t *source = NULL, *result = NULL;
    int status = -1;
    if (file_scratch_create(to, &scratch, error)) return -1;
    char *place = path_join(scratch.folder, path_base(to));
    if (!place) {
        error_set_memory(error, "a path");
        goto out;
    }
    source = describe_file(from, from, model->format, error);
    if (!source || modelfile_write(place, model, error) || check_copy(place, model, error) ||
        !(result = describe_file(place, to, target->id, error))) {
        name_final(error, place, to);
        goto out;
    }
    json_t *receipt = json_pack("{s:O, s:O, s:o, s:o, s:b}", "from", source, "to", result, "model",
                                model_describe_json(model), "tensors", model_receipt_json(model),
                                "equal", 1);
    if (as_json) {
        cli_print_json(receipt);
    } else {
        print_receipt(receipt, model);
        json_decref(receipt);
    }
    status = cli_output_failed() ? error_set(error, ERROR_IO,
                                             "the receipt cannot be printed, so %s is not kept: "
                                             "make room there",
                                             to)
                                 : file_scratch_deliver(&scratch, to, error);
out:
    json_decref(source);
    json_decref(result);
    free(place);
    file_scratch_remove(&scratch);
    return status;
}

static int run(int argc, char **argv)
{
    bool as_json = false;
    struct model_words words = {0};
    const struct cli_option options[] = {
        MODEL_OPTIONS(words),
        {"json", OPTION_FLAG, &as_json, NULL, "the receipt as one JSON object"},
        {0},
    };
    struct cli_arguments arguments;
    struct error error;
    struct model *model;
    const struct modelfile_format *target;
    int status = cli_parse(&command_convert, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    const char *from = arguments.words[0], *to = arguments.words[1];
    if (modelfile_format_for_writing(to, &target, &error) ||
        model_words_read(&words, from, &model, &error))
        return cli_fail(&error);
    int failed = convert(from, to, target, model, as_json, &error);
    model_destroy(model);
    return failed ? cli_fail(&error) : EXIT_OK;
}

const struct command command_convert = {
    .name = "convert",
    .run = run,
    .summary =
        "convert a model between .pth, .h5, .keras, .safetensors and .onnx, weights exactly equal",
    .usage = "IN OUT [--activation NAME,...] [--order A,B,C] [--key NAME] [--json]",
    .details = "The new file is read back and compared before the receipt is printed.",
    .arguments_min = 2,
    .arguments_max = 2,
};
