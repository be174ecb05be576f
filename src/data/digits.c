#include "data/digits.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "data/glyphs.h"

#define BOX            20.0f /* the digit's longer side, in pixels */
#define POINTS_MAX     32    /* of a glyph */
#define PATH_MAX_NODES 256   /* of the finished curve */
#define BLOCK          256   /* samples that a thread takes at a time */
#define THREADS_MAX    16
#define RUN            8 /* pixels inked together */
#define CANVAS_WIDTH   (DIGITS_SIDE + RUN)

struct point {
    float x, y;
    bool sharp, starts; /* a corner; the first of its stroke */
};

struct node {
    float x, y;
    float radius;
    bool starts;
};

/* How one writer writes one digit: drawn afresh for every sample. */
struct hand {
    float xx, xy, yx, yy; /* affine: slant, turn, width */
    float wave_x[2][4];   /* elastic bend: amplitude, frequency in x and y, phase */
    float wave_y[2][4];
    float shake; /* of the control points, in glyph units */
    /* half the stroke's width in pixels, and its change along the stroke */
    float radius, taper;
    float softness;           /* half the width of the edge, in pixels */
    float middle_x, middle_y; /* where the mass goes: anywhere in pixel 14, as in MNIST */
};

/* About normal, mean 0, standard deviation 1, within ±3.5: the sum of four uniform numbers from one
 * draw. */
static float bell(struct rng *rng)
{
    uint64_t bits = rng_next(rng);
    float sum = (float)(bits & 0xffff) + (float)(bits >> 16 & 0xffff) +
                (float)(bits >> 32 & 0xffff) + (float)(bits >> 48);
    return (sum / 65536.0f - 2.0f) * 1.7320508f;
}

static float between(struct rng *rng, float low, float high)
{
    return low + (high - low) * (float)(rng_next(rng) >> 40) / 16777216.0f;
}

static void draw_waves(struct rng *rng, float size, float waves[2][4])
{
    for (int w = 0; w < 2; w++) {
        waves[w][0] = size * bell(rng);
        waves[w][1] = between(rng, -0.07f, 0.07f);
        waves[w][2] = between(rng, -0.07f, 0.07f);
        waves[w][3] = between(rng, 0.0f, 6.2831853f);
    }
}

static void draw_hand(struct rng *rng, struct hand *hand)
{
    /* Most writers are tidy and some are not, as in MNIST; the figures are set so that the seed
     * network's accuracy on these digits comes out about as on MNIST. */
    float untidy = between(rng, 0.0f, 1.0f);
    untidy = 0.8f + 0.9f * untidy * untidy;
    float turn = 0.14f * untidy * bell(rng), slant = -0.14f + 0.24f * untidy * bell(rng);
    float width = between(rng, 0.6f, 1.3f);
    float c = cosf(turn), s = sinf(turn);
    hand->xx = c * width;
    hand->xy = c * slant - s;
    hand->yx = s * width;
    hand->yy = s * slant + c;
    draw_waves(rng, 4.5f * untidy, hand->wave_x);
    draw_waves(rng, 4.5f * untidy, hand->wave_y);
    hand->shake = 4.5f * untidy;
    hand->radius = 1.28f + 0.32f * bell(rng);
    if (hand->radius < 0.6f) hand->radius = 0.6f;
    hand->taper = 0.15f * bell(rng);
    hand->softness = between(rng, 0.55f, 0.8f);
    hand->middle_x = between(rng, 14.0f, 15.0f);
    hand->middle_y = between(rng, 14.0f, 15.0f);
}

static float bend(const float waves[2][4], float x, float y)
{
    float sum = 0;
    for (int w = 0; w < 2; w++)
        sum += waves[w][0] * sinf(waves[w][1] * x + waves[w][2] * y + waves[w][3]);
    return sum;
}

/* The glyph's points after this hand's shake, bend and slant. */
static size_t place_points(const struct glyph *glyph, const struct hand *hand, struct rng *rng,
                           struct point *points)
{
    size_t count = 0;
    bool sharp = false, starts = true;
    float stray_x = 0, stray_y = 0;
    for (const int8_t *value = glyph->values; *value != GLYPH_END && count < POINTS_MAX;) {
        if (*value == GLYPH_LIFT || *value == GLYPH_SHARP) {
            starts |= *value == GLYPH_LIFT;
            sharp |= *value == GLYPH_SHARP;
            value++;
            continue;
        }
        /* Neighboring points stray together, or the curves would turn to polygons. */
        stray_x = 0.6f * stray_x + 0.8f * hand->shake * bell(rng);
        stray_y = 0.6f * stray_y + 0.8f * hand->shake * bell(rng);
        float x = (float)value[0] - 40.0f + stray_x, y = (float)value[1] - 50.0f + stray_y;
        x += bend(hand->wave_x, x, y);
        y += bend(hand->wave_y, x, y);
        points[count++] = (struct point){hand->xx * x + hand->xy * y, hand->yx * x + hand->yy * y,
                                         sharp, starts};
        sharp = starts = false;
        value += 2;
    }
    return count;
}

/* Joins the points by Catmull-Rom curves (straight on at corners and ends); nodes are about a pixel
 * apart. */
static size_t trace(const struct point *points, size_t count, struct node *nodes)
{
    size_t made = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        struct point b = points[i], c = points[i + 1];
        if (b.starts) nodes[made++] = (struct node){.x = b.x, .y = b.y, .starts = true};
        if (c.starts) continue;
        bool before = !b.starts && !b.sharp,
             after = i + 2 < count && !points[i + 2].starts && !c.sharp;
        struct point a = before ? points[i - 1] : b, d = after ? points[i + 2] : c;
        float length = hypotf(c.x - b.x, c.y - b.y);
        int steps = 2 + (int)(length / 7.0f);
        for (int s = 1; s <= steps && made < PATH_MAX_NODES - 1; s++) {
            float t = (float)s / (float)steps, t2 = t * t, t3 = t2 * t;
            float wa = -0.5f * t3 + t2 - 0.5f * t, wb = 1.5f * t3 - 2.5f * t2 + 1.0f;
            float wc = -1.5f * t3 + 2.0f * t2 + 0.5f * t, wd = 0.5f * t3 - 0.5f * t2;
            nodes[made++] = (struct node){.x = wa * a.x + wb * b.x + wc * c.x + wd * d.x,
                                          .y = wa * a.y + wb * b.y + wc * c.y + wd * d.y};
        }
    }
    return made;
}

/* Scales the curve into the 20 x 20 box and moves its mass to the middle, as MNIST was made. */
static void fit(struct node *nodes, size_t count, const struct hand *hand)
{
    float low_x = 1e9f, low_y = 1e9f, high_x = -1e9f, high_y = -1e9f, mass = 1e-6f, mass_x = 0,
          mass_y = 0;
    for (size_t i = 0; i < count; i++) {
        struct node n = nodes[i];
        low_x = fminf(low_x, n.x);
        high_x = fmaxf(high_x, n.x);
        low_y = fminf(low_y, n.y);
        high_y = fmaxf(high_y, n.y);
        if (n.starts) continue;
        float dx = n.x - nodes[i - 1].x, dy = n.y - nodes[i - 1].y,
              length = sqrtf(dx * dx + dy * dy);
        mass += length;
        mass_x += length * (n.x + nodes[i - 1].x) / 2;
        mass_y += length * (n.y + nodes[i - 1].y) / 2;
    }
    float scale = (BOX - 2 * hand->radius) / fmaxf(fmaxf(high_x - low_x, high_y - low_y), 1.0f);
    float edge = hand->radius * (1 + fabsf(hand->taper)) + hand->softness + 1.0f;
    float shift_x = hand->middle_x - scale * mass_x / mass,
          shift_y = hand->middle_y - scale * mass_y / mass;
    shift_x = fminf(fmaxf(shift_x, edge - scale * low_x), DIGITS_SIDE - edge - scale * high_x);
    shift_y = fminf(fmaxf(shift_y, edge - scale * low_y), DIGITS_SIDE - edge - scale * high_y);
    for (size_t i = 0; i < count; i++) {
        nodes[i].x = scale * nodes[i].x + shift_x;
        nodes[i].y = scale * nodes[i].y + shift_y;
        nodes[i].radius = hand->radius * (1 + hand->taper * (2 * (float)i / (float)count - 1));
    }
}

/* Limits without comparisons: these compilers turn into vector code without being told to disregard
 * NaN. */
static float at_least(float low, float value)
{
    return 0.5f * (value + low + fabsf(value - low));
}

static float at_most(float high, float value)
{
    return 0.5f * (value + high - fabsf(value - high));
}

static int clamp_pixel(float value)
{
    return value < 0 ? 0 : value > DIGITS_SIDE - 1 ? DIGITS_SIDE - 1 : (int)value;
}

/* A round-ended piece of the pen's line: every pixel gets the ink of its distance, the darkest
 * wins. Rows are taken in runs of RUN pixels, which compilers turn into vector code; pixels beyond
 * the reach get none, so a run may be too long. */
static void ink_segment(const struct node *a, const struct node *b, float softness,
                        float canvas[][CANVAS_WIDTH])
{
    float reach = fmaxf(a->radius, b->radius) + softness;
    int left = clamp_pixel(fminf(a->x, b->x) - reach),
        right = clamp_pixel(fmaxf(a->x, b->x) + reach);
    int top = clamp_pixel(fminf(a->y, b->y) - reach),
        bottom = clamp_pixel(fmaxf(a->y, b->y) + reach);
    float dx = b->x - a->x, dy = b->y - a->y, inverse = 1.0f / fmaxf(dx * dx + dy * dy, 1e-6f);
    float per_pixel = 1.0f / (2 * softness), full = a->radius + softness;
    for (int y = top; y <= bottom; y++) {
        float py = (float)y + 0.5f - a->y;
        for (int x = left; x <= right; x += RUN) {
            float *run = &canvas[y][x], from = (float)x + 0.5f - a->x;
            for (int k = 0; k < RUN; k++) {
                float px = from + (float)k;
                float t = at_most(1.0f, at_least(0.0f, (px * dx + py * dy) * inverse));
                float ex = px - t * dx, ey = py - t * dy;
                run[k] = at_least(run[k], (full - sqrtf(ex * ex + ey * ey)) * per_pixel);
            }
        }
    }
}

static uint8_t draw_digit(uint64_t seed, uint64_t index, uint8_t *pixels)
{
    struct rng rng;
    struct hand hand;
    struct point points[POINTS_MAX];
    struct node nodes[PATH_MAX_NODES];
    float canvas[DIGITS_SIDE][CANVAS_WIDTH] = {{0}};
    rng_seed(&rng, seed, RNG_DIGITS, index);
    uint8_t digit = (uint8_t)rng_below(&rng, 10);
    const struct glyph *glyph = glyph_choose(digit, between(&rng, 0.0f, 1.0f));
    draw_hand(&rng, &hand);
    size_t count = trace(points, place_points(glyph, &hand, &rng, points), nodes);
    fit(nodes, count, &hand);
    for (size_t i = 1; i < count; i++)
        if (!nodes[i].starts) ink_segment(&nodes[i - 1], &nodes[i], hand.softness, canvas);
    for (int y = 0; y < DIGITS_SIDE; y++)
        for (int x = 0; x < DIGITS_SIDE; x++)
            pixels[y * DIGITS_SIDE + x] = (uint8_t)(255.0f * at_most(1.0f, canvas[y][x]) + 0.5f);
    return digit;
}

struct digits_work {
    uint64_t seed, first;
    size_t count;
    uint8_t *pixels, *labels;
    atomic_size_t next;
};

static void *draw_blocks(void *argument)
{
    struct digits_work *work = argument;
    for (;;) {
        size_t from = atomic_fetch_add(&work->next, BLOCK);
        if (from >= work->count) return NULL;
        size_t to = from + BLOCK < work->count ? from + BLOCK : work->count;
        for (size_t i = from; i < to; i++)
            work->labels[i] = draw_digit(work->seed, work->first + i,
                                         work->pixels + i * DIGITS_SIDE * DIGITS_SIDE);
    }
}

void digits_draw(uint64_t seed, uint64_t first, size_t count, unsigned threads, uint8_t *pixels,
                 uint8_t *labels)
{
    struct digits_work work = {
        .seed = seed, .first = first, .count = count, .pixels = pixels, .labels = labels};
    pthread_t ids[THREADS_MAX];
    unsigned started = 0;
    if (!threads) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        threads = processors > 1 ? (unsigned)processors : 1;
    }
    if (threads > THREADS_MAX) threads = THREADS_MAX;
    /* This thread draws too; one that cannot be started is only missed. */
    while (started + 1 < threads && started * BLOCK < count &&
           !pthread_create(&ids[started], NULL, draw_blocks, &work))
        started++;
    draw_blocks(&work);
    for (unsigned i = 0; i < started; i++) pthread_join(ids[i], NULL);
}
