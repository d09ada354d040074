"""Probe messages beside DNS, TLS and HTTP: one pure module for each protocol.

>>> hello = MtprotoHello(net.random(MTPROTO_RANDOM_BYTES), net.wall_us())
>>> result = await net.exchange(stream, hello)
>>> result.observation.exchange.reply
'res_pq'
"""
