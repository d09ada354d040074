"""The list `alerts` is read whole, and each mistake has file, line and key."""

import asyncio
from pathlib import Path

import pytest

from heliograph.yaml_document import YamlError
from heliograph_collector.cli import main
from heliograph_collector.config.receivers import HealthPolicy, ReceiverKind, SuspectedPolicy
from heliograph_collector.config.settings import load_config
from support.receivers import receiving

GOOD = """\
feed:
  url: https://sun.example.org
alerts:
  - name: newsroom
    kind: webhook
    url: https://desk.example.org/hook?a=b
    secret_file: keys/newsroom.secret
    countries: [KZ, IR]
    states: [confirmed]
  - name: night
    kind: email
    url: smtp://mail.example.org
    from: sun@example.org
    to: [night@example.org]
    suspected: quiet
    per_hour: 6
    gather_s: 300
    private: true
    health: only
    language: ru
  - {name: phone, kind: ntfy, url: "http://10.0.0.5/alarms", private: true}
  - {name: room, kind: matrix, url: "https://m.example.org/", room: "!a:example.org",
     secret_file: t}
  - {name: chat, kind: slack, secret_file: chat.url}
  - {name: channel, kind: telegram, room: "@sun_alerts", secret_file: t}
  - {name: fediverse, kind: mastodon, url: "https://social.example.org/", secret_file: t}
  - {name: switch, kind: heartbeat, url: "https://hc.example.org/ping/1"}
"""


def load(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "collector.yml"
    file.write_text(text)
    return file


def test_every_kind_of_receiver_is_read(tmp_path: Path) -> None:
    config = load_config(load(tmp_path, GOOD), {})
    newsroom, night, phone, room, chat, channel, fediverse, switch = config.alerts
    assert config.public_url == "https://sun.example.org"
    assert newsroom.secret_file == tmp_path / "keys" / "newsroom.secret"
    assert (newsroom.countries, newsroom.states) == (("KZ", "IR"), ("confirmed",))
    assert (night.suspected, night.per_hour) == (SuspectedPolicy.QUIET, 6)
    assert night.to == ("night@example.org",)
    assert phone.private
    assert night.private
    assert room.url == "https://m.example.org"
    assert (chat.kind, chat.url) == (ReceiverKind.SLACK, "")
    assert (night.language, phone.language) == ("ru", "en")
    assert (night.health, phone.health) == (HealthPolicy.ONLY, HealthPolicy.LEAVE_OUT)
    assert (channel.room, channel.url) == ("@sun_alerts", "https://api.telegram.org")
    assert fediverse.url == "https://social.example.org"
    assert switch.kind is ReceiverKind.HEARTBEAT


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("name: a, kind: webhok", "alerts[0].kind: 'webhok' must be one of webhook, email"),
        ("name: a, kind: ntfy, url: 'https://n/t', colour: red", "alerts[0].colour: unknown key"),
        ("name: a, kind: ntfy, url: 'https://n/t', to: [x]", "alerts[0].to: unknown key"),
        ("name: a, kind: webhook, url: 'https://n/t'", "the key secret_file is missing"),
        ("name: a, kind: ntfy, url: 'http://n/t'", "http:// only with private: true"),
        ("name: a, kind: ntfy, url: 'https://n/'", "must end with a topic"),
        ("name: a, kind: telegram, room: sun, secret_file: t", "room: 'sun' must be a chat"),
        ("name: a, kind: telegram, room: '@s/../x', secret_file: t", "must be a chat"),
        ("name: a, kind: mastodon, url: 'https://n', secret_file: t, health: too", "unknown key"),
        ("name: a, kind: slack", "wants either url or secret_file"),
        ("name: a, kind: heartbeat", "wants either url or secret_file"),
        ("name: a, kind: heartbeat, url: 'https://n/t', health: too", "health: unknown key"),
        ("name: a, kind: ntfy, url: 'https://n/t', language: de", "'de' must be one of en, fa, kk"),
        ("name: a, kind: slack, url: 'https://n/t', health: yes", "health: 'yes' must be one of"),
        ("name: A b, kind: slack, url: 'https://n/t'", "alerts[0].name: 'A b' must be a short"),
        ("name: a, kind: slack, url: 'https://n/t', countries: [kz]", "countries[0]: 'kz' must be"),
        ("name: a, kind: slack, url: 'https://n/t', states: [over]", "states[0]: 'over' must be"),
        ("name: a, kind: email, url: 'smtp://n', from: a@b, to: []", "to: must list 1 to 50"),
        ("name: a, kind: email, url: 'smtp+plain://n', from: a@b, to: [a@b]", "this machine only"),
        ("name: a, kind: email, url: 'smtp://n', from: a@b, to: ['a@b\\nBcc: c@d']", "to[0]: "),
    ],
)
def test_mistake_is_named_with_its_line(tmp_path: Path, item: str, said: str) -> None:
    file = load(tmp_path, f"alerts:\n  - {{{item}}}\n")
    with pytest.raises(YamlError) as found:
        load_config(file, {})
    assert str(found.value).startswith(f"{file}, line 2: alerts")
    assert said in str(found.value)


def test_names_are_unique_and_no_secret_is_shown(tmp_path: Path) -> None:
    twice = "alerts:\n" + "  - {name: a, kind: slack, url: 'https://n/secret'}\n" * 2
    with pytest.raises(YamlError, match="the name a stands twice"):
        load_config(load(tmp_path, twice), {})
    bad = "alerts:\n  - {name: a, kind: slack, url: 'ftp://n/secret'}\n"
    with pytest.raises(YamlError) as found:
        load_config(load(tmp_path, bad), {})
    assert "secret" not in str(found.value).replace(str(tmp_path), "")


def test_alerts_command_lists_and_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = load(tmp_path, GOOD)
    place = ["--config", str(file), "--data", str(tmp_path / "data")]
    assert main(["alerts", "list", *place]) == 0
    listed = capsys.readouterr().out
    assert "night@example.org by mail.example.org" in listed
    assert "/hook" not in listed
    assert main(["alerts", "test", "nobody", *place]) == 1
    assert "newsroom, night, phone" in capsys.readouterr().err
    assert main(["alerts", "test", "newsroom", *place]) == 1
    assert "cannot be read (No such file or directory): name a file" in capsys.readouterr().err
    assert main(["alerts", "secret", *place]) == 0
    made = capsys.readouterr().out
    assert made.startswith("whsec_")


async def test_alerts_test_sends_a_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with receiving() as phone:
        item = f"{{name: phone, kind: ntfy, url: '{phone.origin}/alarms', private: true}}"
        file = load(tmp_path, f"alerts:\n  - {item}\n")
        command = ["alerts", "test", "phone", "--config", str(file), "--data", str(tmp_path)]
        assert await asyncio.to_thread(main, command) == 0
        assert "phone was told: answered 200." in capsys.readouterr().out
        assert b"nothing has happened" in phone.came[0][3]
        phone.status = 403
        assert await asyncio.to_thread(main, command) == 1
        error = capsys.readouterr().err
        assert "phone was not told: answered 403: correct what its secret file holds." in error
    assert await asyncio.to_thread(main, command) == 1
    assert "no connection: check its host and port" in capsys.readouterr().err
