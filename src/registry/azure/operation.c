/* Long operations of Resource Manager: an endpoint takes minutes, a deployment with a new image a
 * quarter of an hour. */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/js.h"
#include "registry/azure/arm.h"

#define USUAL_PAUSE 5.0  /* seconds, when the service does not say */
#define LEAST_PAUSE 0.05 /* it may say 0 */
#define LONGEST     (2 * 3600.0)

const char *arm_state(const json_t *resource)
{
    return js_text(json_object_get(resource, "properties"), "provisioningState");
}

enum outcome {
    GOES_ON,
    SUCCEEDED,
    FAILED,
    UNKNOWN /* the operation is not known: see the resource */
};

static enum outcome outcome_of(const char *state)
{
    static const struct {
        const char *state;
        enum outcome outcome;
    } table[] = {{"Succeeded", SUCCEEDED}, {"Failed", FAILED}, {"Canceled", FAILED}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcasecmp(state, table[i].state) == 0) return table[i].outcome;
    return GOES_ON;
}

static int tell_failure(const char *what, const char *state, const json_t *reason,
                        struct error *error)
{
    char code[96], message[400];
    arm_error_words(reason, code, message);
    message[strcspn(message, "\r\n")] = '\0';
    return error_set(error, ERROR_FAILED, "%s: Azure says %s%s%s%s%s", what, state,
                     *code ? " " : "", code, *message ? ": " : "", message);
}

/* One question after the operation: its state, its result, or the resource's own state. */
static int ask(struct arm *arm, const char *url, bool is_status, const struct arm_wait *wait,
               struct arm_answer *answer, enum outcome *out, struct error *error)
{
    const struct arm_request request = {
        .url = url, .path = wait->path, .may_be_absent = true, .what = wait->what};
    if (arm_call(arm, &request, answer, error)) return -1;
    if (!url) {
        *out = !answer->body ? SUCCEEDED : outcome_of(arm_state(answer->body));
        if (*out == SUCCEEDED && answer->body && wait->removal) *out = GOES_ON;
        if (!answer->body && !wait->removal)
            return error_set(error, ERROR_NOT_FOUND, "%s: it is no longer there: it was deleted",
                             wait->what);
        return *out != FAILED ? 0 : tell_failure(wait->what, arm_state(answer->body), NULL, error);
    }
    if (answer->http == 404) {
        *out = UNKNOWN;
    } else if (is_status) {
        const char *state = js_text(answer->body, "status");
        *out = outcome_of(state);
        if (*out == FAILED)
            return tell_failure(wait->what, state, json_object_get(answer->body, "error"), error);
    } else {
        *out = answer->http == 202 ? GOES_ON : SUCCEEDED;
    }
    return 0;
}

static int poll(struct arm *arm, const struct arm_answer *begun, const struct arm_wait *wait,
                struct error *error)
{
    char url[sizeof begun->operation];
    double until = clock_monotonic() + LONGEST, pause = begun->pause;
    bool is_status = *begun->operation != '\0';
    enum outcome outcome = GOES_ON;
    snprintf(url, sizeof url, "%s", is_status ? begun->operation : begun->location);
    while (outcome != SUCCEEDED) {
        struct arm_answer answer = {0};
        double seconds = pause < 0 ? USUAL_PAUSE : pause < LEAST_PAUSE ? LEAST_PAUSE : pause;
        if (clock_monotonic() > until)
            return error_set(error, ERROR_UNAVAILABLE,
                             "%s: it has not ended after %.0f hours: look at it in Azure ML",
                             wait->what, LONGEST / 3600);
        if (web_wait(arm->web, seconds, error)) return -1;
        int status = ask(arm, *url ? url : NULL, is_status, wait, &answer, &outcome, error);
        json_decref(answer.body);
        if (status) return -1;
        pause = answer.pause;
        if (outcome == UNKNOWN) *url = '\0';
        if (outcome == SUCCEEDED && *url) {
            /* Both ends are looked at: the operation's, then the resource's. */
            *url = '\0';
            pause = 0;
            outcome = GOES_ON;
        }
    }
    return 0;
}

int arm_finish(struct arm *arm, const struct arm_answer *begun, const struct arm_wait *wait,
               json_t **resource, struct error *error)
{
    struct arm_answer answer = {0};
    bool ended = wait->removal
                     ? begun->http == 204 && !*begun->operation && !*begun->location
                     : !*begun->operation && outcome_of(arm_state(begun->body)) == SUCCEEDED;
    if (!ended && poll(arm, begun, wait, error)) return -1;
    if (wait->removal) return 0;
    if (arm_call(arm, &(struct arm_request){.path = wait->path, .what = wait->what}, &answer,
                 error))
        return -1;
    *resource = answer.body;
    return 0;
}
