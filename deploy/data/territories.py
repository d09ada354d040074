"""Make http/territories.tab: names of countries in the pages' languages, from CLDR.

    python -m pip install babel
    python deploy/data/territories.py > territories.tab

Run by hand when CLDR changes; the collector itself needs no Babel.
"""

import sys
from importlib.metadata import version

from babel import Locale

NOT_COUNTRIES = {"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"}
LANGS = ("ru", "kk", "fa")


def main() -> None:
    names = {lang: Locale(lang).territories for lang in LANGS}
    sys.stdout.write(
        f"# Names of countries from Unicode CLDR by Babel {version('babel')}, Unicode License v3, "
        "https://www.unicode.org/license.txt; made by deploy/data/territories.py.\n"
        "# code\tru\tkk\tfa\n"
    )
    for code in sorted(code for code in names["ru"] if len(code) == 2 and code.isalpha()):
        if code not in NOT_COUNTRIES:
            translations = (names[lang].get(code, "") for lang in LANGS)
            sys.stdout.write("\t".join((code, *translations)) + "\n")


if __name__ == "__main__":
    main()
