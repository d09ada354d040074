"""HTTP/1.1 and HTTP/3 exchanges that record each step."""
