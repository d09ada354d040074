"""Extract the title and the visible text from the first bytes of a page."""

import html
import re

MAX_CHARACTERS = 200
MAX_TEXT = 512
_WINDOW = 65_536  # bytes of the page that are parsed
_TITLE = re.compile(r"<title(?:\s[^>]{0,500})?>", re.IGNORECASE)
_TAG = re.compile(r"<!--|<(/?)([A-Za-z][^\s/>]*)|<[!?/]")
# Elements that are not displayed. noscript is kept: its text reveals a bot check.
_HIDDEN = {
    name: re.compile(f"</{name}", re.IGNORECASE)
    for name in ("script", "style", "title", "template")
}
_IN_ADDRESSES = "0123456789abcdefABCDEF:.-%"
_CHARSET = re.compile(rb"charset\s{0,8}=\s{0,8}[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)

# Charsets of web pages. Python knows many more codecs, and some are not charsets.
_SUPPORTED_CHARSETS = re.compile(
    "us-ascii|ascii|utf-?8|utf-16(?:le|be)?|big5|gb2312|gbk|gb18030|euc-(?:jp|kr)|iso-2022-jp"
    "|shift_jis|koi8-[ru]|ibm866|cp866|tis-620|latin-1|iso-8859-(?:[1-9]|1[03-6])|windows-125[0-8]"
)


def extract_title(body: bytes, content_type: str = "") -> str:
    """Extract the title; "" when there is none.

    Entities are resolved, white space is collapsed and unprintable characters are removed.
    """
    return find_title(decode_page(body, content_type)) if is_markup(content_type) else ""


def extract_text(body: bytes, content_type: str = "") -> str:
    """Extract the visible text of an HTML or plain text page; "" for other types."""
    if not is_markup(content_type) and not is_plain_text(content_type):
        return ""
    return find_text(decode_page(body, content_type), content_type)


def is_markup(content_type: str) -> bool:
    """Tell whether a page may be HTML; one without a type may."""
    kind = _parse_kind(content_type)
    return not kind or "html" in kind


def is_plain_text(content_type: str) -> bool:
    return _parse_kind(content_type) == "text/plain"


def find_title(markup: str) -> str:
    """Find in a decoded page what `extract_title` extracts."""
    start = _TITLE.search(markup)
    if start is None:
        return ""
    end = _HIDDEN["title"].search(markup, start.end())
    raw = markup[start.end() : end.start() if end else start.end() + 4 * MAX_CHARACTERS]
    return make_single_line(html.unescape(raw), MAX_CHARACTERS)


def find_text(page_text: str, content_type: str) -> str:
    """Find in a decoded page of text or HTML what `extract_text` extracts."""
    is_plain = is_plain_text(content_type)
    visible = page_text if is_plain else html.unescape(_visible_text(page_text))
    return make_single_line(visible, MAX_TEXT)


def make_single_line(content: str, limit: int) -> str:
    """Make a printable line of at most `limit` characters.

    A cut never leaves the beginning of an address, because the scrubber, which runs later, could
    not recognize it.
    """
    if not content:
        return ""
    window = truncate(content, 8 * limit)
    max_words = limit // 2 + 1  # words and blanks that can fill the line
    line = " ".join(window.split(None, max_words)[:max_words])
    if not line.isprintable():
        line = " ".join("".join(c if c.isprintable() else " " for c in window).split())
    return truncate(line, limit).strip()


def truncate(content: str, limit: int) -> str:
    """Cut a text, and never within an address, which the scrubber could not recognize."""
    return content if len(content) <= limit else content[:limit].rstrip(_IN_ADDRESSES)


def _parse_kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _visible_text(markup: str) -> str:
    """Return the text between tags; an unclosed tag or element hides the rest."""
    parts: list[str] = []
    size = offset = 0
    while size < 8 * MAX_TEXT:
        tag = _find_next_tag(markup, offset)
        part = markup[offset : tag.start() if tag else len(markup)].strip()
        if part:
            parts.append(part)
            size += len(part)
        offset = _skip_element(markup, tag) if tag else -1
        if offset < 0:
            break
    return " ".join(parts)


def _find_next_tag(markup: str, offset: int) -> re.Match[str] | None:
    while (offset := markup.find("<", offset)) >= 0:
        tag = _TAG.match(markup, offset)
        if tag is not None:
            return tag
        offset += 1
    return None


def _skip_element(markup: str, tag: re.Match[str]) -> int:
    """Return the offset after a tag or a hidden element; -1 at the end."""
    offset = tag.end()
    end = "-->" if tag[0] == "<!--" else ">"
    hidden = None if tag[1] else _HIDDEN.get((tag[2] or "").lower())
    if hidden is not None:
        closing = hidden.search(markup, offset)
        offset = closing.end() if closing else len(markup)
    offset = markup.find(end, offset)
    return offset + len(end) if offset >= 0 else -1


def decode_page(body: bytes, content_type: str) -> str:
    """Decode the beginning of a page by its byte order mark or its charset."""
    window = body[:_WINDOW]
    for mark, name in _BYTE_ORDER_MARKS:
        if window.startswith(mark):
            return window[len(mark) :].decode(name, "replace")
    for declaration in (content_type.encode("ascii", "replace"), window[:2048]):
        match = _CHARSET.search(declaration) if b"charset" in declaration.lower() else None
        name = match[1].decode("ascii").lower() if match else ""
        if _SUPPORTED_CHARSETS.fullmatch(name):
            return window.decode(name, "replace")
    return _decode_unlabeled(window)


def _decode_unlabeled(window: bytes) -> str:
    """Decode as UTF-8, except for a character cut at the end, else as windows-1252."""
    decoded = window.decode("utf-8", "replace")
    return decoded if "\ufffd" not in decoded[:-1] else window.decode("windows-1252", "replace")
