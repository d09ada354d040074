"""Read time series of Cloudflare Radar's API (JSON).

An answer is `{"success": true, "result": {"meta": …, "serie_0": {"timestamps": […], "values":
["0.71", …]}}}`; each serie of a comparison has the name that was asked for. The numbers are text,
and none of it names the place: it is given by the file's name, a serie's name or the importing
user. Groups of a serie that are shares of one whole are no levels. Values whose lowest one was made
0, or that are changes, are no levels either: they hide how far a level fell.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.complaints import Complaints, describe_location
from heliograph_collector.sources.entity import CountryNames
from heliograph_collector.sources.json_objects import JsonObject, read_objects
from heliograph_collector.sources.level_names import find_misfit
from heliograph_collector.sources.replay import Series
from heliograph_collector.sources.series import build_series
from heliograph_collector.sources.timestamps import parse_timestamp
from heliograph_collector.sources.typed_reader import as_number

_SOURCE = "radar"
_LEVELS = ("MIN0_MAX", "RAW_VALUES", "PERCENTAGE", "ROLLING_AVERAGE")  # of `meta.normalization`


def is_radar(item: JsonObject) -> bool:
    return any(True for _ in _iterate_series(item))


def read_series(
    path: Path, scope: Scope, complaints: Complaints, countries: CountryNames
) -> list[Series]:
    """Read all series of a file; `scope` is where those are that no country names."""
    series_list: list[Series] = []
    for item in read_objects(path, complaints):
        if (normalization := _find_normalization(item)) not in ("", *_LEVELS):
            complaints.add(
                describe_location(path, item.line),
                f"its values are normalized ({normalization}), which hides how far they fell: "
                "ask for normalization=MIN0_MAX or RAW_VALUES",
            )
            continue
        for name, serie in _iterate_series(item):
            misfit = find_misfit(name)
            if misfit:
                complaints.add_note(describe_location(path, item.line), misfit)
                continue
            code = countries.find_exactly(name)
            place = Scope(code) if code else scope
            is_plain = code or name in ("serie_0", "main", "result")
            try:
                series_list.append(
                    _build_series(place, _SOURCE if is_plain else f"{_SOURCE} {name}"[:64], serie)
                )
            except ValueError as error:
                complaints.add(describe_location(path, item.line), f"the serie {name!r} {error}")
    return series_list


def _find_normalization(item: JsonObject) -> str:
    """Return an answer's description of its numbers; "" without one."""
    result = item.fields.get("result", item.fields)
    meta = result.get("meta") if isinstance(result, dict) else None
    return str(meta.get("normalization") or "").upper()[:40] if isinstance(meta, dict) else ""


def _iterate_series(item: JsonObject) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield each serie by its name, of an answer or of its result alone."""
    result = item.fields.get("result", item.fields)
    if not isinstance(result, dict):
        return
    if isinstance(result.get("timestamps"), list):
        yield "result", result
        return
    for name, serie in result.items():
        if isinstance(serie, dict) and isinstance(serie.get("timestamps"), list):
            yield name, serie


def _build_series(scope: Scope, source: str, serie: Mapping[str, object]) -> Series:
    """Build a series. Raises ValueError with the reason why it is left out."""
    times = serie.get("timestamps")
    values = serie.get("values")
    if not isinstance(times, list) or not isinstance(values, list):
        raise ValueError("holds shares of groups, no levels")
    levels = {
        at_us: max(0.0, value)
        for at_us, value in zip(map(parse_timestamp, times), map(as_number, values), strict=False)
        if at_us is not None and value is not None
    }
    return build_series(scope, source, levels)
