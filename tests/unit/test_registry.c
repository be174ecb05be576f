/* Registration's pieces that have published or recorded values: hashes, signatures, addresses,
 * config.json, names; and the local target with what happens when it is cut or its file is
 * changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "registry/azure/arm.h"
#include "registry/azure/blob.h"
#include "registry/azure/pending.h"
#include "registry/azure/config.h"
#include "registry/azure/user.h"
#include "registry/azure/connection.h"
#include "registry/mlflow/server.h"
#include "registry/registry.h"
#include "registry/web.h"

static struct error error;
static char place[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(place, "/tmp/nnstudio-registry-XXXXXX");
    return mkdtemp(place) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return file_remove_tree(place, &error);
}

static void test_upload_hash(void **state)
{
    (void)state;
    char hex[HASH_HEX_SIZE];
    assert_int_equal(az_upload_hash("", 0, hex, &error), 0);
    assert_string_equal(hex, "f12a27872dfd6a7418cb140e7d778064d598b650f9ce3d1f5bcd32e6fda72f19");
    assert_int_equal(az_upload_hash("hello", 5, hex, &error), 0);
    assert_string_equal(hex, "2f36641079ace713b18105be904211791060541d57cc36f2d3a573d4021ece87");
}

/* Vectors that Microsoft's client gives. */
static void test_code_hash(void **state)
{
    (void)state;
    const struct az_part one = {"a.py", "x\n", 2};
    const struct az_part three[] = {{"A.txt", "", 0}, {"Sub/z.py", "x", 1}, {"b/a.py", "yy", 2}};
    char hex[HASH_HEX_SIZE];
    assert_int_equal(az_code_hash(&one, 1, hex, &error), 0);
    assert_string_equal(hex, "fa55756c6b09158f016352512c8a0f93522625d0ab8f10350b84a2417c10b1b8");
    assert_int_equal(az_code_hash(three, 3, hex, &error), 0);
    assert_string_equal(hex, "b1d7cda6a59d721e7656a01b00e35c2b81ebe786a92e15d992e77f5a1ec21096");
}

/* An error's code and innermost text, as ARM and Azure's endpoints nest them. */
static void test_error_words(void **state)
{
    (void)state;
    static const struct {
        const char *json, *code, *message;
    } cases[] = {
        {"{\"code\":\"A\",\"message\":\"plain\"}", "A", "plain"},
        {"{\"code\":\"BadRequest\",\"message\":\"invalid\",\"details\":[{\"code\":\"I\","
         "\"message\":"
         "\"{\\\"errors\\\":{\\\"VmSize\\\":[\\\"no quota\\\"]},\\\"title\\\":\\\"t\\\"}\"}]}",
         "BadRequest", "no quota"},
        {"{\"code\":\"B\",\"message\":\"{\\\"title\\\":\\\"Not Found\\\"}\"}", "B", "Not Found"},
        {"{\"code\":\"B\",\"message\":\"{no json\"}", "B", "{no json"},
        {"{}", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char code[96], message[400];
        json_t *object = json_loads(cases[i].json, 0, NULL);
        assert_non_null(object);
        arm_error_words(object, code, message);
        assert_string_equal(code, cases[i].code);
        assert_string_equal(message, cases[i].message);
        json_decref(object);
    }
}

/* The key that every Azurite has, from its documentation. */
#define AZURITE_KEY \
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
#define DATE "x-ms-date: Thu, 01 Jan 2026 00:00:00 GMT"

static void test_shared_key(void **state)
{
    (void)state;
    static const struct {
        const char *url, *lines[8];
        size_t size;
        const char *signature;
    } known[] = {
        {"https://devstoreaccount1.blob.core.localhost/cont/a.pth",
         {"x-ms-version: 2021-08-06", DATE, "x-ms-blob-type: BlockBlob",
          "Content-Type: application/octet-stream",
          "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==", "If-None-Match: *"},
         5,
         "1r1hGyaO+rHSyOz8OlPGESBPRodnHTOLIDj5STnr+Kg="},
        {"http://127.0.0.1:10000/devstoreaccount1/cont/a.pth",
         {"x-ms-version: 2021-08-06", DATE, "x-ms-blob-type: BlockBlob",
          "Content-Type: application/octet-stream",
          "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==", "If-None-Match: *"},
         5,
         "r48E0VjEDoVumOJ0oPNBy88xj32U5cp9oNENfvqsyFs="},
        {"https://devstoreaccount1.blob.core.localhost/cont/a.pth?comp=metadata",
         {"x-ms-version: 2021-08-06", DATE, "x-ms-meta-upload_status: completed",
          "x-ms-meta-name: m", "x-ms-meta-version: 1"},
         0,
         "7OXrAPUgSgwnHSITFqh016aMic8m2Q+ou7fkwPyOFJg="},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct web_headers headers = {0};
        char signature[64];
        for (size_t h = 0; known[i].lines[h]; h++) web_header(&headers, "%s", known[i].lines[h]);
        assert_int_equal(blob_sign(AZURITE_KEY, "devstoreaccount1", "PUT", known[i].url,
                                   known[i].size, &headers, signature, &error),
                         0);
        assert_string_equal(signature, known[i].signature);
        web_headers_clear(&headers);
    }
    struct web_headers none = {0};
    char signature[64];
    static const char *const bad[] = {"", "abc", "not base64 at all!!!", "====", NULL};
    for (const char *const *key = bad; *key; key++)
        assert_int_equal(blob_sign(*key, "a", "PUT", "https://a.blob.core.localhost/c/b", 0, &none,
                                   signature, &error),
                         -1);
}

static void test_pkce_and_forms(void **state)
{
    (void)state;
    char challenge[64], value[32];
    /* RFC 7636, appendix B */
    az_pkce_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", challenge);
    assert_string_equal(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    assert_true(az_form_member("code=a%2Fb+c&state=x HTTP/1.1", "code", value, sizeof value));
    assert_string_equal(value, "a/b c");
    assert_true(az_form_member("code=a&state=x HTTP/1.1", "state", value, sizeof value));
    assert_string_equal(value, "x");
    assert_true(az_form_member("code=", "code", value, sizeof value));
    assert_string_equal(value, "");
    assert_false(az_form_member("xcode=a", "code", value, sizeof value));
    assert_false(
        az_form_member("code=123456789012345678901234567890123", "code", value, sizeof value));
    /* a cut escape stays as it is */
    assert_true(az_form_member("code=%4", "code", value, sizeof value));
    assert_string_equal(value, "%4");
}

static void test_retry_after(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool known;
        double seconds;
        /* clang-format off */
    } cases[] = {
        {"0", true, 0},      {"7", true, 7},          {"2.5", true, 2.5},   {"100000", true, 60},
        {"", false, 0},      {"soon", false, 0},      {"7 seconds", false, 0}, {"nan", false, 0},
        {"-3", false, 0},    {"1e300", true, 60},     {"Thu, 01 Jan 2026 00:00:07 GMT", true, 7},
        {"Thu, 01 Jan 2026 01:00:00 GMT", true, 60}, {"Wed, 31 Dec 2025 23:00:00 GMT", true, 0},
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double seconds = -1;
        bool known = web_retry_after(cases[i].text, 1767225600, &seconds);
        if (known != cases[i].known || (known && seconds != cases[i].seconds))
            fail_msg("\"%s\" gives %d %g", cases[i].text, known, seconds);
    }
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const here[] = {"http://127.0.0.1",
                                       "http://127.0.0.1:5000/x",
                                       "http://[::1]:5000",
                                       "http://localhost?a",
                                       "http://LOCALHOST:1",
                                       "http://a.b.localhost:10000/c",
                                       NULL};
    static const char *const elsewhere[] = {"http://example.com",
                                            "http://127.0.0.1.example.com",
                                            "http://127.0.0.1@example.com",
                                            "http://127.0.0.1:80@example.com/",
                                            "http://localhost.example",
                                            "http://.localhost.de",
                                            "http://10.0.0.1#127.0.0.1",
                                            "http://mylocalhost",
                                            "http://127.0.0.1\\@example.com",
                                            NULL};
    for (const char *const *url = here; *url; url++)
        if (!web_is_loopback(*url)) fail_msg("%s is this machine", *url);
    for (const char *const *url = elsewhere; *url; url++)
        if (web_is_loopback(*url)) fail_msg("%s is another machine", *url);
    assert_string_equal(web_public_url("https://a.example/b?sig=secret"), "https://a.example/b");
    assert_string_equal(web_public_url("https://user:secret@a.example/b?sig=secret#x"),
                        "https://a.example/b");
    assert_string_equal(web_public_url("https://a.example/b@c"), "https://a.example/b@c");
}

static void test_plain_http_is_refused_before_it_is_sent(void **state)
{
    (void)state;
    struct web *web;
    struct web_answer answer;
    const struct web_options options = {0};
    assert_int_equal(web_create(&options, &web, &error), 0);
    static const char *const refused[] = {"http://example.com/a", "ftp://127.0.0.1/a",
                                          "file:///etc/passwd", "http://169.254.169.254/a", NULL};
    for (const char *const *url = refused; *url; url++) {
        const struct web_request request = {.method = "GET", .url = *url, .what = "testing"};
        assert_int_equal(web_send(web, &request, &answer, &error), -1);
        assert_non_null(strstr(error.message, "is not https"));
        web_answer_clear(&answer);
    }
    web_destroy(web);
}

static void test_headers_take_no_line_breaks(void **state)
{
    (void)state;
    struct web_headers headers = {0};
    web_header(&headers, "x-ms-meta-name: %s", "a\r\nAuthorization: b");
    assert_true(headers.failed);
    assert_int_equal(headers.count, 0);
    web_headers_clear(&headers);
}

/* --- names --- */

static void test_model_names(void **state)
{
    (void)state;
    char longest[257];
    memset(longest, 'a', 256);
    longest[255] = '\0';
    static const char *const good[] = {"a", "pytorch_mnist", "0-_", NULL};
    static const char *const bad[] = {"", "has.dots", "-a", "_a", "a b", "a/b", "ä", "a\n", NULL};
    for (const char *const *name = good; *name; name++)
        assert_int_equal(az_model_name_check(*name, &error), 0);
    for (const char *const *name = bad; *name; name++)
        assert_int_equal(az_model_name_check(*name, &error), -1);
    assert_int_equal(az_model_name_check(longest, &error), 0);
    longest[255] = 'a', longest[256] = '\0';
    assert_int_equal(az_model_name_check(longest, &error), -1);
}

static void test_default_names(void **state)
{
    (void)state;
    static const struct {
        const char *file, *dataset, *name;
    } cases[] = {
        {"models/simple_nn.pth", NULL, "pytorch_mnist"},
        {"models/simple_nn.h5", "mnist", "tensorflow_mnist"},
        {"simple_nn.safetensors", "mnist", "native_mnist"},
        {"simple_nn.onnx", "/data/fashion-mnist", "onnx_fashion_mnist"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[128];
        json_t *tags = cases[i].dataset ? json_pack("{s:s}", "dataset", cases[i].dataset)
                                        : json_object();
        const struct registry_request request = {.model_path = cases[i].file, .tags = tags};
        registry_default_name(&request, name);
        assert_string_equal(name, cases[i].name);
        json_decref(tags);
    }
}

static void test_tracking_addresses(void **state)
{
    (void)state;
    char uri[512];
    static const char *const bad[] = {"http://example.com:5000", "sqlite:///m.db",
                                      "http://user:secret@127.0.0.1:5000",
                                      "https://a.example/?token=secret", NULL};
    for (const char *const *address = bad; *address; address++) {
        const struct registry_options options = {.values = {[REGISTRY_TRACKING_URI] = *address}};
        assert_int_equal(mlflow_server_uri(&options, false, uri, &error), -1);
        assert_null(strstr(error.message, "secret"));
    }
    const struct registry_options options = {
        .values = {[REGISTRY_TRACKING_URI] = "http://127.0.0.1:5000//"}};
    assert_int_equal(mlflow_server_uri(&options, false, uri, &error), 0);
    assert_string_equal(uri, "http://127.0.0.1:5000");
}

/* --- config.json --- */

#define GUID "00000000-0000-0000-0000-000000000001"
#define PORTAL(name) \
    "{\"subscription_id\":\"" GUID "\",\"resource_group\":\"rg\",\"workspace_name\":\"" name "\"}"
#define SCOPE              \
    "/subscriptions/" GUID \
    "/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/w1s"

static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", place, path);
    for (char *slash = strchr(full + strlen(place) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0755);
        *slash = '/';
    }
    assert_int_equal(file_write(full, text, strlen(text), &error), 0);
}

static void test_config_contents(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name, *words; /* the workspace's name, or what the refusal says */
    } cases[] = {
        {PORTAL("w1s"), "w1s", NULL},
        {"\xef\xbb\xbf" PORTAL("w1s"), "w1s", NULL},
        {"{\"Id\":null,\"Scope\":\"" SCOPE "\"}", "w1s", NULL},
        {"{\"Scope\":\"\",\"subscription_id\":\"" GUID
         "\",\"resource_group\":\"rg\",\"workspace_name\":\"abc\",\"more\":[1]}",
         "abc", NULL},
        {"{\"subscription_id\":\"" GUID "\",\"resource_group\":\"rg\"}", NULL, "workspace_name"},
        {"{\"subscription_id\":\"" GUID "\",\"resource_group\":5,\"workspace_name\":\"abc\"}", NULL,
         "must be a string"},
        {"{\"subscription_id\":\"" GUID "\",\"resource_group\":null,\"workspace_name\":\"abc\"}",
         NULL, "must be a string"},
        {"{\"subscription_id\":\"\",\"resource_group\":\"rg\",\"workspace_name\":\"abc\"}", NULL,
         "empty"},
        {"{\"subscription_id\":\"mine\",\"resource_group\":\"rg\",\"workspace_name\":\"abc\"}",
         NULL, "GUID"},
        {"{\"subscription_id\":\"" GUID
         "\",\"resource_group\":\"rg\",\"workspace_name\":\"a/../b\"}",
         NULL, "not a valid workspace name"},
        {"{\"Scope\":\"/subscriptions/" GUID "\"}", NULL, "Scope"},
        {"[1]", NULL, "object"},
        {"{\"a\":1,\n \"b\": nonsense}", NULL, "line 2"},
        {"", NULL, "config.json"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct az_workspace found;
        char path[256];
        put("config.json", cases[i].text);
        snprintf(path, sizeof path, "%s/config.json", place);
        int status = az_config_find(path, &found, &error);
        if (status != (cases[i].name ? 0 : -1))
            fail_msg("case %zu: %d %s", i, status, error.message);
        if (!status) assert_string_equal(found.name, cases[i].name);
        if (!status) assert_string_equal(found.found_in, path);
        if (status && !strstr(error.message, cases[i].words))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, error.message, cases[i].words);
    }
}

/* A whole walk per folder name comes before the next name: the nearer plain file loses. */
static void test_roles(void **state)
{
    (void)state;
    assert_true(az_action_matches("*", "a/b/write"));
    assert_true(az_action_matches("a/*/write", "a/b/c/WRITE"));
    assert_true(az_action_matches("A/b", "a/B"));
    assert_true(az_action_matches("a/b*", "a/b"));
    assert_false(az_action_matches("a/*/read", "a/b/write"));
    assert_false(az_action_matches("a/b", "a/b/c"));
    assert_false(az_action_matches("", "a"));
    assert_false(az_action_matches("a/b/c", "a/b"));
}

/* As PowerShell (UTF-16) and Windows' editors (byte order marks) save it. */
static void test_config_encodings(void **state)
{
    (void)state;
    static const char text[] = PORTAL("ws1");
    char path[128], file[1024];
    struct az_workspace found;
    snprintf(path, sizeof path, "%s/encoded.json", place);
    for (int big = 0; big < 2; big++) {
        size_t size = 0;
        const unsigned units[] = {0xFEFF};
        for (size_t i = 0; i < sizeof text; i++) { /* the mark, then the text */
            unsigned unit = i ? (unsigned char)text[i - 1] : units[0];
            file[size++] = (char)(big ? unit >> 8 : unit & 255);
            file[size++] = (char)(big ? unit & 255 : unit >> 8);
        }
        assert_int_equal(file_write(path, file, size, &error), 0);
        assert_int_equal(az_config_read(path, &found, &error), 0);
        assert_string_equal(found.name, "ws1");
        assert_int_equal(file_write(path, file, size - 1, &error), 0);
        assert_int_equal(az_config_read(path, &found, &error), -1);
    }
    static const char lone[] = "\xff\xfe{\0\x00\xd8}\0";
    assert_int_equal(file_write(path, lone, sizeof lone - 1, &error), 0);
    assert_int_equal(az_config_read(path, &found, &error), -1);
    assert_non_null(strstr(error.message, "not valid UTF-16"));
    remove(path);
}

static void test_config_search(void **state)
{
    (void)state;
    struct az_workspace found;
    char start[128];
    snprintf(start, sizeof start, "%s/a/b/c", place);
    put("a/b/c/x", "");
    assert_int_equal(az_config_find(start, &found, &error), -1);
    assert_non_null(strstr(error.message, "no config.json"));
    static const struct {
        const char *path, *name; /* written one after another, each wins over those before */
    } files[] = {{"a/project.json", "pro"},           {"a/config.json", "far"},
                 {"a/b/config.json", "near"},         {"aml_config/project.json", "amlp"},
                 {"a/aml_config/config.json", "aml"}, {".azureml/config.json", "top"},
                 {"a/.azureml/config.json", "dot"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "{\"subscription_id\":\"" GUID
                 "\",\"resource_group\":\"rg\",\"workspace_name\":\"%s\"}",
                 files[i].name);
        put(files[i].path, text);
        assert_int_equal(az_config_find(start, &found, &error), 0);
        assert_string_equal(found.name, files[i].name);
    }
    snprintf(start, sizeof start, "%s/none.json", place);
    assert_int_equal(az_config_find(start, &found, &error), -1);
}

static void test_which_workspace_wins(void **state)
{
    (void)state;
    char path[128];
    struct az_workspace found;
    put("config.json", PORTAL("file"));
    snprintf(path, sizeof path, "%s/config.json", place);
    setenv("AZURE_SUBSCRIPTION_ID", GUID, 1);
    setenv("AZURE_RESOURCE_GROUP", "rg", 1);
    setenv("AZUREML_WORKSPACE_NAME", "environ", 1);
    struct registry_options options = {0};
    assert_int_equal(az_connection_workspace(&options, &found, &error), 0);
    assert_string_equal(found.name, "environ");
    options.values[REGISTRY_CONFIG] = path; /* a file that was named wins over the environment */
    assert_int_equal(az_connection_workspace(&options, &found, &error), 0);
    assert_string_equal(found.name, "file");
    options.values[REGISTRY_SUBSCRIPTION] = GUID; /* what was typed wins over both */
    options.values[REGISTRY_RESOURCE_GROUP] = "rg";
    options.values[REGISTRY_WORKSPACE] = "typed";
    assert_int_equal(az_connection_workspace(&options, &found, &error), 0);
    assert_string_equal(found.name, "typed");
    options.values[REGISTRY_WORKSPACE] = "no such name";
    assert_int_equal(az_connection_workspace(&options, &found, &error), -1);
    unsetenv("AZURE_SUBSCRIPTION_ID");
    unsetenv("AZURE_RESOURCE_GROUP");
    unsetenv("AZUREML_WORKSPACE_NAME");
}

static void test_clouds(void **state)
{
    (void)state;
    static const struct {
        const char *name, *authority, *arm, *suffix;
    } clouds[] = {
        {NULL, "https://login.microsoftonline.com", "https://management.azure.com",
         "core.windows.net"},
        {"AzureCloud", "https://login.microsoftonline.com", "https://management.azure.com",
         "core.windows.net"},
        {"AzureUSGovernment", "https://login.microsoftonline.us",
         "https://management.usgovcloudapi.net", "core.usgovcloudapi.net"},
        {"AzureChinaCloud", "https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn",
         "core.chinacloudapi.cn"},
    };
    struct az_cloud found;
    unsetenv("ARM_CLOUD_METADATA_URL");
    for (size_t i = 0; i < sizeof clouds / sizeof clouds[0]; i++) {
        if (clouds[i].name)
            setenv("AZUREML_CURRENT_CLOUD", clouds[i].name, 1);
        else
            unsetenv("AZUREML_CURRENT_CLOUD");
        assert_int_equal(az_cloud_find(NULL, &found, &error), 0);
        assert_string_equal(found.authority, clouds[i].authority);
        assert_string_equal(found.arm, clouds[i].arm);
        assert_string_equal(found.storage_suffix, clouds[i].suffix);
    }
    setenv("AZUREML_CURRENT_CLOUD", "AzureMoonCloud", 1);
    assert_int_equal(az_cloud_find(NULL, &found, &error), -1);
    assert_non_null(strstr(error.message, "AzureMoonCloud"));
    unsetenv("AZUREML_CURRENT_CLOUD");
}

/* --- the local target --- */

static const struct registry_target *local_target(void)
{
    const struct registry_target *target;
    assert_int_equal(registry_target_need("local", &target, &error), 0);
    return target;
}

static json_t *kept_journal;

static void keep_journal(void *context, const json_t *journal)
{
    (void)context;
    json_decref(kept_journal);
    kept_journal = json_deep_copy(journal);
}

static char model_file[256], home[256];
static void make_model(const char *text)
{
    put("m.pth", text);
    snprintf(model_file, sizeof model_file, "%s/m.pth", place);
    snprintf(home, sizeof home, "%s/home", place);
}

static json_t *publish(const json_t *journal)
{
    const struct registry_options options = {.home = home};
    const struct registry_request request = {
        .model_path = model_file, .name = "m", .journal = journal};
    const struct registry_watch watch = {.on_journal = keep_journal};
    json_t *made = NULL;
    assert_int_equal(local_target()->publish(&options, &request, &watch, &made, &error), 0);
    return made;
}

static void assert_version(json_t *made, const char *version)
{
    assert_string_equal(json_string_value(json_object_get(made, "version")), version);
    json_decref(made);
}

static void test_local_versions(void **state)
{
    (void)state;
    const struct registry_options options = {.home = home};
    json_t *rows;
    char *path, hex[HASH_HEX_SIZE], back[300];
    make_model("the weights");
    assert_version(publish(NULL), "1");
    assert_version(publish(NULL), "2"); /* the same file again is a new version */
    /* what was cut after it was written is found, not made twice */
    assert_version(publish(kept_journal), "2");
    assert_int_equal(local_target()->list(&options, "m", &rows, &error), 0);
    assert_int_equal(json_array_size(rows), 2);
    json_decref(rows);
    assert_int_equal(local_target()->list(&options, NULL, &rows, &error), 0);
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "version")),
                        "2");
    json_decref(rows);
    snprintf(back, sizeof back, "%s/back", place);
    assert_int_equal(local_target()->pull(&options, "m", NULL, back, &path, &error), 0);
    assert_int_equal(hash_file(path, hex, NULL, &error), 0);
    assert_string_equal(hex, "f38329d231164082b94f28edf29bff349b44403e09fc4057d65b31051f4ae6b5");
    free(path);
    assert_int_equal(local_target()->pull(&options, "m", "7", back, &path, &error), -1);
    assert_int_equal(local_target()->show(&options, "../m", NULL, &rows, &error), -1);
}

static void test_local_leftovers_go(void **state)
{
    (void)state;
    char part[512];
    make_model("the weights");
    put("home/registry/m/.part-killed/m.pth", "half");
    assert_version(publish(NULL), "1");
    snprintf(part, sizeof part, "%s/registry/m/.part-killed", home);
    assert_false(file_exists(part));
}

static void test_local_notices_a_flipped_byte(void **state)
{
    (void)state;
    const struct registry_options options = {.home = home};
    json_t *shown = NULL;
    char *path, back[300];
    make_model("the weights");
    assert_version(publish(NULL), "1");
    put("home/registry/m/1/m.pth", "the weighds");
    snprintf(back, sizeof back, "%s/back", place);
    assert_int_equal(local_target()->show(&options, "m", NULL, &shown, &error), -1);
    assert_non_null(strstr(error.message, "was changed after it was registered"));
    assert_null(shown); /* nothing that was let go of is handed out */
    assert_int_equal(local_target()->pull(&options, "m", NULL, back, &path, &error), -1);
    assert_false(file_exists(back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload_hash),
        cmocka_unit_test(test_code_hash),
        cmocka_unit_test(test_error_words),
        cmocka_unit_test(test_shared_key),
        cmocka_unit_test(test_pkce_and_forms),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_plain_http_is_refused_before_it_is_sent),
        cmocka_unit_test(test_headers_take_no_line_breaks),
        cmocka_unit_test(test_model_names),
        cmocka_unit_test(test_default_names),
        cmocka_unit_test(test_tracking_addresses),
        cmocka_unit_test_setup_teardown(test_config_contents, set_up, tear_down),
        cmocka_unit_test(test_roles),
        cmocka_unit_test_setup_teardown(test_config_encodings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_config_search, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_which_workspace_wins, set_up, tear_down),
        cmocka_unit_test(test_clouds),
        cmocka_unit_test_setup_teardown(test_local_versions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_local_leftovers_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_local_notices_a_flipped_byte, set_up, tear_down),
    };
    int status = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(kept_journal);
    return status;
}
