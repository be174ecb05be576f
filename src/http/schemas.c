/* The named shapes of docs/internals/api.md as JSON Schema, for /api/openapi.json. */
#include "http/router.h"

#define INTEGER       "{\"type\":\"integer\"}"
#define NUMBER        "{\"type\":\"number\"}"
#define TEXT          "{\"type\":\"string\"}"
#define BOOLEAN       "{\"type\":\"boolean\"}"
#define MAYBE_NUMBER  "{\"type\":[\"number\",\"null\"]}"
#define MAYBE_INTEGER "{\"type\":[\"integer\",\"null\"]}"
#define MAYBE_TEXT    "{\"type\":[\"string\",\"null\"]}"
#define LIST(item)    "{\"type\":\"array\",\"items\":" item "}"
#define REF(name)     "{\"$ref\":\"#/components/schemas/" name "\"}"
#define STATE                                                                              \
    "{\"enum\":[\"queued\",\"starting\",\"running\",\"paused\",\"stopping\",\"finished\"," \
    "\"stopped\",\"failed\",\"interrupted\"]}"
#define NAME "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,98}$\"}"
#define TAG_LIST                                                                          \
    "{\"type\":\"array\",\"maxItems\":20,\"items\":{\"type\":\"string\",\"minLength\":1," \
    "\"maxLength\":15}}"

/* Every member may be left out of settings that are sent; all are there in those that are
 * answered. */
static const char settings[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"dataset\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":100},\"epochs\":{\"type\":"
    "\"integer\",\"minimum\":1,\"maximum\":1000000},"
    "\"lr\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1000000},\"batch_size\":{\"type\":"
    "\"integer\",\"minimum\":1,\"maximum\":65536},"
    "\"seed\":{\"type\":\"integer\",\"minimum\":0},\"init\":{\"enum\":[\"torch\",\"keras\"]},"
    "\"dtype\":{\"enum\":[\"float32\",\"float64\"]},"
    "\"threads\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":256},"
    "\"hidden\":{\"type\":\"array\",\"maxItems\":15,\"items\":{\"type\":\"integer\",\"minimum\":1,"
    "\"maximum\":65536}},"
    "\"activation\":{\"enum\":[\"relu\",\"tanh\",\"sigmoid\"]},\"optimizer\":{\"enum\":[\"sgd\","
    "\"adam\"]},"
    "\"momentum\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},\"weight_decay\":{\"type\":"
    "\"number\",\"minimum\":0},"
    "\"limit\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":2147483647},\"device\":{\"type\":"
    "\"string\",\"maxLength\":31},"
    "\"from\":{\"type\":[\"string\",\"null\"],\"description\":\"a run whose weights to start "
    "with\"}}}";

#define RUN_PROPERTIES                                                                            \
    "\"id\":" TEXT ",\"name\":" TEXT ",\"engine\":" TEXT ",\"engine_version\":" TEXT              \
    ",\"state\":" STATE ",\"error\":" MAYBE_TEXT ","                                              \
    "\"settings\":{\"type\":\"object\"},\"network\":{\"type\":[\"object\",\"null\"]},"            \
    "\"parameters\":" MAYBE_INTEGER ","                                                           \
    "\"tags\":" LIST(                                                                             \
        TEXT) ",\"notes\":" TEXT ",\"group\":" MAYBE_TEXT ",\"created_at\":" INTEGER              \
              ",\"started_at\":" MAYBE_INTEGER ","                                                \
              "\"ended_at\":" MAYBE_INTEGER ",\"progress\":" REF(                                 \
                  "Progress") ",\"last\":{\"type\":\"object\",\"properties\":{"                   \
                              "\"loss\":" MAYBE_NUMBER ",\"accuracy\":" MAYBE_NUMBER              \
                              ",\"val_loss\":" MAYBE_NUMBER ",\"val_accuracy\":" MAYBE_NUMBER     \
                              "}},"                                                               \
                              "\"cpu_seconds\":" MAYBE_NUMBER ",\"rss_bytes\":" MAYBE_INTEGER     \
                              ",\"peak_rss_bytes\":" MAYBE_INTEGER ",\"segments\":" LIST(         \
                                  "{\"type\":\"object\",\"properties\":{\"engine\":" TEXT         \
                                  ",\"engine_version\":" TEXT ",\"first_step\":" INTEGER          \
                                  ",\"started_at\":" INTEGER                                      \
                                  "}}") ","                                                       \
                                        "\"files\":" LIST("{\"type\":\"object\",\"properties\":{" \
                                                          "\"format\":" TEXT ",\"name\":" TEXT    \
                                                          ",\"bytes\":" INTEGER                   \
                                                          ",\"sha256\":" TEXT ",\"url\":" TEXT    \
                                                          ",\"path\":" TEXT                       \
                                                          "}}") ",\"resumable\":" BOOLEAN         \
                                                                ",\"deleted\":" BOOLEAN           \
                                                                ",\"started_by\":" MAYBE_TEXT
#define RUN_REQUIRED                                                                           \
    "\"required\":[\"id\",\"name\",\"engine\",\"state\",\"settings\",\"tags\",\"created_at\"," \
    "\"progress\",\"last\",\"segments\",\"files\","                                            \
    "\"resumable\",\"deleted\"]"

const struct schema schemas[] = {
    {"Error", "{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{\"type\":"
              "\"object\",\"required\":[\"code\",\"message\"],"
              "\"properties\":{\"code\":" TEXT ",\"message\":" TEXT "}}}}"},
    {"Nothing", "{\"type\":\"object\",\"additionalProperties\":false}"},
    {"Settings", settings},
    {"NewRun", "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"engine\"],"
               "\"properties\":{\"engine\":{\"enum\":[\"torch\","
               "\"tensorflow\",\"native\"]},\"settings\":" REF(
                   "Settings") ",\"name\":" NAME ",\"tags\":" TAG_LIST "}}"},
    {"RunEdit", "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"name\":" NAME
                ",\"tags\":" TAG_LIST ",\"notes\":{\"type\":\"string\",\"maxLength\":5000}}}"},
    {"Continue", "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"engine\":{"
                 "\"enum\":[\"torch\",\"tensorflow\",\"native\"]},"
                 "\"epochs\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000}}}"},
    {"Progress", "{\"type\":\"object\",\"properties\":{\"epoch\":" INTEGER ",\"epochs\":" INTEGER
                 ",\"step\":" INTEGER ",\"steps_per_epoch\":" INTEGER ",\"global_step\":" INTEGER
                 ",\"total_steps\":" INTEGER ",\"seconds\":" NUMBER ",\"eta_seconds\":" MAYBE_NUMBER
                 ",\"samples_per_second\":" MAYBE_NUMBER "}}"},
    {"Epoch",
     "{\"type\":\"object\",\"properties\":{\"epoch\":" INTEGER ",\"loss\":" MAYBE_NUMBER
     ",\"accuracy\":" MAYBE_NUMBER ",\"val_loss\":" MAYBE_NUMBER ",\"val_accuracy\":" MAYBE_NUMBER
     ",\"seconds\":" MAYBE_NUMBER ",\"samples_per_second\":" MAYBE_NUMBER ",\"engine\":" TEXT
     ",\"global_step\":" INTEGER "}}"},
    {"Run", "{\"type\":\"object\"," RUN_REQUIRED ",\"properties\":{" RUN_PROPERTIES "}}"},
    {"FullRun",
     "{\"type\":\"object\"," RUN_REQUIRED ",\"properties\":{" RUN_PROPERTIES
     ",\"epochs\":" LIST(REF("Epoch")) ",\"log\":" LIST(
         "{\"type\":\"object\",\"properties\":{\"at\":" INTEGER ",\"text\":" TEXT "}}") "}}"},
    {"RunList", "{\"type\":\"object\",\"required\":[\"runs\",\"total\"],\"properties\":{"
                "\"runs\":" LIST(REF("Run")) ",\"total\":" INTEGER "}}"},
    {"Points",
     "{\"type\":\"object\",\"required\":[\"from\",\"to\",\"total\",\"stride\","
     "\"step\",\"loss\","
     "\"mean\",\"seconds\"],\"properties\":{\"from\":" INTEGER ",\"to\":" INTEGER
     ",\"total\":" INTEGER ",\"stride\":" INTEGER ",\"step\":" LIST(INTEGER) ",\"loss\":" LIST(
         MAYBE_NUMBER) ",\"mean\":" LIST(MAYBE_NUMBER) ",\"seconds\":" LIST(MAYBE_NUMBER) "}}"},
    {"Engine",
     "{\"type\":\"object\",\"required\":[\"id\",\"title\",\"paradigm\","
     "\"model_format\",\"default\",\"installable\",\"found\",\"color\",\"light\","
     "\"dark\",\"dash\",\"line_width\",\"mark\",\"default_threads\"],"
     "\"properties\":{\"id\":" TEXT ",\"title\":" TEXT ",\"paradigm\":" TEXT
     ",\"model_format\":" TEXT ",\"default\":" BOOLEAN ",\"installable\":" BOOLEAN
     ",\"found\":" BOOLEAN ",\"version\":" TEXT ",\"path\":" TEXT ",\"detail\":" TEXT
     ",\"missing\":" TEXT ",\"devices\":" LIST(
         TEXT) ",\"default_threads\":" INTEGER ",\"color\":" TEXT
               ",\"light\":" REF("EngineColors") ",\"dark\":" REF("EngineColors") ",\"dash\":" LIST(
                   INTEGER) ",\"line_width\":" INTEGER
                            ",\"mark\":{\"enum\":[\"circle\",\"square\",\"diamond\"]}}}"},
    {"EngineColors",
     "{\"type\":\"object\",\"required\":[\"line\",\"text\",\"fill\",\"on\"],"
     "\"properties\":{\"line\":" TEXT ",\"text\":" TEXT ",\"fill\":" TEXT ",\"on\":" TEXT "}}"},
    {"Dataset",
     "{\"type\":\"object\",\"required\":[\"name\",\"title\",\"available\",\"synthetic\"],"
     "\"properties\":{\"name\":" TEXT ",\"title\":" TEXT ",\"available\":" BOOLEAN
     ",\"synthetic\":" BOOLEAN ",\"fetchable\":" BOOLEAN ",\"source\":" TEXT
     ",\"download_bytes\":" INTEGER ",\"train\":" MAYBE_INTEGER ",\"test\":" MAYBE_INTEGER
     ",\"rows\":" MAYBE_INTEGER ",\"columns\":" MAYBE_INTEGER ",\"classes\":" LIST(TEXT) "}}"},
    {"System",
     "{\"type\":\"object\",\"required\":[\"version\",\"ready\",\"engines\",\"cpu\","
     "\"memory\","
     "\"home\",\"datasets\",\"uptime_seconds\"],"
     "\"properties\":{\"version\":" TEXT ",\"ready\":" BOOLEAN ",\"engines\":" LIST(
         REF("Engine")) ",\"cpu\":{\"type\":\"object\"},"
                        "\"memory\":{\"type\":\"object\"},\"home\":" TEXT
                        ",\"datasets\":" LIST(REF("Dataset")) ",\"uptime_seconds\":" NUMBER "}}"},
    {"Samples", "{\"type\":\"object\",\"required\":[\"indices\",\"labels\",\"rows\",\"columns\","
                "\"pixels\"],\"properties\":{\"indices\":" LIST(INTEGER) ",\"labels\":" LIST(
                    INTEGER) ",\"rows\":" INTEGER ",\"columns\":" INTEGER ",\"pixels\":" TEXT "}}"},
    {"Stats", "{\"type\":\"object\",\"required\":[\"count\",\"classes\",\"per_class\",\"mean\","
              "\"std\",\"min\",\"max\",\"mean_images\"],\"properties\":{"
              "\"count\":" INTEGER ",\"classes\":" LIST(TEXT) ",\"per_class\":" LIST(
                  INTEGER) ",\"mean\":" NUMBER ",\"std\":" NUMBER ",\"min\":" NUMBER
                           ",\"max\":" NUMBER ",\"mean_images\":" TEXT "}}"},
    {"Batch",
     "{\"type\":\"object\",\"required\":[\"shape\",\"dtype\",\"order_hash\",\"engines\"],"
     "\"properties\":{\"shape\":" LIST(
         INTEGER) ",\"dtype\":" TEXT ",\"min\":" NUMBER ",\"max\":" NUMBER ",\"mean\":" NUMBER
                  ",\"std\":" NUMBER ",\"order_hash\":" TEXT ",\"batch_hash\":" TEXT
                  ",\"engines\":" LIST("{\"type\":\"object\"}") "}}"},
    {"Task", "{\"type\":\"object\",\"required\":[\"id\",\"kind\",\"subject\",\"title\","
             "\"state\",\"done_"
             "bytes\",\"total_bytes\",\"text\",\"error\"],\"properties\":{\"id\":" TEXT
             ",\"kind\":" TEXT ",\"subject\":" TEXT ",\"title\":" TEXT
             ",\"state\":{\"enum\":[\"running\",\"done\",\"failed\",\"cancelled\"]},\"done_"
             "bytes\":" INTEGER ",\"total_bytes\":" INTEGER ",\"text\":" TEXT
             ",\"error\":" MAYBE_TEXT ",\"result\":{\"type\":[\"object\",\"null\"]}}}"},
    {"NewShowdown",
     "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"engines\"],"
     "\"properties\":{\"engines\":{\"type\":\"array\","
     "\"minItems\":1,\"maxItems\":3,\"uniqueItems\":true,\"items\":{\"enum\":[\"torch\","
     "\"tensorflow\",\"native\"]}},\"settings\":" REF(
         "Settings") ",\"mode\":{\"enum\":[\"parallel\",\"sequence\"]},\"name\":" NAME "}}"},
    {"Showdown", "{\"type\":\"object\",\"required\":[\"group\",\"mode\",\"state\",\"runs\","
                 "\"rows\","
                 "\"differences\",\"verdict\"],\"properties\":{\"group\":" TEXT ",\"mode\":" TEXT
                 ",\"state\":{\"enum\":[\"running\",\"finished\",\"ended\"]},"
                 "\"runs\":" LIST(REF("Run")) ",\"rows\":" LIST(
                     "{\"type\":\"object\"}") ",\"differences\":" LIST("{\"type\""
                                                                       ":\"object"
                                                                       "\"}") ","
                                                                              "\""
                                                                              "ve"
                                                                              "rd"
                                                                              "ic"
                                                                              "t"
                                                                              "\""
                                                                              ":" MAYBE_TEXT "}"
                                                                              "}"},
    {"Evaluation",
     "{\"type\":\"object\",\"required\":[\"samples\",\"loss\",\"accuracy\",\"confusion\","
     "\"mistakes\"],\"properties\":{\"samples\":" INTEGER ",\"loss\":" NUMBER
     ",\"accuracy\":" NUMBER
     ",\"confusion\":" LIST(LIST(INTEGER)) ",\"classes\":" LIST(TEXT) ",\"mistakes\":" LIST(
         "{\"type\":\"object\",\"properties\":{\"index\":" INTEGER ",\"label\":" INTEGER
         ",\"predicted\":" INTEGER ",\"probability\":" NUMBER ",\"pixels\":" TEXT
         "}}") ",\"rows\":" INTEGER ",\"columns\":" INTEGER ",\"dataset\":" TEXT
               ",\"computed_by\":" TEXT "}}"},
    {"Weights",
     "{\"type\":\"object\",\"required\":[\"count\",\"rows\",\"columns\",\"low\",\"high\","
     "\"values\"],\"properties\":{\"count\":" INTEGER ",\"rows\":" INTEGER ",\"columns\":" INTEGER
     ",\"low\":" NUMBER ",\"high\":" NUMBER ",\"values\":" TEXT "}}"},
    {"Drawing", "{\"type\":\"object\",\"additionalProperties\":false,\"required\":["
                "\"pixels\",\"width\","
                "\"height\"],\"properties\":{\"pixels\":" TEXT
                ",\"width\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":2048},"
                "\"height\":{\"type\":"
                "\"integer\",\"minimum\":1,\"maximum\":2048},\"runs\":"
                "{\"type\":\"array\",\"maxItems\":16,\"items\":{\"type\":\"string\","
                "\"maxLength\":40}}}}"},
    {"Answers", "{\"type\":\"object\",\"required\":[\"input\",\"answers\"],\"properties\":{"
                "\"input\":" TEXT ",\"rows\":" INTEGER ",\"columns\":" INTEGER ",\"answers\":" LIST(
                    "{\"type\":\"object\",\"properties\":{\"run\":" TEXT ",\"engine\":" TEXT
                    ",\"name\":" TEXT ",\"class\":" INTEGER
                    ",\"probabilities\":" LIST(NUMBER) ",\"computed_by\":" TEXT "}}") "}}"},
    {"Voice", "{\"type\":\"object\",\"required\":[\"id\",\"engine\",\"language\",\"title\","
              "\"file\"],\"properties\":{\"id\":" TEXT ",\"engine\":" TEXT ",\"language\":" TEXT
              ",\"title\":" TEXT ",\"file\":" TEXT "}}"},
    {"CodeLine",
     "{\"type\":\"object\",\"required\":[\"text\",\"idea\"],\"properties\":{\"text\":" TEXT
     ",\"idea\":" MAYBE_TEXT "}}"},
    {"Code", "{\"type\":\"object\",\"required\":[\"left\",\"right\",\"ideas\",\"stages\"],"
             "\"properties\":{"
             "\"left\":" REF("Voice") ",\"right\":" REF(
                 "Voice") ",\"ideas\":{\"type\":\"object\"},"
                          "\"stages\":" LIST(
                              "{\"type\":\"object\",\"properties\":{"
                              "\"id\":" TEXT ",\"title\":" TEXT ",\"note\":" TEXT
                              ",\"left\":" LIST(REF("CodeLine")) ",\"right\""
                                                                 ":" LIST(REF("Cod"
                                                                              "eLi"
                                                                              "n"
                                                                              "e")) "}}") "}}"},
    {"Look", "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"engines\"],"
             "\"properties\":{\"settings\":" REF(
                 "Settings") ",\"engines\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":3,"
                             "\"uniqueItems\":true,\"items\":{\"enum\":[\"torch\",\"tensorflow\","
                             "\"native\"]}},"
                             "\"batch\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":65535},"
                             "\"run\":{\"type\":\"string\",\"maxLength\":63}}}"},
    {"Microscope", "{\"type\":\"object\",\"required\":[\"batch\",\"engines\",\"stages\"],"
                   "\"properties\":{\"batch\":{\"type\":\"object\"},\"engines\":" LIST(
                       "{\"type\":\"object\"}") ",\"stages\":" LIST("{\"type\":\"object\"}") "}}"},
    {"Workspace",
     "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[],"
     "\"properties\":{\"config\":{\"type\":\"string\",\"maxLength\":16384},"
     "\"subscription_id\":{\"type\":\"string\",\"maxLength\":255},\"resource_group\":{"
     "\"type\":"
     "\"string\","
     "\"maxLength\":255},\"workspace_name\":{\"type\":\"string\",\"maxLength\":255}}}"},
    {"SignIn", "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[],"
               "\"properties\":{\"sign_in\":{\"enum\":[\"auto\",\"service-principal\",\"workload-"
               "identity\",\"azure-cli\","
               "\"managed-identity\",\"device-code\",\"browser\"]},\"tenant\":{\"type\":\"string\","
               "\"maxLength\":255},"
               "\"client_id\":{\"type\":\"string\",\"maxLength\":255}}}"},
    {"NewRegistration",
     "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"run\",\"format\","
     "\"target\"],"
     "\"properties\":{\"run\":{\"type\":\"string\",\"maxLength\":255},\"format\":{\"enum\":"
     "["
     "\"pth\",\"h5\","
     "\"onnx\",\"safetensors\"]},\"target\":{\"enum\":[\"azure\",\"mlflow\",\"local\"]},"
     "\"name\":{\"type\":\"string\",\"maxLength\":255},\"version\":{\"type\":\"string\","
     "\"maxLength\":255},"
     "\"description\":{\"type\":\"string\",\"maxLength\":4000},\"tags\":{\"type\":"
     "\"object\","
     "\"maxProperties\":20,"
     "\"additionalProperties\":{\"type\":\"string\",\"maxLength\":250}},\"sign_in\":{"
     "\"enum\":["
     "\"auto\","
     "\"service-principal\",\"workload-identity\",\"azure-cli\",\"managed-identity\","
     "\"device-"
     "code\","
     "\"browser\"]},\"tenant\":{\"type\":\"string\",\"maxLength\":255},\"client_id\":{"
     "\"type\":"
     "\"string\","
     "\"maxLength\":255},\"subscription_id\":{\"type\":\"string\",\"maxLength\":255},"
     "\"resource_group\":{\"type\":\"string\",\"maxLength\":255},\"workspace_name\":{"
     "\"type\":"
     "\"string\","
     "\"maxLength\":255},\"tracking_uri\":{\"type\":\"string\",\"maxLength\":500},"
     "\"experiment\":{\"type\":\"string\",\"maxLength\":255}}}"},
    {"Targets",
     "{\"type\":\"object\",\"required\":[\"targets\",\"signed_in\"],"
     "\"properties\":{\"targets\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
     "\"required\":["
     "\"id\","
     "\"title\",\"ready\",\"sign_in\"]}},\"signed_in\":{\"type\":[\"string\",\"null\"]}}}"},
    {"Registrations", "{\"type\":\"object\",\"required\":[\"registrations\"],\"properties\":{"
                      "\"registrations\":{\"type\":\"array\","
                      "\"items\":{\"type\":\"object\",\"required\":[\"id\",\"target\",\"name\","
                      "\"state\",\"created_at\"]}}}}"},
    {"Prediction",
     "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"target\","
     "\"name\","
     "\"pixels\",\"width\","
     "\"height\"],\"properties\":{\"target\":{\"enum\":[\"azure\",\"mlflow\",\"local\"]},"
     "\"name\":{\"type\":\"string\",\"maxLength\":255},\"version\":{\"type\":\"string\","
     "\"maxLength\":255},"
     "\"sign_in\":{\"enum\":[\"auto\",\"service-principal\",\"workload-identity\",\"azure-"
     "cli\","
     "\"managed-identity\",\"device-code\",\"browser\"]},\"tracking_uri\":{\"type\":"
     "\"string\","
     "\"maxLength\":500},"
     "\"pixels\":{\"type\":\"string\"},\"width\":{\"type\":\"integer\",\"minimum\":1,"
     "\"maximum\":"
     "2048},"
     "\"height\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":2048}}}"},
};
const size_t schema_count = sizeof schemas / sizeof schemas[0];
