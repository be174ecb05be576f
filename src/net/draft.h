/* A network that is being designed, and may not fit yet: what of it does, what does not and where,
 * and what would fix it. */
#ifndef NNSTUDIO_NET_DRAFT_H
#define NNSTUDIO_NET_DRAFT_H

#include "net/network.h"

/* `read` is as network_read() leaves it: not finished. `classes` of the data, 0: not known.
 *
 * {"problem":"layer 3: dense takes …","reason":"dense takes …","at":2,
 *  "fixes":[{"label":"Insert flatten","net":"conv 6 5x5, flatten, dense 10"}],
 *  "draft":{"compact":"…","layers":[{"layer":{"type":"conv2d",…},"text":"conv 6 5x5",
 *    "name":"conv1","output":[24,24,6],"parameters":156,"multiply_adds":86400},…]},
 *  "cost":{…}}
 * problem, reason and at are null when nothing is wrong, cost (net/cost.h) while something is;
 * `at` also when no single layer is to blame. `output` is null from the layer on that does not fit.
 * Each fix was tried: it leads on. New reference. */
json_t *network_draft_to_json(const struct network *read, uint32_t classes);
/* The answer for a text that cannot be read as layers: `draft` is null. */
json_t *network_unread_to_json(uint32_t at, const struct error *error);

/* What layers there are, for forms and palettes: {"layers":[{"type","title","form","help","why",
 * "first_only","activates","layer":{an example},"fields":[…]}],"activations":[…]} (net/layer.h).
 * New reference. */
json_t *network_layer_table(void);

#endif
