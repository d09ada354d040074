"""Register the messengers; many need only an entry here and one in `services.yml`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.experiments.entry import Category, ExperimentEntry
from heliograph.experiments.options import option
from heliograph.plan import Endpoint

# Seconds between two rounds of light checks. With five vantages in a cell a block is then found
# within 291 s (95th percentile of 120 in tests/scenarios/test_adaptive_testing.py).
LIGHT_S = 150
CORE_S = 3_600  # of the whole test of the largest three, which would else be a third of all bytes
_NUMBERED = re.compile(r"e\d+-")  # e1 … e16 are sampled; every other endpoint is always visited


@dataclass(frozen=True, slots=True, kw_only=True)
class MessengerConfig:
    """Configure the messengers that `services.yml` describes fully."""

    concurrency: int = option(4, "endpoints visited at a time", low=1, high=16)
    addresses: int = option(1, "IPv4 addresses of one name that are tried", low=1, high=8)
    light: bool = option(False, "one endpoint, drawn by chance, in place of all")

    def sample(self, endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
        """Return the endpoints that one run visits."""
        return tuple(endpoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramConfig(MessengerConfig):
    """Configure `telegram`."""

    concurrency: int = option(8, "endpoints visited at a time", low=1, high=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatsAppConfig(MessengerConfig):
    """Configure `whatsapp`."""

    # 29 endpoints of two addresses: four at a time, a blocked one took two minutes and a half.
    concurrency: int = option(16, "endpoints visited at a time", low=1, high=16)
    addresses: int = option(2, "IPv4 addresses of one name that are tried", low=1, high=8)
    chat_hosts: int = option(4, "how many of e1 … e16 are visited", low=1, high=64)

    def sample(self, endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
        """Sample the chat servers evenly, the same everywhere, as the control does.

        They have about four addresses together.
        """
        hosts = list(dict.fromkeys(e.host for e in endpoints if _NUMBERED.match(e.id)))
        count = min(self.chat_hosts, len(hosts))
        chosen = {hosts[index * len(hosts) // count] for index in range(count)}
        return tuple(e for e in endpoints if not _NUMBERED.match(e.id) or e.host in chosen)


def _messenger(name: str, title: str, *, ooni_test: str = "") -> ExperimentEntry:
    """Build the entry of a messenger whose endpoints are visited by kind only."""
    return ExperimentEntry(
        name=name,
        version=1,
        title=title,
        category=Category.MESSENGERS,
        config=MessengerConfig,
        target_kind="service",
        visitable=True,
        default_target=name,
        function="messengers",
        interval_s=7_200,  # a few of these use about 4 MB a day
        light_interval_s=LIGHT_S,
        ooni_test=ooni_test,
    )


ENTRIES = (
    ExperimentEntry(
        name="telegram",
        version=3,
        title="Telegram: every data centre by HTTP and by MTProto, and the web fronts",
        category=Category.MESSENGERS,
        config=TelegramConfig,
        target_kind="service",
        visitable=True,
        default_target="telegram",
        interval_s=CORE_S,
        light_interval_s=LIGHT_S,
        ooni_test="telegram",
        protocols={"mtproto": "MTProto"},
    ),
    ExperimentEntry(
        name="whatsapp",
        version=3,
        title="WhatsApp: chat servers, registration, web and media",
        category=Category.MESSENGERS,
        config=WhatsAppConfig,
        target_kind="service",
        visitable=True,
        default_target="whatsapp",
        interval_s=CORE_S,
        light_interval_s=LIGHT_S,
        ooni_test="whatsapp",
        protocols={"noise": "Noise"},
        replies={"server_hello": "ServerHello"},
    ),
    ExperimentEntry(
        name="signal",
        version=3,
        title="Signal: chat, contact discovery, storage, calls, attachments, updates",
        category=Category.MESSENGERS,
        config=MessengerConfig,
        target_kind="service",
        visitable=True,
        default_target="signal",
        interval_s=CORE_S,
        light_interval_s=LIGHT_S,
        ooni_test="signal",
    ),
    _messenger(
        "facebook_messenger",
        "Facebook Messenger: message broker, APIs, CDNs and web",
        ooni_test="facebook_messenger",
    ),
    _messenger("viber", "Viber: chat servers, accounts, media and web"),
    _messenger("threema", "Threema: chat servers on both ports, directory, media and web"),
    _messenger("matrix", "Matrix: the homeserver matrix.org, its federation and Element's web"),
    _messenger("discord", "Discord: gateway, API, CDN and media"),
    _messenger("wechat", "WeChat: long and short links, in China and abroad, and web"),
    _messenger("line", "LINE: gateway, objects, login and web"),
    ExperimentEntry(
        name="mobile_app",
        version=1,
        title="Further apps of the list of services, which no plan has by default",
        category=Category.WEB,  # some are no messengers, and the consent to those covers none
        config=MessengerConfig,
        target_kind="service",
        visitable=True,
        default_target="snapchat",
        function="messengers",
        interval_s=7_200,
        planned=False,  # ten more services cost a volunteer some 10 MB a day
    ),
)
