"""The studio's random numbers, written a second time: what a seed means is part of the contract with every engine."""

import math

import numpy

MASK = (1 << 64) - 1
STREAM_WEIGHTS, STREAM_ORDER = 1, 2


class Random:
    """xoshiro256** seeded through splitmix64, one stream of a seed."""

    def __init__(self, seed, stream, index):
        self._mix = seed
        mixed = self._splitmix() ^ (stream * 0xD1342543DE82EF95 & MASK)
        self._mix = mixed
        self._mix = self._splitmix() ^ index
        self.state = [self._splitmix() for _ in range(4)]

    def _splitmix(self):
        self._mix = (self._mix + 0x9E3779B97F4A7C15) & MASK
        z = self._mix
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
        return z ^ (z >> 31)

    def next(self):
        s = self.state
        x = s[1] * 5 & MASK
        result = ((x << 7 | x >> 57) & MASK) * 9 & MASK
        t = s[1] << 17 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = (s[3] << 45 | s[3] >> 19) & MASK
        return result

    def below(self, bound):
        threshold = (1 << 64) % bound
        while True:
            value = self.next()
            if value >= threshold:
                return value % bound

    def uniform(self, bound, count):
        """float32 values in ±bound."""
        return numpy.array([-bound + 2 * bound * ((self.next() >> 11) * 2.0**-53) for _ in range(count)], numpy.float32)


def initial_weights(sizes, seed=0):
    """[(weight [out, in], bias [out]), …] as torch.nn.Linear draws them, float32."""
    layers = []
    for index, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        random, bound = Random(seed, STREAM_WEIGHTS, index), 1 / math.sqrt(inputs)
        weight = random.uniform(bound, inputs * outputs).reshape(outputs, inputs)
        layers.append((weight, random.uniform(bound, outputs)))
    return layers


def epoch_order(count, epoch, seed=0):
    random, order = Random(seed, STREAM_ORDER, epoch), list(range(count))
    for i in range(count, 1, -1):
        j = random.below(i)
        order[i - 1], order[j] = order[j], order[i - 1]
    return numpy.array(order)
