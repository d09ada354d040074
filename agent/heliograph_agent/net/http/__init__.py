"""HTTP/1.1 and HTTP/3 exchanges that record each step.

>>> result = await net.http(stream, "https://www.example.org/")
>>> result.observation.http.status
200
"""
