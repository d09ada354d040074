"""Two namespaces and the wire between them: abroad, with real servers under real names, and home.

Addresses look public, since a private one in a DNS answer would itself be a sign of interference;
they exist only inside these two namespaces, which have no way out.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.loopback_ca import LoopbackCA
from support.netns import Namespace, namespace
from support.programs import eventually, started

ABROAD, HOME = "45.90.1.1", "45.90.1.2"
RESOLVER, WEB = "45.90.2.53", "45.90.2.10"
DATA_CENTRE, WEB_FRONT = "45.90.2.50", "45.90.2.51"
NAMES = ("www.wikipedia.org", "www.example.com", "anchor.example")
MESSENGER = "web.telegram.org"
SERVICES = f"""
version: "lab"
services:
  anchors:
    title: Anchors
    experiment: connectivity
    endpoints:
      - {{id: resolver-a, kind: dns, host: anchor.example, group: resolver}}
      - {{id: captive-a, kind: http, host: anchor.example, path: /generate_204, group: captive}}
      - {{id: foreign-a, kind: https, host: anchor.example, path: /generate_204, group: foreign}}
      - {{id: foreign-address, kind: tcp, host: {WEB}, port: 443, group: foreign}}
  telegram:
    title: Telegram
    experiment: telegram
    endpoints:
      - {{id: dc1-443, kind: http, host: {DATA_CENTRE}, port: 443, method: POST, group: dc}}
      - {{id: dc1-80, kind: http, host: {DATA_CENTRE}, port: 80, method: POST, group: dc}}
      - {{id: web, kind: https, host: {MESSENGER}, group: web}}
"""


@dataclass(frozen=True, slots=True)
class Border:
    abroad: Namespace
    home: Namespace
    ca_file: Path

    def interfere(self, *rules: str) -> None:
        """nftables rules on what leaves home for abroad, in place of those before."""
        lines = "\n".join(rules)
        self.home.run(
            "nft", "-f", "-",
            text="table inet border\ndelete table inet border\n"
            "table inet border { chain out { type filter hook output priority 0;\n"
            f"{lines}\n}}\n}}\n",
        )  # fmt: skip


@contextmanager
def border(directory: Path) -> Iterator[Border]:
    """Up with nginx and unbound abroad; torn down with everything in it."""
    with namespace() as abroad, namespace() as home, ExitStack() as servers:
        _wire(abroad, home)
        ca = LoopbackCA(directory / "ca")
        logs = directory / "servers.log"
        for command in (_unbound(directory), _nginx(directory, ca)):
            servers.enter_context(started(abroad.command(command), logs))
        eventually(lambda: _listening(abroad), f"nginx and unbound, see {logs}", 20)
        yield Border(abroad, home, ca.ca_file)


def _wire(abroad: Namespace, home: Namespace) -> None:
    abroad.run(
        "ip", "link", "add", "border", "type", "veth", "peer", "name", "border", "netns", home.name
    )
    for space, address in ((abroad, ABROAD), (home, HOME)):
        space.run("ip", "address", "add", f"{address}/24", "dev", "border")
        space.run("ip", "link", "set", "border", "up")
    home.run("ip", "route", "add", "default", "via", ABROAD)
    for address in (RESOLVER, WEB, DATA_CENTRE, WEB_FRONT):
        abroad.address(f"{address}/32")


def _listening(abroad: Namespace) -> bool:
    ports = abroad.run("ss", "-Hltun")
    return f"{RESOLVER}:53" in ports and f"{WEB}:443" in ports


def _unbound(directory: Path) -> Sequence[str]:
    data = "".join(f'  local-data: "{name}. 300 IN A {WEB}"\n' for name in NAMES)
    config = directory / "unbound.conf"
    config.write_text(
        f"""server:
  interface: {RESOLVER}
  access-control: 0.0.0.0/0 allow
  username: ""
  chroot: ""
  directory: "{directory}"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  module-config: "iterator"
  local-zone: "." static
{data}  local-data: "{MESSENGER}. 300 IN A {WEB_FRONT}"
remote-control:
  control-enable: no
"""
    )
    return ("/usr/sbin/unbound", "-d", "-c", str(config))


def _nginx(directory: Path, ca: LoopbackCA) -> Sequence[str]:
    """TLS for the names on 443; telegram's data centre answers in clear on 80 and on 443."""
    site, messenger = ca.leaf(*NAMES), ca.leaf(MESSENGER)
    config = directory / "nginx.conf"
    config.write_text(
        f"""daemon off;
master_process off;
user root;
pid {directory}/nginx.pid;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {directory}/temp;
  server {{
    listen {WEB}:80;
    listen {WEB}:443 ssl;
    server_name {" ".join(NAMES)};
    ssl_certificate {site.chain};
    ssl_certificate_key {site.key};
    location / {{ return 200 "<html><head><title>a page</title></head></html>"; }}
    location = /generate_204 {{ return 204; }}
  }}
  server {{ listen {DATA_CENTRE}:80; listen {DATA_CENTRE}:443; location / {{ return 404; }} }}
  server {{
    listen {WEB_FRONT}:443 ssl;
    ssl_certificate {messenger.chain};
    ssl_certificate_key {messenger.key};
    location / {{ return 200 "web"; }}
  }}
}}
"""
    )
    return ("/usr/sbin/nginx", "-c", str(config), "-e", str(directory / "nginx-error.log"))
