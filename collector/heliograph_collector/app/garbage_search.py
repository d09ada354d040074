"""Make the interpreter's searches for garbage rarer.

Nearly nothing here is garbage: while 8,000 measurements were decoded and judged, 613 objects were
found in cycles. But each measurement makes some hundreds of objects that stay, and with CPython's
default of 700 between two searches these cost a fifth of decoding and up to a tenth of judging.
"""

import gc

# Objects that are new before the young ones are searched: some 20 MB, and what the longest request
# leaves. A block of 512 results is some 100,000 objects in `serve`, which go with it: at 50,000
# each block was searched, which took a tenth of its CPU. Assumed, like the numbers of searches
# before the older ones are searched too.
YOUNG_OBJECTS = 200_000
YOUNG_SEARCHES = 20
OLDER_SEARCHES = 20
# Of a judge process, which has no event loop that a search would hold: at 50,000 that took 15 % of
# its time.
YOUNG_BESIDE_BLOCK = 500_000


def limit_garbage_search(young_objects: int = YOUNG_OBJECTS) -> None:
    """Exclude the objects loaded so far, which stay, and search the others less often.

    Searched again and again, whenever messages have made enough objects, the loaded ones
    would hold the event loop for 30 ms and more. They are not searched now either: that took 70 ms
    of each start and found 1,600 garbage ones among 160,000.
    """
    gc.freeze()
    search_rarely(young_objects)


def search_rarely(young_objects: int = YOUNG_OBJECTS) -> None:
    """Search the new objects less often.

    A start only loads what stays: a hundred searches through it were a twelfth of the CPU of the
    imports.
    """
    gc.set_threshold(young_objects, YOUNG_SEARCHES, OLDER_SEARCHES)
