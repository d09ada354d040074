"""Aggregation: count votes and silences into cells, daily totals and caches.

Example: turn the votes of a window into cells that may be published.

    cells = roll_up(votes, silences, since_us, until_us, bin_s=300)
    public_cells = Disclosure(5, services, now_us).release(cells)
"""
