"""All four ladders, climbed. Run by the experiment in a process of its own, so that NumPy's and our threads can be held to one:
`python -m lessons.c13_fast.climb` prints them as JSON.
"""

from __future__ import annotations

import json

from lessons.c13_fast import convolution, mirror, norm, reduction
from lessons.c13_fast.ladder import roof

if __name__ == "__main__":
    found = []
    for module in (convolution, norm, reduction, mirror):
        ladder = module.ladder()
        ladder.roof = roof(ladder)
        found.append(ladder.done())
    print(json.dumps(found))
