"""Numbers that several tests of the detectors use, as one versioned value.

Those of a single test stand at the top of its module (level/, steadiness.py, flapping.py).

Each number has its source; "assumed" marks a choice without a published source. detect/README.md
lists the sources of formulas, detect/measurements.md what each rule was measured with.
"""

from dataclasses import dataclass

DETECT_VERSION = 196  # raised with any change of a number here or of a formula; log entries name it


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Times are seconds unless the name has days; shares are of votes."""

    # Churn: how often a vantage falls silent by itself (stats/churn.py)
    usual_per_day: float = 4.0  # prior rate before any data; assumed
    usual_weight_days: float = 30.0  # vantage-days of a pool that weigh as much as it; assumed
    pool_weight_days: float = 7.0  # days of a vantage that weigh as much as its pool; assumed
    most_per_day: float = 24.0  # so that reconnecting cannot desensitize a cell; assumed
    memory_days: float = 28.0  # older data fade; assumed

    # Silence (silence/)
    windows_s: tuple[float, ...] = (120.0, 900.0)  # for sudden and for slow cuts; assumed
    tick_s: float = 1.0  # time from a signal to the evaluation of its country; assumed
    beat_s: float = 15.0  # the default heartbeat of the agents
    national_alarms_per_year: float = 0.1  # budget of false alarms by chance; assumed
    cell_alarms_per_year: float = 0.1  # of all other cells of a country together; assumed
    scan_factor: float = 8.0  # evaluations of a sliding window for one of a fixed one; assumed
    burst: int = 3  # fewer new silences are never tested; assumed
    suspect_share: float = 0.5  # assumed
    confirm_share: float = 0.6  # why: detect/README.md, "What this resists"
    hold_s: float = 30.0  # still silent so long after the burst began …; assumed
    hold_low_s: float = 60.0  # … and so long in a cell with fewer votes than `few`; assumed
    give_up_s: float = 180.0  # a suspicion that does not hold by then is withdrawn; assumed
    grace_s: float = 180.0  # for agents to reconnect after a fault of the collector; assumed
    join_s: float = 7_200.0  # a cut that rolls out within this is one incident; assumed

    # Confounders
    witness_share: float = 0.2  # silent elsewhere: the collector is at fault; assumed
    witnesses: int = 3  # votes that a comparison needs; assumed
    spread_s: float = 60.0  # a fault reaches country after country this slowly; assumed
    spread_hold_s: float = 90.0  # wait after a burst if others begin too; assumed
    alive_share: float = 0.2  # silent share up to which a group counts as alive; assumed

    # Explanations (silence/explanation.py)
    ways: int = 2  # independent carriers that fall silent: a block of one does not explain it
    several_ways: float = 0.95  # confidence at most of a silence over several carriers; assumed
    one_way: float = 0.6  # … and over one, which may be a block of the collector; assumed
    told_share: float = 0.34  # of the silent votes that must report a cause: a third may collude
    unfeigned_share: float = 0.36  # what that third has at most, while a tenth of others is away
    rerouted_share: float = 0.9  # of returns by another carrier, if none measured; assumed
    transit_s: float = 480.0  # wait while our transit may be down; a cable must be known within 600
    transit_told_s: float = 1_800.0  # … while some live on, or report it; assumed

    # Recovery
    back_window_s: float = 180.0  # returns are counted in it; assumed
    back_share: float = 0.2  # of a cell that makes an opening; assumed
    back_chance: float = 0.01  # that a silent vantage returns by itself in the window; assumed
    back_alpha: float = 1e-4  # tail probability of an opening; assumed
    back_hold_s: float = 60.0  # an opening is checked again after this; assumed
    clear_s: float = 60.0  # over after so long without a dark cell; assumed
    retry_s: float = 60.0  # the longest that an agent waits between two attempts
    resume_s: float = 21_600.0  # dark again within this: same incident, no new alert; assumed

    # Voting
    votes: int = 5  # fewer confirm nothing; assumed
    nat_votes: int = 5  # of one prefix that may be a carrier's NAT, in all places (voting.py)
    lines: int = 2  # prefixes of a cell; one alone may be one box (merging.py)
    few: int = 10  # fewer give low confidence; assumed
    low: float = 0.5  # low confidence; assumed
    unwitnessed: float = 0.7  # confidence at most, without other countries; assumed
    most: float = 0.99  # confidence at most; assumed
    new_days: float = 1.0  # younger vantages have no vote; assumed
    established_days: float = 14.0  # younger vantages confirm nothing; assumed
    networks: int = 2  # ASNs that must see a country-wide incident; assumed

    # Localization (stats/localization.py)
    noise: float = 0.02  # share of silent votes outside any incident; assumed
    explain: float = 8.0  # nats that a cell must explain to be named; assumed

    # Blocking (blocking/)
    bin_s: float = 60.0  # assumed
    fresh_s: float = 300.0  # an older vote does not count: two intervals of a light check; assumed
    hold_bins: int = 2  # of the last three; assumed
    hold_span_s: float = (
        45.0  # or so long between the middle failures, where tests are rare; assumed
    )
    p_bad: float = 0.9  # failing rate of a block; assumed
    repeat_share: float = 0.3  # of chance failures that a second look repeats; assumed
    prior_bad: float = 1.0  # beta prior of the failing rate elsewhere: 1 failure …
    prior_good: float = 24.0  # … in 25 tests; assumed
    spread: float = 0.1  # intra-cell correlation of the beta-binomial; assumed
    reach_alarms_per_year: float = 0.1  # budget of false alarms by chance; assumed
    clear_share: float = 0.34  # a bin with at most this share failing is clear; assumed
    clear_bins: int = 3  # clear bins in a row that end a block; assumed
    clear_span_s: float = 75.0  # newer tests alone can end a block …; assumed
    clear_nats: float = 3.0  # … with this evidence against half of them failing; assumed
    wary_s: float = 3_600.0  # blocked again within this: intermittent …; assumed
    wary_bins: int = 5  # … so it ends after so many clear bins in a row; assumed
    elsewhere: int = 2  # other countries that fail at once: the service is at fault; assumed
    elsewhere_share: float = 0.1  # … and share of all others, if there are many; assumed
    elsewhere_s: float = 600.0  # wait after the last such failure; assumed
    world_down: float = 0.5  # failing share of the other countries: down; assumed


THRESHOLDS = Thresholds()
