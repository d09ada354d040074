"""Lists of fingerprints: OONI's files, errors with their place, import, counts."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from heliograph.observation import Dns, DnsAnswer, Http
from heliograph_collector.cli import main
from heliograph_collector.judge.fingerprints import FingerprintScope
from heliograph_collector.judge.fingerprints.library import FingerprintLibrary
from heliograph_collector.judge.fingerprints.list_reader import (
    MAX_ROWS,
    FingerprintError,
    parse_list,
)
from heliograph_collector.judge.fingerprints.page_text import normalize_markup
from heliograph_collector.judge.fingerprints.pattern import (
    PatternError,
    PatternType,
    compile_pattern,
)

HEAD = (
    "name,scope,other_names,location_found,pattern_type,pattern,confidence_no_fp,"
    "expected_countries,source,exp_url,notes\n"
)
EXP_URL = "https://explorer.ooni.org/measurement/20200215T045010Z_AS28890_zMSK?input=http://a.ru/"
ROWS = (
    'x.a,isp,"x.b,x.c",header.location,prefix,http://blocked.isp.example,5,"RU,BY",ooni,'
    f'{EXP_URL},"a, b"\n'
    'x.d,nat,,body,contains,"<h1 class=""t"">The Ministry of Truth ordered it</h1>",10,RU,,,\n'
    'x.e,fp,,body,regexp,You don.t have permission .*on this server\\.<P>,5,,censored planet,,\n'
    "x.f,isp,,header.via,full,1.1 box.example,5,RU,ooni,,\n"
    'x.g,inst,,body,contains,"<title>Page Restricted</title>\n",5,,,,\n'
    'x.h,nat,,body,contains,Acceso Denegado,5,,censored planet,,\n'
    "x.i,br,,dns,full,0.0.0.0,10,,,,\n"
    "x.j,nat,,dns,full,192.0.2.9,10,\",ZZ\",,,\n"
)  # fmt: skip
PAGE = Http(method="GET", url="http://www.target.example/", status=200)


def test_columns_of_ooni() -> None:
    lines = parse_list("fingerprints_http.csv", (HEAD + ROWS).encode())
    assert [line.name for line in lines] == [f"x.{letter}" for letter in "adefghij"]
    assert [line.scope for line in lines] == [
        *(
            FingerprintScope.PROVIDER,
            FingerprintScope.NATIONAL,
            FingerprintScope.INNOCENT,
            FingerprintScope.PROVIDER,
            FingerprintScope.INSTITUTION,
        ),
        *(FingerprintScope.VAGUE, FingerprintScope.VAGUE, FingerprintScope.NATIONAL),
    ]
    assert (lines[0].countries, lines[0].date, lines[0].source) == (
        ("RU", "BY"),
        "2020-02-15",
        "ooni",
    )


@pytest.mark.parametrize("form", ["list", "lines"])
def test_json_with_the_same_keys(form: str) -> None:
    rows = [
        {"name": "x.a", "scope": "nat", "location_found": "body", "pattern_type": "contains",
         "pattern": "blocked.example/why", "expected_countries": ["RU"], "confidence_no_fp": 5},
        {"name": "x.b", "scope": "isp", "location_found": "dns", "pattern_type": "full",
         "pattern": "192.0.2.1", "expected_countries": "KZ", "exp_url": None},
    ]  # fmt: skip
    text = json.dumps(rows) if form == "list" else "\n".join(map(json.dumps, rows))
    lines = parse_list("fingerprints.json", text.encode())
    assert [(x.scope, x.countries) for x in lines] == [
        (FingerprintScope.NATIONAL, ("RU",)),
        (FingerprintScope.PROVIDER, ("KZ",)),
    ]


def test_lines_of_censored_planet() -> None:
    text = '{"fingerprint": "c_isp_ru_yota", "pattern": "forbidden.yota.example"}\n'
    text += '{"fingerprint": "x_generic_404", "pattern": "404 Not Found"}\n'
    lines = parse_list("blockpage_signatures.json", text.encode())
    assert [line.scope for line in lines] == [FingerprintScope.PROVIDER, FingerprintScope.VAGUE]


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.csv", "name,scope\n", "a.csv:1: the column location_found is missing"),
        ("a.csv", f"{HEAD}x,isp,,body\n", "a.csv:2: 4 columns, the first line has 11"),
        ("a.csv", f"{HEAD}x,who,,body,full,y,5,,,,\n", "a.csv:2: column scope: 'who' is none of"),
        ("a.csv", f"{HEAD}x,isp,,foot,full,y,5,,,,\n", "a.csv:2: column location_found: 'foot'"),
        ("a.csv", f"{HEAD}x,isp,,body,like,y,5,,,,\n", "a.csv:2: column pattern_type: 'like'"),
        ("a.csv", f"{HEAD}x,isp,,body,full,,5,,,,\n", "a.csv:2: column pattern: it is empty"),
        ("a.csv", f"{HEAD}x,isp,,body,full,y,5,Russia,,,\n", "a.csv:2: column expected_countries"),
        (
            "a.csv",
            f"{HEAD}x,isp,,body,regexp,(a+)+$,5,,,,\n",
            "a.csv:2: column pattern: '(' is not",
        ),
        ("a.csv", f'{HEAD}x,isp,,body,full,"y', "a.csv:2: this is not CSV"),
        ("a.csv", f'{HEAD}x,isp,,body,full,"a\nb",5,,,,\nx,isp,,foot,full,y,5,,,,\n', "a.csv:4:"),
        ("a.csv", HEAD, "a.csv: it has no fingerprint"),
        ("a.json", '[{"name": "x"}, 5]', "a.json:1: column location_found"),
        ("a.json", '{"name": "x"\n', "a.json:1: this is not JSON"),
        ("a.yml", "- {id: x, scope: national}", "a.yml: "),
        ("a.yml", "- 2020-13-99", "a.yml: month must be in 1..12"),
        ("a.txt", "x", "a.txt: its ending is none of"),
        ("a.csv", b"\xff\n", "a.csv:1: it is not UTF-8"),
        ("a.csv", HEAD + "x,isp,,body,full,y,5,,,,\n" * (MAX_ROWS + 1), f"more than {MAX_ROWS}"),
        ("a.csv", b"x" * (9 << 20), "a.csv: it has more than 8 MiB"),
    ],
)
def test_an_error_names_its_place(name: str, content: str | bytes, place: str) -> None:
    encoded = content.encode() if isinstance(content, str) else content
    with pytest.raises(FingerprintError) as caught:
        parse_list(name, encoded)
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)


def test_import_replaces_a_list_and_a_bad_one_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, list[dict[str, Any]], str]:
        code = main(["fingerprints", *words, "--json", "--data", str(tmp_path / "data")])
        output = capsys.readouterr()
        return code, json.loads(output.out or "[]"), output.err

    source = tmp_path / "fingerprints_http.csv"
    source.write_text(HEAD + ROWS)
    _, (summary,), _ = run("import", str(source))
    assert (summary["name"], summary["fingerprints"], summary["unusable"]) == (source.name, 8, 1)
    assert summary["scopes"]["provider"] == 2
    assert summary["years"] == {"2020": 1, "unknown": 7}

    source.write_text(HEAD + "x,who,,body,full,y,5,,,,\n")
    assert run("import", str(source))[0] == 1
    assert run("list")[1][-1] == summary

    lines = tmp_path / "fingerprints_http.jsonl"
    lines.write_text('{"name": "x", "location_found": "body", "pattern": "blocked.example"}')
    run("import", str(lines))
    imported = [s for s in run("list")[1] if s["bundle"]]
    assert [(s["name"], s["fingerprints"]) for s in imported] == [(lines.name, 1)], "once"
    code, _, error = run("import", str(lines), "--name", "../../etc/passwd")
    assert code == 1
    assert "name" in error


@dataclass
class HandLists:
    """Lists that a test holds."""

    lists: dict[str, str] = field(default_factory=dict)

    def read_stamp(self) -> object:
        return tuple(self.lists)

    def read_lists(self) -> Iterator[tuple[str, bytes]]:
        return ((name, content.encode()) for name, content in self.lists.items())


def test_a_watched_source_is_taken_up_and_a_bad_list_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    library = FingerprintLibrary()
    source = HandLists()
    library.watch(source)
    page = Http(method="GET", url=PAGE.url, status=302, location="http://blocked.isp.example/")
    dns = Dns(
        engine="system",
        resolver="",
        name="x",
        query_type="A",
        answers=(DnsAnswer(type="A", data="192.0.2.9"),),
    )
    assert library.index.find_page(page) is None
    source.lists |= {"new.csv": HEAD + ROWS, "bad.csv": "name\n"}
    library.refresh()
    found = library.index.find_page(page)
    assert found is not None
    assert found.name == "x.a"
    answer = library.index.find_answer(dns)
    assert answer is not None
    assert answer.name == "x.j"
    assert "bad.csv:1" in caplog.text
    library.watch(HandLists())
    assert library.index.find_page(page) is None


@pytest.mark.parametrize(
    ("pattern", "page"),
    [  # all regular expressions of OONI's list
        ("URL .* Sp.*er Gate", "The URL x is closed by SpIDer Gate"),
        ("please.*http://www\\.internet\\.gov\\.sa", "please see http://www.internet.gov.sa"),
        ("<span style=.*color:red;.*>\\(\u00e6", "<span style=' color:red;'>(\u00e6"),
        ("<p>Sorry, but the URL you.* requesting is", "<p>Sorry, but the URL you're requesting is"),
        ("<title>D.*Marie Hooks", "<title>Dr. Marie Hooks"),
        ("<meta name=.*twitter:card", "<meta name='twitter:card'"),
        ("Set-Cookie:.*domain=\\.", "set-cookie: a; domain=.x"),
        ("<br><br>.* \\+0300", "<br> <br>12:00 +0300"),
        ('{"msg":.*"id":', '{"msg": "x", "id": 5}'),
        ("\ufffd.*\ufffd", "\ufffd a \ufffd"),
        ("You don.t have permission to access.*on this server\\.<P>",
         "You don&#39;t have permission to access / on this server. <p>"),
        ("U\\.S\\..*Command", "the U.S. Pacific Command"),
        ("<script>document\\.location = .*https://qua\\.express-cash\\.pt/",
         "<script>document.location = 'https://qua.express-cash.pt/"),
        ("<p>The document has moved <a href=.*here</a>\\.</p>",
         "<p>The document has moved <a href='/x'>here</a>.</p>"),
    ],
)  # fmt: skip
def test_regular_expressions(pattern: str, page: str) -> None:
    compiled = compile_pattern(PatternType.REGEXP, pattern)
    assert compiled.find_in(normalize_markup(f"<html>{page}</html>"))
    assert not compiled.find_in(normalize_markup("<html>Nothing of the kind</html>"))


@pytest.mark.parametrize(
    "pattern", ["(a|b)", "a+b", "a?", "[ab]", "a{3}", "^a", ".*", "a\\w", "a*"]
)
def test_what_could_stall_the_judge_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(PatternType.REGEXP, pattern)
