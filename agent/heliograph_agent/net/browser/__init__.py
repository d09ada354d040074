"""Fetch a page as a browser does, by curl_cffi, through a relay that observes it.

curl_cffi has the TLS and the HTTP/2 of Chrome and of Firefox, and hides what it does. So it is
given no network: its one connection ends at a relay of ours on loopback, which passes the bytes on
over a stream that the agent opened, and notes what they show.

>>> result = await net.browse(stream, "https://www.example.org/", browser="chrome")
"""
