"""Types of single fields, with their constraints in JSON Schema."""

from typing import Annotated

from msgspec import Meta

Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
License = Annotated[str, Meta(description="Of this collector's own data; SPDX identifier.")]
Day = Annotated[str, Meta(extra_json_schema={"format": "date"})]
EntryNumber = Annotated[int, Meta(ge=1)]
HexHash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Asn = Annotated[int, Meta(description="0: all")]
CountBand = Annotated[str, Meta(examples=["0", "5-9", "10-19", "20-49", "50+"])]
CountFloor = Annotated[
    int,
    Meta(
        ge=0,
        description="Lower bound of the count's band (0, 5, 10, 20, 50); exact if k_anonymity is "
        "1. 0: nobody, or too few to be shown; the two look the same.",
    ),
]
Confidence = Annotated[
    float,
    Meta(
        ge=0,
        le=1,
        description="In tenths, unless k_anonymity is 1. That of a cell follows from the bands of "
        "its counts.",
    ),
]
IncidentStateName = Annotated[
    str, Meta(extra_json_schema={"enum": ["suspected", "confirmed", "closed", "withdrawn"]})
]
IncidentKindName = Annotated[
    str,
    Meta(
        extra_json_schema={
            "enum": [
                "network_silence",
                "service_blocking",
                "throttling",
                "partial",
                "isolation",
                "recovery",
                "collector_blocked",
                "power",
            ]
        }
    ),
]
Author = Annotated[str, Meta(extra_json_schema={"enum": ["detector", "operator"]})]
