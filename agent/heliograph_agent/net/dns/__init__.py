"""Look up names by the system resolver, UDP, TCP, DNS over TLS or over HTTPS.

>>> result = await net.resolve("www.example.org", engine="udp", resolver="9.9.9.10:53")
>>> result.observation.dns.addresses
('192.0.2.1',)
"""
