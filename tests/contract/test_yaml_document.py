"""The YAML reader: what it refuses, and errors that name the place."""

import pickle

import pytest
import yaml

from heliograph.yaml_document import MAX_BYTES, MAX_DEPTH, YamlError, parse_yaml

DEEPEST = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\na: 2", "x.yml, line 2: a: stands twice."),
        ("a:\n  - b: 1\n    b: 2", "x.yml, line 3: a[0].b: stands twice."),
        ("a: &b 1\nc: *b", "x.yml, line 2: must have no aliases."),
        ("? [a]\n: b", "x.yml, line 1: a key must be one value."),
        ("a: 1\n---\nb: 1", "x.yml, line 2: must be one document."),
        (f"a:\n  {DEEPEST}", "x.yml, line 2: must not be nested deeper than 16."),
        ("[" * 50_000, "x.yml, line 1: must not be nested deeper than 16."),
        (
            "a: \x01",
            "x.yml, line 1: is not YAML: it is no text in UTF-8, or has control characters.",
        ),
        (" " * (MAX_BYTES + 1), f"x.yml: is larger than {MAX_BYTES} bytes."),
    ],
)
def test_hostile_and_mistaken_documents_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(YamlError) as caught:
        parse_yaml(text.encode(), "x.yml")
    assert str(caught.value) == sentence
    assert str(pickle.loads(pickle.dumps(caught.value))) == sentence


def test_documents_read_alike_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: {b: [1, 'two', 3.0]}\nc: |\n  long\n  text\n"
    read = parse_yaml(text.encode(), "x.yml")
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert parse_yaml(text.encode(), "x.yml") == read


def test_deepest_allowed_document_and_empty_one_are_read() -> None:
    assert parse_yaml(DEEPEST[1:-1].encode(), "x.yml").items()
    assert parse_yaml(b"# nothing", "x.yml").mapping() == {}
