#include "base/wanted.h"

#include <stddef.h>

static _Thread_local const atomic_bool *gave_up;

void wanted_until(const atomic_bool *given_up)
{
    gave_up = given_up;
}

bool wanted(void)
{
    return !gave_up || !atomic_load_explicit(gave_up, memory_order_relaxed);
}

int wanted_check(struct error *error)
{
    if (wanted()) return 0;
    return error_set(error, ERROR_INTERRUPTED, "no one is waiting for this answer: ask again");
}
