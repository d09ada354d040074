"""Portals, wrong clocks and the resolver's network, as a document shows them."""

from typing import Any

import pytest

from heliograph.observation import Link
from heliograph.units import DAY_US
from support.ooni import RST, Json, frame, import_document, judge_document, request, web

A = "93.184.216.34"
END, CLEAR = f"{A}:80", "http://www.example.com/"
PAGE = {"status": 200, "title": "Default Web Page", "bytes": 1533}


def fetched(page: Json, *, helper_title: str = "Default Web Page") -> Json:
    """A page in clear, where the helper got the site's own."""
    here = [{"system": A}, {f"connect {END}": "ok"}, {f"get {END}": page}]
    control = {"dns": A, "ends": {END: "ok"}, "page": PAGE | {"title": helper_title}}
    return web({"url": CLEAR, "here": here, "control": control}, "0.4")


def leads(location: str) -> Json:
    return fetched({"status": 302, "location": location})


def shows(title: str = "", text: str = "", status: int = 200) -> Json:
    return fetched({"status": status, "title": title, "text": text, "bytes": 600})


ROUTER = "http://192.168.1.1"
REFRESH = f"<meta http-equiv='refresh' content='0;url={ROUTER}/login.html'>"
PORTALS = [
    shows(status=511),
    shows(text="<!-- <WISPAccessGatewayParam> -->"),
    leads(f"{ROUTER}:3990/prelogin?res=notyet&uamip=192.168.1.1&challenge=a&nasid=cafe"),
    leads("https://login.venue.example/start?cmd=login&mac=aa:bb:cc:dd:ee:ff&url=http://x"),
    leads(f"{ROUTER}/guest/s/default/?id=00:11:22:33:44:55&ap=66:77:88:99:aa:bb&t=1&ssid=Cafe"),
    leads("https://n1.venue.example/splash/?node_mac=88:15:44:00:00:01&base_grant_url=x"),
    leads("http://captive.venue.example/"),
    leads("http://hotel-wifi.example/accept"),
    leads(f"{ROUTER}/login.html?redirect=www.example.com/"),
    leads("http://192.0.2.1/login.html?redirect=www.example.com/"),
    leads("http://gateway/logon"),
    leads("http://my.carrier.example/top-up/no-balance"),
    leads("http://kabinet.isp.example/oplata"),
    shows(text=REFRESH),
    shows(text="<script>window.location.href='http://hotspot.lan/'</script>"),
    shows(title="Welcome to our free Wi-Fi"),
]
OTHERS = [
    leads("http://blocked.isp.example/?url=http://www.example.com/"),
    leads("http://10.10.34.34/?type=Invalid"),
    leads("http://195.175.254.2/"),
    leads("http://82.114.160.98/webadmin/deny"),
    leads("http://www.isp.example/dot/?dpid=1"),
    leads("http://wifi.example.com/"),  # the site's own
    shows(title="Access to this site is forbidden by order of the regulator"),
    fetched(PAGE | {"title": "Hotspot Shield"}, helper_title="Hotspot Shield"),
    shows(title="Default Web Page"),
]


@pytest.mark.parametrize("measured", PORTALS, ids=range(len(PORTALS)))
def test_portal_is_a_captive_link(measured: Json) -> None:
    assert import_document(measured).record.link is Link.CAPTIVE
    found = judge_document(measured)
    assert (found["verdict"], found["rule"]) == ("unknown", "link.captive"), found


@pytest.mark.parametrize("measured", OTHERS, ids=range(len(OTHERS)))
def test_block_pages_and_sites_are_no_portals(measured: Json) -> None:
    assert import_document(measured).record.link is Link.ONLINE


def test_portal_makes_no_messenger_blocked() -> None:
    """A portal makes no messenger blocked, though it answers at every address."""
    login = {"status": 302, "location": f"{ROUTER}/login"}
    pages = [request(f"http://149.154.167.{n}/", login) for n in (50, 51)]
    pages.append(request("https://web.telegram.org/", RST))
    found = judge_document(frame("telegram", {"requests": pages}))
    assert (found["verdict"], found["rule"]) == ("unknown", "link.captive"), found


START = "2016-05-04 10:00:00"
DATE = "Fri, 04 May 2018 10:00:03 GMT"
UID, REPORT = "20180504100005.123456_IT_webconnectivity_0", "20180504T095900Z_webconnectivity_IT"
TWO_YEARS = 730


def dated(start: str, headers: Json, **base: object) -> Json:
    here = [{"system": A}, {f"connect {A}:443": "ok"}, {f"tls {A}:443": RST}]
    control = {"dns": A, "ends": {f"{A}:443": "ok"}, "page": {"status": 200, "headers": headers}}
    times = {"measurement_start_time": start, "report_id": "", "measurement_uid": ""}
    row = {"url": "https://www.example.com/", "here": here, "control": control}
    return web({**row, "base": times | base}, "0.4")


CLOCKS: list[tuple[str, Json, int | None]] = [
    ("the helper's page is dated", dated(START, {"Date": DATE}), TWO_YEARS),
    ("from a cache, with its age", dated(START, {"Date": DATE, "Age": "60"}), TWO_YEARS),
    ("right", dated("2018-05-04 10:00:00", {"Date": DATE}), 0),
    ("from a cache of hours ago", dated("2018-05-04 21:00:00", {"Date": DATE}), 0),
    ("ahead of its upload", dated("2029-05-04 10:00:00", {}, measurement_uid=UID), -4018),
    ("ahead of its report", dated("2029-05-04 10:00:00", {}, report_id=REPORT), -4018),
    ("long before its report", dated(START, {}, report_id=REPORT), TWO_YEARS),
    ("uploaded days later", dated("2018-04-30 10:00:00", {}, measurement_uid=UID), None),
    ("a long run", dated("2018-05-04 23:00:00", {}, report_id=REPORT), None),
    ("nothing is dated", dated(START, {}), None),
    ("a date that is none", dated(START, {"Date": "yesterday"}), None),
]


@pytest.mark.parametrize(("measured", "days"), [c[1:] for c in CLOCKS], ids=[c[0] for c in CLOCKS])
def test_clock_is_compared_with_those_of_servers(measured: Json, days: int | None) -> None:
    record = import_document(measured).record
    offset_us = record.measurement.clock_offset_us
    assert (None if offset_us is None else round(offset_us / DAY_US)) == days
    assert not record.is_time_bad, "it is placed where it happened"


@pytest.mark.parametrize(("said", "network"), [("AS15169", "AS15169"), ("AS0", ""), (None, "")])
def test_resolver_s_network_is_in_the_profile(said: Any, network: str) -> None:
    control = import_document(shows() | {"resolver_asn": said}).control
    assert control.profile.resolver_network == network
