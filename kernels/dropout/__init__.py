"""Dropout: y = x / (1 - p) where a coin falls well, else 0. The coins are a function of (key, place), not a state.

    mix(h)   h ^= h >> 16;  h *= 0x85EBCA6B;  h ^= h >> 13;  h *= 0xC2B2AE35;  h ^= h >> 16      in 32 bits
    keep[i]  mix(mix(i) ^ key) >= p * 2**32         i: the element's place in memory order

x any shape -> y of x's shape; 0 <= p < 1, key a 32-bit number (on a GPU also an int32 array there
whose first element has its bits). The same key gives the same coins on every device, so a run
that is resumed, or moved, drops what it would have dropped. Saves nothing: the backward throws the coins again, it is the
same function. `mix` is the finaliser of MurmurHash3 (A. Appleby).
"""
