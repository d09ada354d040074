"""Share the bytes of a line that may move less than its plan would.

Shares of the inflow, so that the first signs of a cut and a block stay frequent. By 300 MB a
month, 10 MB a day where the default plan would move 63, light checks of all messengers come every
ten minutes, anchors every half hour, a browser's hello every hour and a half, and all other tests
by the rest, rarer by one factor. A plan without one of these kinds has its share for the others.
"""

ANCHOR_SHARE = 0.13  # after a failure they are measured again anyway
LIGHT_SHARE = 0.77
HELLO_SHARE = 0.04
OTHER_SHARE = 0.06  # and what these leave
# Of a day's bytes. Shares hold while less is left, so that what flows in is not spent at once.
SHARED_BELOW = 0.5
RESERVE = 0.1  # kept for tests that a failure or the collector asks for
