"""Block pages and addresses in OONI's documents, through `import ooni --json`."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from heliograph_collector.cli import main

URL = "http://www.target.example/"
NAME = "www.target.example"


def build_document(
    body: str | dict[str, str], *, country: str = "RU", address: str = "5.6.7.8"
) -> dict[str, Any]:
    """Build a web_connectivity measurement whose helper gets another page."""
    response = {"code": 200, "headers": {"Content-Type": "text/html"}, "body": body}
    return {
        "test_name": "web_connectivity",
        "test_version": "0.4.2",
        "input": URL,
        "probe_cc": country,
        "probe_asn": "AS12389",
        "measurement_start_time": "2023-03-01 10:00:00",
        "test_start_time": "2023-03-01 10:00:00",
        "report_id": "20230301T100000Z_webconnectivity_RU_12389_n1_x",
        "test_keys": {
            "queries": [
                {"hostname": NAME, "query_type": "A", "engine": "system", "failure": None,
                 "answers": [{"answer_type": "A", "ipv4": address}]},
            ],
            "tcp_connect": [
                {"ip": address, "port": 80, "status": {"success": True, "failure": None}}
            ],
            "requests": [
                {"failure": None, "request": {"method": "GET", "url": URL}, "response": response}
            ],
            "control": {
                "dns": {"failure": None, "addrs": ["5.6.7.8"]},
                "tcp_connect": {"5.6.7.8:80": {"status": True, "failure": None}},
                "http_request": {
                    "failure": None, "status_code": 200, "title": "The free newspaper",
                    "body_length": 50_000, "headers": {"Content-Type": "text/html"},
                },
            },
        },
    }  # fmt: skip


def run_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], document: dict[str, Any]
) -> dict[str, Any]:
    file = tmp_path / "measurement.json"
    file.write_text(json.dumps(document))
    assert main(["import", "ooni", "--json", str(file), "--data", str(tmp_path / "data")]) == 0
    row: dict[str, Any] = json.loads(capsys.readouterr().out)
    return row


def test_a_page_known_by_an_address_in_its_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "<html><head><script>location.href='https://blocked.mts.ru/?h=x'</script></html>"
    row = run_import(tmp_path, capsys, build_document(body))
    assert (row["verdict"], row["confirmed"]) == ("blocked", True)
    assert row["fingerprint"] == "cl.isp_ru_mts_forward"


def test_a_page_in_the_charset_of_its_country(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "\u0414\u0430\u043d\u043d\u044b\u0439 \u0440\u0435\u0441\u0443\u0440\u0441 "
        "\u0437\u0430\u0431\u043b\u043e\u043a\u0438\u0440\u043e\u0432\u0430\u043d"
    )
    page = f"<meta http-equiv='Content-Type' content='text/html; charset=windows-1251'>{text}"
    encoded = base64.b64encode(page.encode("windows-1251")).decode()
    row = run_import(tmp_path, capsys, build_document({"format": "base64", "data": encoded}))
    assert (row["verdict"], row["fingerprint"]) == ("blocked", "cp.e_unk_ru_blocked")


def test_an_address_in_dns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = run_import(tmp_path, capsys, build_document("x", country="TR", address="195.175.254.2"))
    assert (row["verdict"], row["rule"]) == ("blocked", "dns.fingerprint")
    assert (row["confirmed"], row["fingerprint"], row["blocking"]) == (True, "ooni.tr_6", "dns")


def test_an_imported_list_counts_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = build_document("<p>Our Ministry of Truth, form 12-B, closed this page</p>")
    row = run_import(tmp_path, capsys, document)
    assert (row["confirmed"], row["fingerprint"]) == (False, "")
    lines = tmp_path / "fingerprints_http.csv"
    lines.write_text(
        "name,scope,other_names,location_found,pattern_type,pattern,confidence_no_fp,"
        "expected_countries,source,exp_url,notes\n"
        'new.line,nat,,body,contains,"Ministry of Truth, form 12-B",5,RU,ooni,,\n'
    )
    data = str(tmp_path / "data")
    assert main(["fingerprints", "import", str(lines), "--data", data]) == 0
    capsys.readouterr()
    row = run_import(tmp_path, capsys, document)
    assert (row["verdict"], row["confirmed"], row["fingerprint"]) == ("blocked", True, "new.line")
