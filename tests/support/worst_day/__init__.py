"""Read every output automatically; check it against the script and the others.

Written from the script and from what outputs promise (paths, documents, words on a page), not from
the code that makes them: `truth.py` knows only the script, `outputs.py` only the outputs.
"""
