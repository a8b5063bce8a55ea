"""Files from outside: what is too much is refused at once, and what is plain is read."""

import json
import time

import pytest

from vi.files.plain_files import Unreadable, json_value, read_json, read_yaml, yaml_value

_TENFOLD = [
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
]
LAUGHS = "\n".join(["a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha]", *_TENFOLD])

BAD_YAML = {
    LAUGHS: "unpacks to more than",
    "a: &a [*a]": "unpacks to more than",
    "[" * 60_000: "nests deeper than",
    "- " * 30_000: "nests deeper than",
    "x" * 70_000: "is larger than",
    "- !!python/object/apply:os.system ['true']": "holds the tag",
    "- !!set {a, b}": "holds the tag",
    "- !mine 5": "holds the tag",
    "a: 2020-99-99": "is not yaml of plain values",
    "? [a]\n: b": "is not yaml of plain values",
    "a: b: c": "is not yaml",
    "a: \x00": "is not yaml",
    "a\n--- b": "is not yaml",
    "[a": "is not yaml",
}
BAD_JSON = {
    "[" * 100_000: "nests deeper than",
    "[" * 100 + "]" * 100: "nests deeper than",
    '{"seed": NaN}': "holds NaN",
    '{"seed": -Infinity}': "holds -Infinity",
    '{"seed": 1e999}': "holds 1e999",
    '{"a": 1, "a": 2}': "holds the key 'a' twice",
    "1" * 5000: "is not JSON",
    r'"\ud800"': "half a surrogate pair",
    "": "is not JSON",
    "{}{}": "is not JSON",
}


@pytest.mark.parametrize(("text", "told"), BAD_YAML.items(), ids=lambda t: t[:12])
def test_a_bad_yaml_is_refused_within_a_second(text, told):
    started = time.process_time()
    with pytest.raises(Unreadable, match=told):
        yaml_value(text.encode())
    assert time.process_time() - started < 1


@pytest.mark.parametrize(("text", "told"), BAD_JSON.items(), ids=lambda t: t[:12])
def test_a_bad_json_is_refused_within_a_second(text, told):
    started = time.process_time()
    with pytest.raises(Unreadable, match=told):
        json_value(text.encode())
    assert time.process_time() - started < 1


@pytest.mark.parametrize("value", [json_value, yaml_value])
def test_what_is_not_utf8_says_from_where(value):
    with pytest.raises(Unreadable, match="is not UTF-8 from byte 2 on"):
        value(b"[\n\xff]")


@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_what_is_no_file_says_so(read, tmp_path):
    """Caught: a device that never ends."""
    with pytest.raises(Unreadable, match="is missing"):
        read(tmp_path / "nowhere")
    with pytest.raises(Unreadable, match="is not a file"):
        read(tmp_path)
    (tmp_path / "endless").symlink_to("/dev/zero")
    with pytest.raises(Unreadable, match="is not a file"):
        read(tmp_path / "endless")


def test_plain_values_are_read():
    value = {"a": [1, -2.5, 1e-300, True, None, "ü\n\U0001f600"], "b": {"c": []}, "": 10**30}
    assert json_value(json.dumps(value).encode()) == value
    assert yaml_value(b"- seed=1\n- &x [a, b]\n- *x") == ["seed=1", ["a", "b"], ["a", "b"]]
    deep = "[" * 31 + "]" * 31
    assert json_value(deep.encode()) == yaml_value(deep.encode())
