"""Licenses of a collector's data by SPDX identifier, with their texts."""

from collections.abc import Mapping
from types import MappingProxyType

# https://spdx.org/licenses/: the open ones that are made for data or works, not for programs.
LICENSES: Mapping[str, str] = MappingProxyType(
    {
        "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
        "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
        "CC-BY-NC-4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
        "CC-BY-NC-SA-4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/",
        "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
        "ODC-By-1.0": "https://opendatacommons.org/licenses/by/1-0/",
        "ODbL-1.0": "https://opendatacommons.org/licenses/odbl/1-0/",
        "PDDL-1.0": "https://opendatacommons.org/licenses/pddl/1-0/",
    }
)
