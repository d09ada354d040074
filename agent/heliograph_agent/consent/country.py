"""Name a country in the reader's language, by the shipped ISO 3166-1 codes.

The names are those of CLDR 48, as Babel has them; a test compares the codes.
"""

from importlib.resources import files

from heliograph.translation import language_in_use

NAMES = "country_names.tsv"


def name_country(code: str) -> str:
    """Return the country's name, or the code where the list has none."""
    head, *rows = files(__package__).joinpath(NAMES).read_text("utf-8").splitlines()
    language = language_in_use()
    columns = head.split("\t")
    column = columns.index(language) if language in columns else columns.index("en")
    prefix = f"{code}\t"
    return next((row.split("\t")[column] for row in rows if row.startswith(prefix)), code)
