"""The shapes of the API's responses as JSON Schema (OpenAPI 3.1)."""

from typing import Any

from heliograph.observation import Access, Link
from heliograph_collector.http.labels import KINDS
from heliograph_collector.model.records import VerdictState

Json = dict[str, Any]
_STATE: Json = {"type": "string", "enum": [s.value for s in VerdictState]}
_TIME: Json = {"type": "string", "format": "date-time"}
_MAYBE_TIME: Json = {"type": ["string", "null"], "format": "date-time"}
_BAND: Json = {"type": "string", "examples": ["0", "5-9", "10-19", "20-49", "50+"]}
WORD: Json = {"type": "string"}
_CONFIDENCE: Json = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "description": "In tenths, rounded down, unless the collector asks for no anonymity.",
}
_COUNT: Json = {
    "type": ["integer", "null"],
    "minimum": 0,
    "description": "Least number of the count's band (0, 1, 5, 10, 20, 50); exact where the "
    "collector asks for no anonymity; null where somebody measured, too few to be shown, and "
    "enough in another row. Where enough never were, nobody is told apart from too few.",
}


def _object(**properties: Json) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(item: Json) -> Json:
    return {"type": "array", "items": item}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_BRACKET = _object(earliest=_MAYBE_TIME, latest=_TIME) | {"type": ["object", "null"]}
_COUNTS: Json = {
    "type": "object",
    "required": ["vantages"],
    "properties": dict.fromkeys(("vantages", "reachable", "blocked", "down", "unknown"), _BAND),
}
_SPAN = _object(earliest=_TIME, latest=_TIME)
_NUMBER: Json = {"type": "integer", "minimum": 1}
_HASH: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_MAYBE: Json = {"type": ["object", "null"]}
_NOTE = _object(entry=_NUMBER, at=_TIME, name=WORD, text=WORD)
_VERDICT = _object(
    entry=_NUMBER,
    at=_TIME,
    name=WORD,
    text=WORD,
    until={"type": ["integer", "null"], "description": "The entry by which it stands no more."},
)
_OPERATOR: Json = {
    **_object(
        acknowledged=_NOTE | _MAYBE,
        confirmed=_VERDICT | _MAYBE,
        withdrawn=_VERDICT | _MAYBE,
        notes=_list(_NOTE),
    ),
    **_MAYBE,
    "description": "What the operator says of it, each an entry of the log; null: nothing.",
}
_CELL: Json = {
    "country": WORD,
    "region": WORD,
    "asn": {"type": "integer", "description": "0: all"},
    "access": WORD,
}
_PART = _object(
    **_CELL,
    votes=_BAND,
    share=_CONFIDENCE,
    networks={"type": "integer", "description": "ASNs in which somebody is cut."},
    **{"except": _list(_object(**_CELL))},
)
_MEASURED: Json = {
    "type": "integer",
    "minimum": 0,
    "description": "A sum over countries, networks, days, tests and targets; of each what at least "
    "`k_anonymity` vantages say, rounded down to a multiple of that.",
}
_TOTAL = _object(
    anomaly_count=_MEASURED,
    confirmed_count=_MEASURED,
    failure_count=_MEASURED,
    ok_count=_MEASURED,
    measurement_count=_MEASURED | {"description": "The other four together."},
)
_AT_AXES: Json = {
    "measurement_start_day": {"type": "string", "format": "date"},
    "probe_cc": WORD,
    "probe_asn": {"type": "integer", "description": "0: not known, or networks of too few"},
    "test_name": WORD,
    "domain": WORD,
    "input": WORD,
}
SCHEMAS: Json = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": WORD,
            "title": WORD,
            "status": {"type": "integer"},
            "detail": WORD,
            "parameter": WORD,
            "allowed": WORD,
        },
    },
    "ServiceNow": _object(
        service=WORD,
        title=WORD,
        state=_STATE,
        confidence=_CONFIDENCE,
        counts=_COUNTS,
        layer=WORD,
        method=WORD,
        start=_MAYBE_TIME,
        since=_BRACKET,
    ),
    "Group": _object(
        country=WORD,
        asn={"type": "integer", "description": "0: not known, or other networks"},
        access={"type": "string", "enum": [*(a.value for a in Access), ""]},
        link={"type": "string", "enum": [link.value for link in Link]},
        vantages=_BAND,
        silent=_BAND,
        services=_list(ref("ServiceNow")),
    ),
    "Coverage": _object(
        vantages=_BAND,
        groups={"type": "integer"},
        withheld_groups={"type": "integer"},
        controls={"type": "integer"},
        blind=_list(_object(**{"from": _TIME, "until": _TIME})),
    ),
    "Status": _object(
        at=_TIME,
        k_anonymity={"type": "integer"},
        groups=_list(ref("Group")),
        coverage=ref("Coverage"),
    ),
    "Cell": _object(
        start=_TIME,
        vantages=_COUNT,
        reachable=_COUNT,
        blocked=_COUNT,
        down=_COUNT,
        unknown=_COUNT,
        silent=_COUNT,
        state=_STATE,
        confidence=_CONFIDENCE,
    ),
    "Timeline": _object(
        since=_TIME,
        until=_TIME,
        bin_s={"type": "integer"},
        k_anonymity={"type": "integer"},
        scope={"type": "object"},
        cells=_list(ref("Cell")),
    ),
    "Aggregation": _object(
        v={"type": "integer", "const": 0},
        dimension_count={"type": "integer", "minimum": 0, "maximum": 2},
        result=_TOTAL
        | {
            "type": ["object", "array"],
            "description": "One object without axes, else a row for each value that occurs.",
            "items": _TOTAL | {"properties": {**_AT_AXES, **_TOTAL["properties"]}},
        },
        k_anonymity={"type": "integer"},
    ),
    "Part": _PART,
    "Turn": _object(
        way={"type": "string", "enum": ["opening", "cut"]},
        parts=_list(ref("Part")),
        when=ref("Bracket"),
        seen=_TIME,
    ),
    "Bracket": _SPAN,
    "Evidence": _object(
        entry=_NUMBER,
        hash=_HASH,
        rows={"type": "object", "description": "First and last row of the journal."},
        window={"type": "object", "description": "The time that was computed over."},
        versions={"type": "object", "description": "Of code and data, by name."},
    ),
    "Alert": _object(
        entry=_NUMBER,
        at=_TIME,
        change=WORD,
        by={"type": "string", "enum": ["detector", "operator"]},
        name={"type": "string", "description": "Of an operator who chose to be named."},
        text={"type": "string", "description": "What the operator says of it."},
        called={"type": "boolean", "description": "Subscribers were called."},
    ),
    "Incident": _object(
        id={"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        kind={"type": "string", "enum": list(KINDS)},
        label=WORD,
        state={"type": "string", "enum": ["suspected", "confirmed", "closed", "withdrawn"]},
        detected={"type": "string", "enum": ["suspected", "confirmed", "closed", "withdrawn"]},
        confirmed_by=_list({"type": "string", "enum": ["detector", "operator"]}),
        withdrawn_by={"type": "string", "enum": ["", "detector", "operator"]},
        operator=_OPERATOR,
        scope=_object(**_CELL, service=WORD),
        title={"type": "string", "description": "Of the service; empty for a network silence."},
        sentence=WORD,
        started=ref("Bracket"),
        ended=_SPAN | {"type": ["object", "null"]},
        suspected=_MAYBE_TIME,
        confirmed=_MAYBE_TIME,
        closed=_MAYBE_TIME,
        layer=WORD,
        method=WORD,
        confidence=_CONFIDENCE,
        parts=_list(ref("Part")),
        turns=_list(ref("Turn")),
        hints=_list(WORD),
        held=_list(WORD),
        evidence=_list(ref("Evidence")),
        alerts=_list(ref("Alert")),
        updated=_TIME,
        links=_object(self=WORD, page=WORD, log=WORD),
        corroboration=_list(ref("Annotation")),
    ),
    "Annotation": _object(
        source={"type": "string", "enum": ["ioda", "radar", "ris"]},
        signal=WORD,
        entity=_object(country=WORD, asn={"type": "integer"}),
        said=_TIME,
        window=_object(since=_TIME, until=_TIME),
        what={"type": "string", "enum": ["agrees", "disagrees", "nothing_to_say"]},
        why=WORD,
        figures={"type": "object", "description": "Shares of what was expected, by name."},
        url=WORD,
        attribution={"type": "string", "description": "To be shown with it."},
    ),
    "Incidents": _object(
        k_anonymity={"type": "integer"},
        incidents=_list(ref("Incident")),
        next={"type": ["string", "null"]},
    ),
    "LogEntry": _object(
        format={"type": "integer"},
        number=_NUMBER,
        before=_HASH,
        body={"type": "object"},
        signature={"type": "string", "description": "Ed25519, base64."},
    ),
    "Log": _object(
        entries=_list(ref("LogEntry")),
        head=_HASH,
        total={"type": "integer", "minimum": 0},
        public_key={"type": "string", "description": "Ed25519, hex; empty without a detector."},
        next={"type": ["integer", "null"], "description": "`after` of the next page."},
    ),
    "Blindness": _object(
        at=_TIME,
        since=_TIME,
        until=_TIME,
        k_anonymity={"type": "integer"},
        blind=_list(
            _object(
                **{"from": _TIME},
                until=_MAYBE_TIME,
                because=WORD,
                sentence=WORD,
                country=WORD,
            )
        ),
        complete={"type": "boolean", "description": "False: the oldest are left out."},
        countries=_list(
            _object(country=WORD, title=WORD, vantages=_BAND, enough={"type": "boolean"})
        ),
    ),
    "Dumps": _object(
        dictionary=WORD,
        k_anonymity={"type": "integer"},
        files=_list(
            _object(
                name=WORD,
                day={"type": "string", "format": "date"},
                revision=_NUMBER,
                rows=_NUMBER,
                bytes=_NUMBER,
                sha256=_HASH,
                written=_TIME,
                url=WORD,
            )
        ),
    ),
    "Dictionary": _object(
        title=WORD,
        about=WORD,
        revisions=WORD,
        schema={"type": "integer"},
        row=_list(WORD),
        columns=_list(_object(name=WORD, type=WORD, unit=WORD, meaning=WORD)),
        k_anonymity={"type": "integer"},
    ),
    "JsonFeed": {
        "type": "object",
        "description": "JSON Feed 1.1",
        "required": ["version", "title", "items"],
    },
    "Measurement": {
        "type": "object",
        "required": ["id", "started", "vantage", "verdicts", "observations"],
        "properties": {
            "id": WORD,
            "started": _TIME,
            "vantage": {"type": "object"},
            "verdicts": _list({"type": "object", "required": ["state", "rule", "layer", "method"]}),
            "observations": _list({"type": "object", "required": ["operation", "failure"]}),
        },
    },
    "Measurements": _object(
        measurements=_list(ref("Measurement")), next={"type": ["string", "null"]}
    ),
    "Alive": _object(alive={"type": "boolean"}),
    "Ready": _object(ready={"type": "boolean"}, problems=_list(WORD)),
}
