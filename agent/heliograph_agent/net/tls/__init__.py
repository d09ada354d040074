"""TLS handshakes as recorded steps, trust stores and certificates.

>>> result, tls_stream = await net.handshake(stream, "www.example.org")
>>> result.observation.tls.version
'TLSv1.3'
"""
