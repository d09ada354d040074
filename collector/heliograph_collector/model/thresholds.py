"""Every number that a detector decides by, as one versioned value. README.md explains."""

from dataclasses import dataclass

DETECT_VERSION = 4  # raised with any change of a number here or of a formula; entries name it


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Times in seconds unless the name says days; shares are of votes."""

    # How often a vantage falls silent by itself (stats/churn.py)
    usual_per_day: float = 4.0  # before anything is known
    usual_weight_days: float = 30.0  # how much a pool of vantages must show to outweigh that
    pool_weight_days: float = 7.0  # and a vantage to outweigh its pool
    most_per_day: float = 24.0  # nobody makes a cell numb by coming and going
    memory_days: float = 28.0

    # Silence (silence/)
    windows_s: tuple[float, ...] = (120.0, 900.0)  # new silences are counted in these
    tick_s: float = 1.0  # how often an affected country is looked at
    beat_s: float = 15.0
    national_alarms_per_year: float = 0.1  # false ones, chance alone
    cell_alarms_per_year: float = 0.1  # of all other cells of a country together
    scan_factor: float = 8.0  # a sliding window is looked at that much more often than a fixed one
    burst: int = 3  # fewer new silences are never looked at
    suspect_share: float = 0.5
    confirm_share: float = 0.6
    hold_s: float = 30.0  # still silent so long after the burst began …
    hold_low_s: float = 60.0  # … and so long in a cell of few
    give_up_s: float = 180.0  # a suspicion that does not hold by then is withdrawn
    grace_s: float = 180.0  # after a fault of ours, time to come back in
    join_s: float = 7_200.0  # a cut that rolls out is one incident

    # Gates
    witness_share: float = 0.2  # of the rest of the world falling silent too: it is us
    witnesses: int = 3  # votes before anybody can bear witness
    spread_s: float = 60.0  # a fault of ours may reach country after country so slowly
    spread_hold_s: float = 90.0  # where others begin to go, so long after the burst it is clear
    alive_share: float = 0.2  # silent share up to which a group counts as alive

    # Recovery
    back_window_s: float = 180.0
    back_share: float = 0.2  # of a cell: an opening
    back_chance: float = 0.01  # a held vantage returns by itself within the window
    back_alpha: float = 1e-4
    back_hold_s: float = 60.0
    clear_s: float = 60.0  # no dark cell for so long: over
    retry_s: float = 60.0  # the longest an agent waits between two tries
    resume_s: float = 21_600.0  # dark again within this: the same incident, no new alert

    # Voting
    votes: int = 5  # fewer confirm nothing
    few: int = 10  # below: low confidence
    low: float = 0.5
    unwitnessed: float = 0.7
    most: float = 0.99
    standing_days: float = 10.0  # younger vantages confirm nothing
    networks: int = 2  # ASNs that a country-wide incident must be seen from

    # Localization (stats/localization.py)
    noise: float = 0.02  # a vote outside any incident is silent so often
    explain: float = 8.0  # nats that a cell must explain to be named

    # Blocking (blocking/)
    bin_s: float = 60.0
    fresh_s: float = 180.0  # an older vote is none
    hold_bins: int = 2  # of the last three
    p_bad: float = 0.9
    prior_bad: float = 1.0  # beta prior of the failing rate: 1 bad …
    prior_good: float = 24.0  # … in 25
    spread: float = 0.1  # intra-cell correlation of the beta-binomial
    reach_alarms_per_year: float = 0.1
    clear_share: float = 0.34
    clear_bins: int = 3  # in a row under it: over
    clear_span_s: float = 75.0  # what was tested so lately speaks for an end by itself …
    clear_nats: float = (
        3.0  # … by so much for reaching it rather than for half of the tests failing
    )
    wary_s: float = 3_600.0  # what is blocked again so soon comes and goes …
    wary_bins: int = 5  # … and is over after so many good minutes in a row
    elsewhere: int = 2  # other countries in which a cell failed at once: the service itself
    elsewhere_share: float = 0.1  # … and of all others, where there are many
    elsewhere_s: float = 600.0  # after that was last seen, time to clear here too
    world_down: float = 0.5  # the rest of the world fails as well: down
    slow: float = 0.3  # of the vantage's own neutral goodput


THRESHOLDS = Thresholds()
