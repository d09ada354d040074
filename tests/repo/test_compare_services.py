"""The list's watcher prints differences to public clients for its maintainer.

The excerpts have the form of each client's source, with a few of its facts.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "data" / "compare_services.py"
LIST = """
version: "1"
services:
  telegram:
    title: Telegram
    endpoints:
      - {id: dc1, kind: mtproto, host: 149.154.175.50, port: 80}
      - {id: dc2-6, kind: mtproto, host: "2001:67c:4e8:f002::a", port: 443}
      - {id: old, kind: mtproto, host: 192.0.2.9, port: 443}
  signal:
    title: Signal
    endpoints:
      - {id: chat, kind: https, host: chat.signal.org}
      - {id: built-in, kind: tls, host: chat.signal.org, port: 443, addresses: [76.223.66.180]}
  whatsapp:
    title: WhatsApp
    endpoints:
      - {id: websocket, kind: websocket, host: web.whatsapp.com, path: /ws/chat}
  tor:
    title: Tor
    endpoints:
      - {id: moria1, kind: http, host: 128.31.0.39, port: 9231}
"""
EXCERPTS = {
    "tdesktop/Telegram/SourceFiles/mtproto/mtproto_dc_options.cpp": """
        { 1, "149.154.175.50" , 443 },
        { 2, "2001:067c:04e8:f002:0000:0000:0000:000a", 443 },
        kBuiltInDcsTest
        { 1, "149.154.175.10" , 443 },
    """,
    "telethon/telethon/client/telegrambaseclient.py": "DEFAULT_IPV4_IP = '149.154.167.51'\n",
    "libsignal/rust/net/src/env.rs": """
        const DOMAIN_CONFIG_CHAT: DomainConfig = DomainConfig {
            ip_v4: &[ip_addr!(v4, "76.223.66.180"), ip_addr!(v4, "15.197.251.99")],
            hostname: "grpc.chat.signal.org",
        };
        const DOMAIN_CONFIG_CHAT_STAGING: DomainConfig = DomainConfig {
            ip_v4: &[ip_addr!(v4, "76.223.72.142")],
            hostname: "grpc.chat.staging.signal.org",
        };
    """,
    "signal-android/app/build.gradle.kts": '"https://chat.signal.org"',
    "whatsmeow/socket/constants.go": 'URL = "wss://web.whatsapp.com/ws/chat"',
    "whatsmeow/download.go": '"mmg.whatsapp.net"',
    "tor/src/app/config/auth_dirs.inc": """
        "moria1 orport=9201 " "128.31.0.39:9231 1A25 C635",
        "tor26 orport=443 " "ipv6=[2a02:16a8:662:2203::1]:443 " "217.196.147.77:80 FAA4",
    """,
}
DIFFERENCES = {
    "tdesktop": [
        "telegram: tdesktop has 149.154.175.50 on port 443, the list does not",
        "telegram: the list has 192.0.2.9, no given checkout does",
    ],
    "telethon": [
        "telegram: telethon has 149.154.167.51, the list does not",
        "telegram: the list has 149.154.175.50, no given checkout does",
        "telegram: the list has 192.0.2.9, no given checkout does",
        "telegram: the list has 2001:67c:4e8:f002::a, no given checkout does",
    ],
    "libsignal": [
        "signal: libsignal has 15.197.251.99, the list does not",
        "signal: libsignal has grpc.chat.signal.org, the list does not",
        "signal: the list has chat.signal.org, no given checkout does",
    ],
    "signal-android": ["signal: the list has 76.223.66.180, no given checkout does"],
    "whatsmeow": ["whatsapp: whatsmeow has mmg.whatsapp.net, the list does not"],
    "tor": [
        "tor: tor has 217.196.147.77 port 80, the list does not",
        "tor: tor has 2a02:16a8:662:2203::1 port 443, the list does not",
    ],
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_services", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "services.yml").write_text(LIST, encoding="utf-8")
    for name, text in EXCERPTS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def arguments(folder: Path, *clients: str) -> list[str]:
    checkouts = [f"--{client}={folder / client}" for client in clients]
    return [f"--services={folder / 'services.yml'}", *checkouts]


@pytest.mark.parametrize("client", DIFFERENCES)
def test_what_a_client_names_and_the_list_does_not_is_printed(
    script: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str], client: str
) -> None:
    assert script.main(arguments(folder, client)) == 1
    assert capsys.readouterr().out.splitlines() == DIFFERENCES[client]


def test_two_checkouts_of_one_service_are_read_together(
    script: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main(arguments(folder, "libsignal", "signal-android"))
    assert "the list has" not in capsys.readouterr().out


def test_a_file_that_moved_or_changed_its_form_is_no_agreement(
    script: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "telethon" / "telethon" / "client" / "telegrambaseclient.py"
    file.write_text("DEFAULT = None\n", encoding="utf-8")
    assert script.main(arguments(folder, "telethon")) == 2
    assert "mend SOURCES" in capsys.readouterr().err
    file.unlink()
    assert script.main(arguments(folder, "telethon")) == 2
    assert file.name in capsys.readouterr().err
