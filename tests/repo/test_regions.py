"""The regions that the collector believes are the regions that its pages can name."""

from pathlib import Path

from heliograph.regions import MAX_CODE, find_region, is_country, list_regions

NAMES = Path(__file__).parents[2] / "agent/heliograph_agent/consent/country_names.tsv"
REGIONS = Path(__file__).parents[2] / "collector/heliograph_collector/http/regions.tab"


def test_every_region_has_a_name_and_every_former_code_a_successor() -> None:
    lines = REGIONS.read_text("utf-8").splitlines()
    named = {line.split("\t")[0] for line in lines if not line.startswith("#")}
    countries = {code[:2] for code in named}
    assert {code for country in countries for code in list_regions(country)} == named
    for code in named:
        assert len(code) <= MAX_CODE
        assert find_region(code[:2], code.lower()) == code
    for former in ("KZ-ALA", "KZ-AST", "FR-A", "CN-11"):
        assert find_region(former[:2], former) in named - {former}
    assert list_regions("ZZ") == ()


def test_a_country_is_what_the_agent_can_name() -> None:
    named = {line[:2] for line in NAMES.read_text("utf-8").splitlines()[1:]}
    letters = [chr(number) for number in range(ord("A"), ord("Z") + 1)]
    assert {a + b for a in letters for b in letters if is_country(a + b)} == named
    assert named.isdisjoint({"UK", "XX", "ZZ", "EU"})
    assert not is_country("kz")
