#include "data/values.h"

#include <math.h>
#include <string.h>

/* 1 / 255 printed with five decimals is off by less than this, in 255ths. */
#define BYTE_TOLERANCE 2e-3

/* The first place whose value is not smaller. */
static size_t place_of(const struct values *values, float number)
{
    size_t low = 0, high = values->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (values->sorted[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t values_collect(struct values *values, const float *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t place = place_of(values, numbers[i]);
        if (place < values->count && values->sorted[place] == numbers[i]) continue;
        if (values->count == 256) return i;
        memmove(values->sorted + place + 1, values->sorted + place,
                (values->count - place) * sizeof *values->sorted);
        values->sorted[place] = numbers[i];
        values->count++;
    }
    return count;
}

bool values_are_bytes_over_255(const struct values *values)
{
    bool fraction = false;
    for (size_t i = 0; i < values->count; i++) {
        double scaled = (double)values->sorted[i] * 255, whole = round(scaled);
        if (whole < 0 || whole > 255 || fabs(scaled - whole) > BYTE_TOLERANCE) return false;
        fraction |= whole > 0 && whole < 255;
    }
    return fraction;
}

void values_encode(const struct values *values, bool bytes, const float *numbers, size_t count,
                   uint8_t *codes)
{
    for (size_t i = 0; i < count; i++)
        codes[i] = bytes ? (uint8_t)lround((double)numbers[i] * 255)
                         : (uint8_t)place_of(values, numbers[i]);
}
