/* The schedule of the learning rate in the two Python programs: the framework's own class where it
 * is the same function of the step, else that function in a few plain lines. For this room only. */
#ifndef NNSTUDIO_CODE_SCHEDULES_H
#define NNSTUDIO_CODE_SCHEDULES_H

#include "code/text.h"

/* Functions and classes, then `steps`, as far as the schedule needs them; above the optimizer. */
void torch_write_schedule_parts(const struct code_subject *subject, struct code_text *out);
/* Below the optimizer. */
void torch_write_scheduler(const struct code_subject *subject, struct code_text *out);
/* In the function of one step, before and after the update; at an epoch's end. */
void torch_write_rate_of_step(const struct code_subject *subject, struct code_text *out);
void torch_write_after_step(const struct code_subject *subject, struct code_text *out);
void torch_write_after_epoch(const struct code_subject *subject, struct code_text *out);

/* All that goes above compile(). */
void keras_write_schedule(const struct code_subject *subject, struct code_text *out);
/* What compile() is given: "schedule", or "" for the number. */
const char *keras_schedule_name(const struct code_subject *subject);
/* The callback that sets the rate: "Rate()"; "" for none. `forgets`: fit() begins it anew. */
struct code_arguments keras_schedule_callback(const struct code_subject *subject, bool *forgets);

#endif
