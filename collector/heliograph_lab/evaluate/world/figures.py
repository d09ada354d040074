"""Ranges of every number of the world, each with its source.

A figure is drawn again for each world, on a logarithmic scale unless it begins at 0. "Assumed"
marks a range without a published source; it is swept, so that no single value decides a row.
"""

import math
from random import Random
from typing import NamedTuple

MINUTE = 60.0
HOUR = 3_600.0
DAY = 86_400.0


class Figure(NamedTuple):
    """A range that worlds draw from, and where it comes from."""

    low: float
    high: float
    unit: str  # s, share, a day, count
    source: str


# what the keys in the column "source" stand for
SOURCES = {
    "[1]": "public series of IODA, Kentik, Cloudflare and Monash IP Observatory, 2019 to 2026",
    "[2]": "Destination Unreachable, SIGCOMM 2023: 182 shutdowns",
    "[3]": "Cloudflare, 28 April 2025: Portugal -50 % at once, -90 % after 5 h; Spain -60, -80",
    "[4]": "Android developer documentation, Doze",
    "[5]": "Padmanabhan et al., Reasons Dynamic Addresses Change, IMC 2016",
    "[6]": "the default plan of the agents",
    "[7]": "cases that an outside audit of the detectors played",
    "[8]": "Stutzbach and Rejaie, Understanding Churn in Peer-to-Peer Networks, IMC 2006",
    "[9]": "Grover et al., Peeking Behind the NAT, IMC 2013: lines fail monthly to daily",
    "[10]": "Richter et al., Carrier-Grade NAT, IMC 2016: nine in ten cellular networks",
    "[11]": "Cloudflare, 14 March 2024: cables off West Africa, 13 countries for 0.5 to over 12 h",
    "[12]": "Cloudflare, 2022 to 2024: Iraq 03-05 and 01-05 UTC, Syria 02-05:30 UTC, on exam days",
    "[13]": "reports of Fastly, 8 June 2021 (49 min), and Google Cloud, 12 June 2025 (7.6 h)",
    "[14]": "Eskom and Tshwane, 2022: 16 groups, slots of 2 or 4 h and half an hour of switching",
    "[15]": "RFC 6877 (464XLAT), RFC 8305 (Happy Eyeballs): lines fall back, some phones cannot",
}

FIGURES: dict[str, Figure] = {
    # how cuts fall and come back
    "step_spread": Figure(2, 120, "s", "[1]"),
    "providers_spread": Figure(MINUTE, 4 * HOUR, "s", "[1]; Iran 2019: 5 h (IODA)"),
    "provider_jitter": Figure(2, MINUTE, "s", "assumed, within one operator"),
    "fade_half": Figure(10 * MINUTE, 2.5 * HOUR, "s", "[1]"),
    "fade_tail": Figure(1.6, 3, "x half", "[1]: nine tenths gone after 0.5 to 4 h"),
    "remainder": Figure(0.01, 0.12, "share", "[1]; NetBlocks: KZ 2 %, IR 5 %"),
    "cut_lasts": Figure(0.83 * HOUR, 22.3 * HOUR, "s", "[2]: p5 to p90, median 5.5 h"),
    "lift_spread": Figure(2, 3 * HOUR, "s", "[1]"),
    "curfew_spread": Figure(0, 20 * MINUTE, "s", "[1]"),
    "curfew_nights": Figure(3, 6, "count", "[1]: 3 to 60; more are more of the same"),
    "curfew_lasts": Figure(6 * HOUR, 9 * HOUR, "s", "Iran 2022: 16:00-24:00; Myanmar 2021: 01-09"),
    "drain_lasts": Figure(10 * HOUR, 14 * HOUR, "s", "assumed, around 12 h [7]"),
    "cable_lasts": Figure(2 * HOUR, 12 * HOUR, "s", "[11]"),
    "throttle_loss": Figure(0.3, 0.7, "share", "[1]: 30 to 90 %; above 70 % it is a cut"),
    "throttle_session": Figure(2 * MINUTE, 20 * MINUTE, "s", "assumed, between broken sessions"),
    # power
    "power_at_once": Figure(0.4, 0.6, "share", "[3]"),
    "power_half": Figure(5 * MINUTE, 3.5 * HOUR, "s", "[3]; Venezuela 2019 (NetBlocks)"),
    "power_back_half": Figure(2 * HOUR, 20 * HOUR, "s", "[1]; Iberia: the same night"),
    "phone_battery": Figure(3 * HOUR, 12 * HOUR, "s", "masts: 2 to 8 h of batteries; assumed"),
    # what is not a cut
    "transit_lasts": Figure(2 * MINUTE, 3 * MINUTE, "s", "[7]: BGP converges in minutes"),
    "crash_share": Figure(0.5, 0.7, "share", "[7]: 60 % of all agents restart at once"),
    "crash_return": Figure(30, 10 * MINUTE, "s", "assumed: a service manager, then a slow boot"),
    "evening_share": Figure(0.6, 0.8, "share", "[7]: 75 % switch off"),
    "evening_spread": Figure(20 * MINUTE, 1.5 * HOUR, "s", "assumed; sigma of going to bed"),
    "doze_window": Figure(5 * MINUTE, 10 * MINUTE, "s", "[4]"),
    "renumber_down": Figure(20, 150, "s", "[5]; time of a PPPoE redial assumed"),
    "renumber_spread": Figure(1, 3 * HOUR, "s", "[5]: every 24 h, at night; spread assumed"),
    "own_block_return": Figure(30, 10 * MINUTE, "s", "assumed: next transport permitted"),
    "own_block_share": Figure(0.6, 1.0, "share", "assumed: who has another way"),
    "word": Figure(10, 40, "s", "[6]: agents tell of a broken session within 30 s by another way"),
    "other_entrance": Figure(0.1, 0.5, "share", "assumed; in half of the countries none has one"),
    "own_block_lasts": Figure(HOUR, 10 * HOUR, "s", "assumed"),
    "backlog": Figure(4 * MINUTE, HOUR, "s", "[7]: a judge minutes to an hour behind"),
    # ordinary trouble
    "exam_lasts": Figure(2 * HOUR, 4.5 * HOUR, "s", "[12]"),
    "exam_days": Figure(4, 7, "count", "[12]: weeks; more are more of the same"),
    "reroute_share": Figure(0.3, 0.7, "share", "of the operators on the cable; assumed"),
    "reroute_after": Figure(5 * MINUTE, 2 * HOUR, "s", "[11]: traffic came back in part; assumed"),
    "ipv6_lasts": Figure(0.5 * HOUR, 6 * HOUR, "s", "assumed"),
    "ipv6_phones": Figure(0.7, 1, "share", "[15]; of an operator's phones without IPv4; assumed"),
    "cloud_lasts": Figure(49 * MINUTE, 7.6 * HOUR, "s", "[13]"),
    "cloud_share": Figure(0.2, 0.8, "share", "of all agents, whose entrance it serves; assumed"),
    "name_life": Figure(MINUTE, HOUR, "s", "of a DNS record; usual values"),
    "name_late_share": Figure(0.05, 0.3, "share", "of resolvers that keep it longer; assumed"),
    "name_late": Figure(HOUR, DAY, "s", "assumed"),
    "nat_moves_spread": Figure(5, HOUR, "s", "assumed; a night's maintenance"),
    "nat_moves_down": Figure(45, 10 * MINUTE, "s", "assumed; sessions die, phones attach again"),
    "office_share": Figure(0.2, 0.6, "share", "of lines, that stand in offices; assumed"),
    "phones_share": Figure(0.85, 0.99, "share", "[4]: background work ends; share assumed"),
    "rolling_groups": Figure(3, 16, "count", "[14]"),
    "rolling_spread": Figure(1, 5 * MINUTE, "s", "switching of one group; assumed"),
    "rolling_battery_share": Figure(0.1, 0.4, "share", "of lines with a battery; assumed"),
    # people
    "vantages": Figure(12, 120, "count", "assumed; 5 to 9 in a tenth of the countries"),
    "nat_pools": Figure(2, 12, "count", "[10]; /24s of one carrier, assumed"),
    "young": Figure(0.05, 0.25, "share", "assumed: known for less than two weeks"),
    "churn": Figure(0.5, 12, "a day", "[9]; median; machines add to lines"),
    "churn_spread": Figure(0.8, 1.6, "sigma", "log-normal over vantages; assumed"),
    "down_shape": Figure(0.35, 0.6, "Weibull k", "[8]: 0.34 to 0.59"),
    "down_median": Figure(MINUTE, 10 * MINUTE, "s", "assumed; many restarts, few absences"),
    "day_swing": Figure(0.2, 0.9, "share", "churn by hour; Quan et al., IMC 2014 (diurnal blocks)"),
    "local_faults": Figure(0.1, 1.0, "a day", "of an operator in a region; assumed"),
    "local_share": Figure(0.1, 0.35, "share", "of its vantages; more would be an outage"),
    "retry_limit": Figure(30, 5 * MINUTE, "s", "doubling with full jitter; limit assumed"),
    "beat": Figure(15, 15, "s", "[6]"),
    # tests
    "second_look": Figure(10, 40, "s", "[6]: after a first failure, twice an hour at most"),
    "early_spread": Figure(60, 180, "s", "[6]: five are asked after failures in two networks"),
    "noise_lasts": Figure(0.2, 0.6, "share", "of failures without a block, half a minute; assumed"),
    "test_noise": Figure(0.01, 0.06, "share", "OONI: failures without a block; assumed"),
    "unknown": Figure(0.01, 0.05, "share", "tests in doubt; assumed"),
    "block_lasts": Figure(6 * HOUR, 60 * HOUR, "s", "OONI reports: days to months; cut at 60 h"),
    "partial_share": Figure(0.35, 0.45, "share", "[7]: a messenger fails 40 % of its tests"),
}  # fmt: skip


def draw(rng: Random, name: str) -> float:
    """Draw a figure: log-uniform, or uniform if the range begins at 0."""
    figure = FIGURES[name]
    if figure.low <= 0:
        return rng.uniform(figure.low, figure.high)
    return math.exp(rng.uniform(math.log(figure.low), math.log(figure.high)))


def format_table() -> str:
    """Format the table of README.md, one row a figure."""
    lines = ["| figure | from | to | unit | source |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{name}` | {figure.low:g} | {figure.high:g} | {figure.unit} | {figure.source} |"
        for name, figure in FIGURES.items()
    ]
    lines += ["", *(f"{key} {source}.  " for key, source in SOURCES.items())]
    return "\n".join(lines)
