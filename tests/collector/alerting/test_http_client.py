"""Messages reach real servers in each kind's format; bad servers cost little."""

import base64
import hashlib
import hmac
import json
import resource
import zlib
from dataclasses import replace
from typing import Any, cast
from urllib.parse import unquote

import pytest

from heliograph_collector.alerting.dispatcher import Transports
from heliograph_collector.alerting.email import SmtpSender
from heliograph_collector.alerting.http_client import DeliveryError, HttpSender
from heliograph_collector.alerting.message import build_sample
from heliograph_collector.alerting.payloads import build_request
from heliograph_collector.alerting.service import open_transports
from heliograph_collector.config import outgoing_http
from heliograph_collector.config.outgoing_http import is_public, open_session
from heliograph_collector.config.receivers import IncidentAlert, Receiver, ReceiverKind
from support.fake_feed import NOW_US
from support.receivers import Rebinding, receiving

KEY = b"s" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
SAMPLE = build_sample("msg_1", "2022-01-05T13:43:20Z")
BASE = "https://sun.example.org"


def to(url: str, kind: ReceiverKind = ReceiverKind.WEBHOOK, **more: Any) -> Receiver:
    return Receiver(name="desk", kind=kind, url=url, **{"private": True, **more})


async def deliver(receiver: Receiver, secret: str = SECRET, deadline_s: float = 20.0) -> str:
    async with open_session(is_private=False) as public, open_session(is_private=True) as private:
        ways = transports(HttpSender(public, private, deadline_s), secret)
        return (await ways.deliver(receiver, SAMPLE, NOW_US)).summary


def transports(sender: HttpSender, secret: str = SECRET) -> Transports:
    return Transports(http=sender, mail=SmtpSender(), base=BASE, secrets={"desk": secret})


async def test_a_webhook_is_signed_as_the_standard_says() -> None:
    async with receiving() as desk:
        assert await deliver(to(f"{desk.origin}/hook?of=us")) == "answered 200"
    ((method, path, headers, body),) = desk.came
    assert (method, path) == ("POST", "/hook?of=us")
    stamp = headers["webhook-timestamp"]
    assert (headers["webhook-id"], stamp) == ("msg_1", str(NOW_US // 1_000_000))
    signed = hmac.new(KEY, f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(signed).decode()
    told = json.loads(body)
    assert (told["type"], told["version"], told["more"]) == ("incidents.sample", 1, 0)
    assert told["alerts"][0]["incident"]["sentence"].startswith("This is a test")
    assert told["base"] == BASE


async def test_chats_get_it_in_their_own_shape() -> None:
    async with receiving() as chat:
        await deliver(to(f"{chat.origin}/alarms", ReceiverKind.NTFY), "tk_1")
        await deliver(to(chat.origin, ReceiverKind.MATRIX, room="!abc:example.org"), "syt_1")
        await deliver(to("", ReceiverKind.SLACK), f"{chat.origin}/services/T/B/x")
        telegram_to = to(chat.origin, ReceiverKind.TELEGRAM, room="@sun_alerts")
        await deliver(telegram_to, "123:Ab-c_")
        await deliver(to(chat.origin, ReceiverKind.MASTODON), "post_1")
    ntfy, matrix, slack, telegram, mastodon = chat.came
    assert ntfy[:2] == ("POST", "/")
    told = json.loads(ntfy[3])
    assert (told["topic"], told["priority"]) == ("alarms", 4)
    assert told["click"] == f"{BASE}/"
    path = unquote(matrix[1])
    assert matrix[0] == "PUT"
    assert path.endswith("/rooms/!abc:example.org/send/m.room.message/msg_1")
    assert matrix[2]["authorization"] == "Bearer syt_1"
    assert json.loads(matrix[3])["msgtype"] == "m.text"
    assert slack[1] == "/services/T/B/x"
    assert "nothing has happened" in json.loads(slack[3])["text"]
    assert telegram[:2] == ("POST", "/bot123:Ab-c_/sendMessage")
    told = json.loads(telegram[3])
    assert (told["chat_id"], told["disable_notification"]) == ("@sun_alerts", False)
    assert "nothing has happened" in told["text"]
    assert mastodon[:2] == ("POST", "/api/v1/statuses")
    assert mastodon[2]["authorization"] == "Bearer post_1"
    assert mastodon[2]["idempotency-key"] == "msg_1", "a try after a lost answer is no second post"
    assert json.loads(mastodon[3])["visibility"] == "public"


@pytest.mark.parametrize("length", [10, 5_000])
def test_a_public_post_is_short_and_keeps_its_link(length: int) -> None:
    (alert,) = SAMPLE.alerts
    incident = {**alert["incident"], "sentence": "Д" * length}
    message = replace(SAMPLE, alerts=[cast("IncidentAlert", {**alert, "incident": incident})])
    receiver = to("https://social.example.org", ReceiverKind.MASTODON)
    request = build_request(receiver, "t", message, is_quiet=True, base=BASE, now_us=NOW_US)
    told = json.loads(request.body)
    assert len(told["status"]) <= 500
    assert told["status"].endswith(f"\n{BASE}/")
    assert told["status"].startswith("ДДДДДДДДДД")
    assert told["visibility"] == "unlisted"


def test_a_token_cannot_lead_elsewhere() -> None:
    receiver = to("https://api.telegram.org", ReceiverKind.TELEGRAM, room="1")
    request = build_request(
        receiver, "1:a/../../x?y#z", SAMPLE, is_quiet=True, base=BASE, now_us=NOW_US
    )
    assert request.url == "https://api.telegram.org/bot1:a%2F..%2F..%2Fx%3Fy%23z/sendMessage"
    assert "1:a" not in repr(request)


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ({"status": 500}, "answered 500"),
        ({"status": 302, "headers": {"Location": "/on"}}, "a redirect, which is not followed"),
        ({"hang": True}, "no whole answer in 0.3 s"),
        ({"status": 500, "body": 10_000_000}, "answered 500"),
    ],
    ids=["fails", "redirects", "hangs", "fails at length"],
)
async def test_bad_receivers_are_told_in_a_sentence(ways: dict[str, Any], said: str) -> None:
    async with receiving(**ways) as desk:
        with pytest.raises(DeliveryError, match=said):
            await deliver(to(desk.origin), deadline_s=0.3 if "hang" in ways else 20)
        assert len(desk.came) == 1, "and nothing is followed"


@pytest.mark.long
async def test_a_packed_bomb_in_thanks_is_not_unpacked() -> None:
    """300 kB that unpack to 300 MB; they are read as what they are, bytes."""
    squeezer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(squeezer.compress(bytes(1_000_000)) for _ in range(300)) + squeezer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with receiving(headers={"Content-Encoding": "gzip"}, content=bomb) as desk:
        assert await deliver(to(desk.origin)) == "answered 200"
    assert desk.came[0][2]["accept-encoding"] == "identity"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32_000, "KiB"


async def test_long_thanks_are_not_read_and_a_closed_port_is_told() -> None:
    async with receiving(body=10_000_000) as desk:
        assert await deliver(to(desk.origin)) == "answered 200"
    with pytest.raises(DeliveryError, match="no connection"):
        await deliver(to(desk.origin))


async def test_a_receiver_may_not_lead_into_our_own_networks() -> None:
    """A receiver may not be in our networks, by address, name, or later redirect."""
    async with receiving() as inside:
        port = inside.origin.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"):
            refusal = r"not public|no public|leads nowhere|address is none"
            with pytest.raises(DeliveryError, match=refusal):
                await deliver(to(f"http://{host}:{port}/", private=False))
        async with open_session(is_private=False, resolver=Rebinding("127.0.0.1")) as public:
            ways = transports(HttpSender(public, public))
            with pytest.raises(DeliveryError, match="no public address"):
                await ways.deliver(to("http://a.example/", private=False), SAMPLE, NOW_US)
        assert inside.came == []


async def test_a_name_that_changes_after_the_check_leads_nowhere_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that changes after the check leads nowhere else: the address is kept."""
    monkeypatch.setattr(outgoing_http, "is_public", lambda host: host == "127.0.0.2")
    async with receiving() as inside:
        rebinding = Rebinding("127.0.0.2", "127.0.0.1")
        receiver = to(inside.origin.replace("127.0.0.1", "a.example"), private=False)
        async with open_session(resolver=rebinding) as public:
            ways = transports(HttpSender(public, public, deadline_s=0.3))
            with pytest.raises(DeliveryError, match="no connection"):
                await ways.deliver(receiver, SAMPLE, NOW_US)
        assert (rebinding.asked, inside.came) == (1, [])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        *[
            (one, False)
            for one in (
                "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1",
                "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1",
                "240.0.0.1", "ff02::1", "fec0::1", "192.0.2.1", "", "localhost",
            )
        ],
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_the_collectors_own_sessions_are_guarded() -> None:
    async with receiving() as inside, open_transports("", {"desk": SECRET}) as ways:
        with pytest.raises(DeliveryError, match="`private: true` would allow it"):
            await ways.deliver(to(inside.origin, private=False), SAMPLE, NOW_US)
        assert inside.came == []
