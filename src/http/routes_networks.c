/* Networks as data: what a description means and costs, what layers there are, designs with a name.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/js.h"
#include "http/routes.h"
#include "net/compact.h"
#include "net/draft.h"

#define DESIGNS_KEY      "designs" /* one value of the store: an object, name → design */
#define DESIGNS_MAX      200
#define DESIGN_NAME_MAX  64 /* bytes */
#define DESIGN_OLDER_MAX 20 /* earlier versions that are kept of each */

/* --- drafts --- */

/* A draft that does not fit is no failed request: the answer says what is wrong with it. */
static void reply_draft(struct call *call, const struct network *read, int status,
                        const struct error *error, uint32_t classes)
{
    call_reply(call, 200,
               status ? network_unread_to_json(read->layer_count, error)
                      : network_draft_to_json(read, classes));
}

static void get_network(struct studio *studio, struct call *call)
{
    struct network network = {.rows = (uint32_t)call_integer(call, "rows"),
                              .columns = (uint32_t)call_integer(call, "columns"),
                              .channels = (uint32_t)call_integer(call, "channels")};
    const char *text = call_text(call, "net");
    struct error error;
    (void)studio;
    int status = network_read(text ? text : "", &network, &error);
    reply_draft(call, &network, status, &error, (uint32_t)call_integer(call, "classes"));
}

static void post_network(struct studio *studio, struct call *call)
{
    const json_t *body = call_body(call), *layers = json_object_get(body, "layers");
    struct network network = {.rows = 28, .columns = 28, .channels = 1};
    struct error error;
    const char *text = "";
    uint32_t classes = 0;
    (void)studio;
    if (js_get_u32(body, "rows", 1, DATASET_MAX_SIDE, &network.rows, &error) ||
        js_get_u32(body, "columns", 1, DATASET_MAX_SIDE, &network.columns, &error) ||
        js_get_u32(body, "channels", 1, 3, &network.channels, &error) ||
        js_get_u32(body, "classes", 0, LAYER_MAX_WIDTH, &classes, &error) ||
        js_get_string(body, "net", &text, &error)) {
        call_fail(call, &error);
        return;
    }
    int status = json_is_array(layers) ? network_read_layers(layers, &network, &error)
                                       : network_read(text, &network, &error);
    reply_draft(call, &network, status, &error, classes);
}

static void get_networks(struct studio *studio, struct call *call)
{
    json_t *presets = json_array();
    (void)studio;
    for (size_t i = 0; i < preset_count; i++)
        json_array_append_new(presets,
                              json_pack("{s:s, s:s, s:s, s:s}", "name", preset_table[i].name,
                                        "title", preset_table[i].title, "about",
                                        preset_table[i].about, "layers", preset_table[i].layers));
    call_reply(call, 200, json_pack("{s:o}", "presets", presets));
}

static void get_layers(struct studio *studio, struct call *call)
{
    (void)studio;
    call_reply(call, 200, network_layer_table());
}

/* --- designs with a name --- */

/* The object of all designs; new reference. */
static int read_designs(struct studio *studio, json_t **out, struct error *error)
{
    if (store_preference_get(studio->store, DESIGNS_KEY, out, error)) return -1;
    if (!*out) *out = json_object();
    return *out ? 0 : error_set_memory(error, "the designs");
}

static json_t *design_to_json(const char *name, const json_t *design)
{
    json_t *value = json_copy((json_t *)(uintptr_t)design);
    json_object_set_new(value, "name", json_string(name));
    return value;
}

static void get_designs(struct studio *studio, struct call *call)
{
    struct error error;
    json_t *all, *design;
    const char *name;
    if (read_designs(studio, &all, &error)) {
        call_fail(call, &error);
        return;
    }
    json_t *list = json_array();
    json_object_foreach(all, name, design)
        json_array_append_new(list, design_to_json(name, design));
    json_decref(all);
    call_reply(call, 200, json_pack("{s:o}", "designs", list));
}

static int check_name(const char *name, struct error *error)
{
    size_t length = strlen(name);
    bool plain = length && length <= DESIGN_NAME_MAX && name[0] != ' ' && name[length - 1] != ' ';
    for (const char *c = name; plain && *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) plain = false;
    if (plain && js_can_hold(name)) return 0;
    return error_set(
        error, ERROR_INPUT,
        "\"%.64s\" is not a valid name for a design: use 1 to %d bytes of text, without "
        "spaces at its ends",
        name, DESIGN_NAME_MAX);
}

/* What is saved reads and fits pictures of some size: those that it was drawn for. */
static int check_design(const json_t *body, struct network *network, struct error *error)
{
    const char *text = "";
    if (js_get_u32(body, "rows", 1, DATASET_MAX_SIDE, &network->rows, error) ||
        js_get_u32(body, "columns", 1, DATASET_MAX_SIDE, &network->columns, error) ||
        js_need_string(body, "net", &text, error))
        return -1;
    return network_parse(text, network, error);
}

/* The design that was there becomes the newest of the earlier versions. */
static json_t *with_earlier(const json_t *old, json_t *design)
{
    json_t *earlier = json_array(), *version;
    size_t i;
    if (old && strcmp(js_text(old, "net"), js_text(design, "net")) != 0)
        json_array_append_new(earlier, json_pack("{s:O, s:O}", "net", json_object_get(old, "net"),
                                                 "saved_at", json_object_get(old, "saved_at")));
    json_array_foreach(json_object_get(old, "earlier"), i, version)
        if (json_array_size(earlier) < DESIGN_OLDER_MAX) json_array_append(earlier, version);
    json_object_set_new(design, "earlier", earlier);
    return design;
}

static json_t *make_design(const struct network *network, const json_t *old)
{
    json_t *design = json_pack(
        "{s:o, s:I, s:I, s:I, s:I}", "net", network_compact_json(network), "rows",
        (json_int_t)network->rows, "columns", (json_int_t)network->columns, "parameters",
        (json_int_t)network_parameter_count(network), "saved_at", (json_int_t)clock_wall_ms());
    return with_earlier(old, design);
}

static int save_design(struct studio *studio, const char *name, const json_t *body, json_t **out,
                       struct error *error)
{
    struct network network = {.rows = 28, .columns = 28, .channels = 1};
    json_t *all = NULL;
    int status = -1;
    if (check_name(name, error) || check_design(body, &network, error) ||
        read_designs(studio, &all, error))
        goto out;
    const json_t *old = json_object_get(all, name);
    if (!old && json_object_size(all) >= DESIGNS_MAX) {
        error_set(error, ERROR_CONFLICT, "%d designs are saved, the most: delete one first",
                  DESIGNS_MAX);
        goto out;
    }
    json_t *design = make_design(&network, old);
    json_object_set_new(all, name, design);
    status = store_preference_set(studio->store, DESIGNS_KEY, all, error);
    if (!status) *out = design_to_json(name, design);
out:
    json_decref(all);
    return status;
}

static void put_design(struct studio *studio, struct call *call)
{
    struct error error;
    json_t *saved;
    if (save_design(studio, call_path(call, "name"), call_body(call), &saved, &error))
        call_fail(call, &error);
    else
        call_reply(call, 200, saved);
}

static void delete_design(struct studio *studio, struct call *call)
{
    struct error error;
    const char *name = call_path(call, "name");
    json_t *all, *gone = NULL;
    if (read_designs(studio, &all, &error)) {
        call_fail(call, &error);
        return;
    }
    const json_t *design = json_object_get(all, name);
    int status = -1;
    if (!design) {
        error_set(&error, ERROR_NOT_FOUND, "there is no design \"%.64s\"", name);
    } else {
        gone = design_to_json(name, design);
        json_object_del(all, name);
        status = store_preference_set(studio->store, DESIGNS_KEY, all, &error);
    }
    json_decref(all);
    if (!status) {
        call_reply(call, 200, gone);
        return;
    }
    json_decref(gone);
    call_fail(call, &error);
}

/* --- the table --- */

static const struct parameter network_parameters[] = {
    {"net", PARAMETER_TEXT, 0, COMPACT_MAX_LENGTH, 0, NULL,
     "the compact form, a preset's name or JSON"},
    {"rows", PARAMETER_INTEGER, 1, DATASET_MAX_SIDE, 28, NULL, "of the picture"},
    {"columns", PARAMETER_INTEGER, 1, DATASET_MAX_SIDE, 28, NULL, "of the picture"},
    {"channels", PARAMETER_INTEGER, 1, 3, 1, NULL, "of the picture: 1 gray, 3 color"},
    {"classes", PARAMETER_INTEGER, 0, LAYER_MAX_WIDTH, 0, NULL, "of the data set; 0: any number"},
    {0},
};

static const struct route routes[] = {
    {"GET", "/api/network", get_network, "A network as text: its shapes and what it costs",
     network_parameters, NULL, "NetworkDraft", 200, 0},
    {"POST", "/api/network", post_network,
     "The same of a text or a list of layers; nothing changes", NULL, "NetworkQuestion",
     "NetworkDraft", 200, ROUTE_CHANGES},
    {"GET", "/api/networks", get_networks, "The networks that have a name", NULL, NULL,
     "NetworkPresets", 200, 0},
    {"GET", "/api/layers", get_layers, "What layers there are, with their fields", NULL, NULL,
     "LayerTable", 200, 0},
    {"GET", "/api/designs", get_designs, "The designs that were saved", NULL, NULL, "Designs", 200,
     0},
    {"PUT", "/api/designs/{name}", put_design,
     "Save a design; what it replaces becomes an earlier version", NULL, "NewDesign", "Design", 200,
     ROUTE_CHANGES},
    {"DELETE", "/api/designs/{name}", delete_design, "Delete a design", NULL, NULL, "Design", 200,
     0},
};
const struct route_group routes_networks = ROUTE_GROUP("networks", routes);
