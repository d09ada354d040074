"""Send single raw packets for the agent, as a program that uses stdin and stdout.

SPDX-License-Identifier: GPL-2.0-only. It imports scapy, which is GPL-2.0-only, and is therefore
offered under that license, apart from the rest of Heliograph. No other code imports it or scapy.
It is the only program that needs CAP_NET_RAW, and it is started only when a test requires it.

The protocol is JSON lines of at most 8192 bytes. First the helper writes {"ready": true}, or
{"ready": false, "problem": …, "message": …} and exits. Then it answers each request in turn:

    {"id": 1, "op": "ttl_syn", "address": "192.0.2.1", "port": 443, "ttl": 3, "timeout_s": 2.0}
    {"id": 1, "kind": "icmp_time_exceeded", "source": "198.51.100.1", "ttl": 62, "ipid": 4711,
     "head": ""}

`op` is ttl_syn (the packet that opens a TCP connection), ttl_stream (a connection is opened,
then `payload`, in hexadecimal, is sent on it with the limited TTL) or ttl_datagram (`payload` in
one UDP datagram). `kind` is synack, rst, fin, data, icmp_time_exceeded, icmp_unreachable or
none. `ttl` and `ipid` are those of the reply packet (IPv6 has no `ipid`), `head` is the first
bytes of its payload. When the system refused to send or to connect, the answer is {"id": …,
"errno": …}; an invalid request is answered with {"id": …, "error": …}.
"""

__version__ = "0.1.0"
