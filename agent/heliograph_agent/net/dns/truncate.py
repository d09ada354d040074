"""Cut addresses in DNS answers to their enclosing networks.

A whoami name answers with the address of the querier: mostly a provider's resolver, sometimes a
volunteer's own. The network identifies the resolver, and no address is kept.
"""

import ipaddress
from dataclasses import replace

from heliograph.address import enclosing_network
from heliograph.observation import DnsAnswer

_KEPT_BITS = {4: 24, 6: 48}


def coarsen_answer(answer: DnsAnswer) -> DnsAnswer:
    """Replace an address in an answer by 192.0.2.0/24 or 2001:db8::/48.

    That includes a TXT answer that is an address alone. The scrubber removes addresses inside
    other TXT answers.
    """
    if answer.type not in ("A", "AAAA", "TXT"):
        return answer
    network = enclosing_network(answer.data.strip('"'))
    if not network:
        return answer
    return replace(answer, data=f'"{network}"' if answer.type == "TXT" else network)


def is_network(network_text: str) -> bool:
    """Tell whether `network_text` is a network too wide to identify a person."""
    try:
        network = ipaddress.ip_network(network_text)
    except ValueError:
        return False
    return "/" in network_text and network.prefixlen <= _KEPT_BITS[network.version]
