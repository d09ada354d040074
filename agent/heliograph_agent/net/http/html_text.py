"""The title and the visible words of a page: found in its first bytes, decoded as it asks."""

import html
import re

MAX_CHARACTERS = 200
MAX_TEXT = 512
_WINDOW = 65_536  # bytes that are looked at
_TITLE = re.compile(r"<title(?:\s[^>]{0,500})?>", re.IGNORECASE)
_TAG = re.compile(r"<!--|<(/?)([A-Za-z][^\s/>]*)|<[!?/]")
# What no reader sees. noscript stays: its words tell a trap for robots.
_HIDDEN = {
    name: re.compile(f"</{name}", re.IGNORECASE)
    for name in ("script", "style", "title", "template")
}
_IN_ADDRESSES = "0123456789abcdefABCDEF:.-%"
_CHARSET = re.compile(rb"charset\s{0,8}=\s{0,8}[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

# What pages are written in. Python knows many more codecs, some of them no charset at all.
_KNOWN = re.compile(
    "us-ascii|ascii|utf-?8|utf-16(?:le|be)?|big5|gb2312|gbk|gb18030|euc-(?:jp|kr)|iso-2022-jp"
    "|shift_jis|koi8-[ru]|ibm866|cp866|tis-620|latin-1|iso-8859-(?:[1-9]|1[03-6])|windows-125[0-8]"
)


def title_of(body: bytes, content_type: str = "") -> str:
    """Entities resolved, white space folded, nothing unprintable; "" when there is none."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind and "html" not in kind:
        return ""
    text = _decode(body[:_WINDOW], content_type)
    start = _TITLE.search(text)
    if start is None:
        return ""
    end = text.lower().find("</title", start.end())
    raw = text[start.end() : end if end >= 0 else start.end() + 4 * MAX_CHARACTERS]
    return one_line(html.unescape(raw), MAX_CHARACTERS)


def text_of(body: bytes, content_type: str = "") -> str:
    """What a reader sees of an HTML or a plain page; "" of any other."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind and "html" not in kind and kind != "text/plain":
        return ""
    text = _decode(body[:_WINDOW], content_type)
    return one_line(text if kind == "text/plain" else html.unescape(_visible(text)), MAX_TEXT)


def one_line(text: str, limit: int) -> str:
    """Printable, on one line, at most `limit` characters. A cut leaves no beginning of an address:
    the scrubber, which comes later, could not tell what it was."""
    window = _cut(text, 8 * limit)
    seen = limit // 2 + 1  # words, and blanks between them, that fill the line
    line = " ".join(window.split(None, seen)[:seen])
    if not line.isprintable():
        line = " ".join("".join(c if c.isprintable() else " " for c in window).split())
    return _cut(line, limit).strip()


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit].rstrip(_IN_ADDRESSES)


def _visible(markup: str) -> str:
    """The text between the tags. One pass, forward only: whatever is left open hides the rest."""
    found: list[str] = []
    size = at = 0
    while size < 8 * MAX_TEXT:
        tag = _next_tag(markup, at)
        words = markup[at : tag.start() if tag else len(markup)].strip()
        if words:
            found.append(words)
            size += len(words)
        at = _past(markup, tag) if tag else -1
        if at < 0:
            break
    return " ".join(found)


def _next_tag(markup: str, at: int) -> re.Match[str] | None:
    while (at := markup.find("<", at)) >= 0:
        tag = _TAG.match(markup, at)
        if tag is not None:
            return tag
        at += 1
    return None


def _past(markup: str, tag: re.Match[str]) -> int:
    """Where the text goes on behind a tag, or behind an element that no reader sees; or -1."""
    at, end = tag.end(), "-->" if tag[0] == "<!--" else ">"
    hidden = None if tag[1] else _HIDDEN.get((tag[2] or "").lower())
    if hidden is not None:
        closing = hidden.search(markup, at)
        at = closing.end() if closing else len(markup)
    at = markup.find(end, at)
    return at + len(end) if at >= 0 else -1


def _decode(window: bytes, content_type: str) -> str:
    for mark, name in _MARKS:
        if window.startswith(mark):
            return window[len(mark) :].decode(name, "replace")
    for said in (content_type.encode("ascii", "replace"), window[:2048]):
        found = _CHARSET.search(said) if b"charset" in said.lower() else None
        name = found[1].decode("ascii").lower() if found else ""
        if _KNOWN.fullmatch(name):
            return window.decode(name, "replace")
    return _guess(window)


def _guess(window: bytes) -> str:
    """UTF-8 if it is that, up to a character cut by the window's end; else one byte a letter."""
    text = window.decode("utf-8", "replace")
    return text if "\ufffd" not in text[:-1] else window.decode("windows-1252", "replace")
