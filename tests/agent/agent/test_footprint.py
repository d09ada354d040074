"""What is given back is program text and nothing else."""

import subprocess
import sys

from heliograph_agent.agent.footprint import text_of

MAPS = """\
55d0c0e00000-55d0c0e01000 r--p 00000000 fe:01 131 /usr/bin/python3.11
55d0c0e01000-55d0c0e05000 r-xp 00001000 fe:01 131 /usr/bin/python3.11
55d0c0e06000-55d0c0e07000 rw-p 00005000 fe:01 131 /usr/bin/python3.11
7f0000000000-7f0000002000 r-xp 00000000 00:00 0
7ffd1c9fe000-7ffd1ca00000 r-xp 00000000 00:00 0                          [vdso]
7f1000000000-7f1000400000 r-xp 00010000 fe:01 777                        /usr/lib/a b/libz.so.1
7f2000000000-7f2000400000 rwxp 00010000 fe:01 778                        /usr/lib/odd.so
"""


def test_only_the_code_of_files_that_cannot_be_written() -> None:
    assert list(text_of(MAPS)) == [(0x55D0C0E01000, 0x4000), (0x7F1000000000, 0x400000)]


def test_the_process_goes_on_with_less() -> None:
    code = """
import re, ssl, sqlite3, asyncio
from heliograph_agent.agent.footprint import give_back
def rss():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = rss()
give_back()
after = rss()
ssl.create_default_context()
sqlite3.connect(":memory:").close()
asyncio.run(asyncio.sleep(0))
print(before > after)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
