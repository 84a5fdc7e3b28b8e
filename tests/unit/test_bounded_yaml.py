"""YAML by hand: what stands twice, would never end or is read otherwise than meant is refused with its line, at once."""

import time

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.config import bounded_yaml, experiment_file, parse
from core.errors import ConfigError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi"))


@pytest.mark.parametrize("text, message", [
    ("training: {lr: 0.1}\nx: 1\ntraining: {}\n", "key 'training' must stand once, got it twice (lines 1 and 3)"),
    ("a:\n  - {b: 1, c: {d: 1, d: 2}}\n", "key 'd' must stand once, got it twice (line 2)"),
    ('"a": 1\na: 2\n', "key 'a' must stand once, got it twice (lines 1 and 2)"),
    ("a:\n  <<: {b: 1, b: 2}\n", "key 'b' must stand once, got it twice (line 2)"),
    ("<<: [{a: 1}, {b: 1, b: 2}]\n", "key 'b' must stand once, got it twice (line 1)"),
    ("a: 1\nb: [!!int abc]\n", "a value must be what its tag !!int says, got 'abc' in line 2"),
    ("a: !!int ''\n", "a value must be what its tag !!int says, got '' in line 1"),
    ("a: !!float abc\n", "a value must be what its tag !!float says, got 'abc' in line 1"),
    ("a: !!bool maybe\n", "a value must be what its tag !!bool says, got 'maybe' in line 1"),
    ("<<: {a: 1}\n<<: {b: 1}\n", "key '<<' must stand once, got it twice (lines 1 and 2)"),
    ("x: 1\nno: 1\n", "a key must be text, got no in line 2, which YAML reads as False: quote it"),
    ("3: 1\n", "a key must be text, got 3 in line 1, which YAML reads as 3: quote it"),
    ("? [1, 2]\n: 1\n", "a key must be text, got a list in line 1"),
    ("a: 010\n", "a number must be written in tens, got 010 in line 1, which YAML reads as 8; quote it if it is text"),
    ("a: 1:30\n", "a number must be written in tens, got 1:30 in line 1, which YAML reads as 90; quote it if it is text"),
    ("a: 1:30.5\n", "a number must be written in tens, got 1:30.5 in line 1; quote it if it is text"),
    ("\na: 2024-01-01\n", "got the date 2024-01-01 in line 2: quote it if it is text"),
    ("a: 18446744073709551616\n", "a whole number must fit in 64 bits, got one of 20 digits in line 1"),
    ("a: " + "9" * 100_000, "a whole number must fit in 64 bits, got one of 100,000 digits in line 1"),
    ("a: 0x" + "f" * 100_000, "a whole number must fit in 64 bits"),
    (BOMB, "must hold at most 20,000 values, aliases counted as what they stand for"),
    ("a: &a [*a]\n", "alias *a must not stand inside of what it names, got it in line 1"),
    ("[" * 3000, "must be nested at most 32 deep, got more in line 1"),
    ("{a: " * 3000, "must be nested at most 32 deep, got more in line 1"),
    ("- " * 3000 + "x", "must be nested at most 32 deep, got more in line 1"),
    ("seeds: [" + "1, " * 200_000 + "1]", "must hold at most 20,000 values"),
    ("x" * 1_000_001, "must be at most 1,000,000 bytes, got 1,000,001"),
    ("a: 1\n---\n" * 101, "must hold at most 100 documents"),
    ("a:\n\t- x\n", "indent with spaces, not tabs"),
    ("a: [1,\nb: {", "in line 2"),
    ("a: !!python/object:os.system x", "could not determine a constructor for the tag"),
    (b"a: 1\nb: \xe4\n", "must be UTF-8 text, got byte 0xe4 in line 2"),
    ("a: 1\n".encode("utf-16"), "must be UTF-8 text, got byte 0xff in line 1"),
])
def test_what_is_read_otherwise_than_meant_or_never_ends_is_one_sentence(text, message):
    started = time.process_time()
    with pytest.raises(ValueError) as caught:
        bounded_yaml.documents(text)
    said = str(caught.value)
    assert message in said and "\n" not in said and len(said) < 500
    assert time.process_time() - started < 30  # without bounds it is minutes, or for ever


def test_a_mapping_that_overrides_what_is_merged_into_it_may_be_merged_itself():
    text = "b: &b {lr: 1, x: 2}\na: &a\n  <<: *b\n  lr: 3\nc: {<<: *a, y: 1}"
    assert bounded_yaml.documents(text)[0]["c"] == {"lr": 3, "x": 2, "y": 1}


def test_plain_yaml_is_what_it_was():
    text = ("a: &x {lr: 3.0e-4, on_top: [1, 0x1f, 1_000, yes, null, ~, .5]}\nb:\n  <<: *x\n  lr: 0\nc: *x\nd: 'no'\n"
            "e: |\n  two\n  lines\n")
    assert bounded_yaml.documents(text + "---\nf: 1\n") == list(yaml.safe_load_all(text + "---\nf: 1\n"))
    assert bounded_yaml.documents("\ufeffa: ü".encode()) == [{"a": "ü"}]
    assert bounded_yaml.documents("") == [] and bounded_yaml.value("") is None and bounded_yaml.value("[4, 5]") == [4, 5]
    with pytest.raises(ValueError, match="must be one value, got 2 documents"):
        bounded_yaml.value("1\n--- 2")


_SCALAR = st.none() | st.booleans() | st.integers(-2 ** 63, 2 ** 64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
_PLAIN = st.recursive(_SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner,
                                                                                        max_size=4), max_leaves=12)


@settings(max_examples=60, deadline=None)
@given(_PLAIN)
@example({"\x85": None})
@example(["a\u2028b", {"\u2029": "x\x85"}, "\ufeff", "ü 中 😀", " ", "\n", "no", "1e3"])
def test_what_is_written_is_read_back(values):
    assert bounded_yaml.documents(bounded_yaml.dump(values)) == [values]


def test_plain_values_are_written_as_pyyaml_writes_them():
    values = {"name": "x", "dataset": {"root": "/data/ü", "classes": None}, "seeds": [0, 1], "lr": 3e-4}
    assert bounded_yaml.dump(values) == yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*<!|>'\"#%@ \n\t01,?.", max_size=40))
def test_no_text_ends_in_anything_but_values_or_a_sentence(text):
    try:
        bounded_yaml.documents(text)
    except ValueError as error:
        assert "\n" not in str(error)


def test_a_file_and_a_setting_are_read_by_the_same_reader(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\ndataset: {source: digits}\ntraining: {lr: 0.1}\ntraining: {weight_decay: 0.5}\n")
    with pytest.raises(ConfigError, match=r"key 'training' must stand once, got it twice \(lines 3 and 4\)"):
        experiment_file.load(path)
    path.write_text("name: x\ndataset: {source: digits}\n")
    for setting, words in (("training={lr: 1, lr: 2}", "must stand once"), ("seeds=[" + "1," * 30_000 + "]", "at most 20,000"),
                           ("seeds=" + "[" * 3000, "at most 32 deep"), ("name=1\n--- 2", "one value")):
        with pytest.raises(ConfigError, match=words) as caught:
            experiment_file.load(path, (setting,))
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("values, message", [
    ({"seeds": list(range(1001))}, "seeds must list at most 1,000, got 1,001"),
    ({"seeds": list(range(200_000))}, "seeds must list at most 1,000, got 200,000"),
    ({"images_per_class": list(range(2, 200))}, "images_per_class must list at most 100, got 198"),
    ({"objectives": [{"name": "triplet", "label": f"t{n}"} for n in range(101)]}, "objectives must list at most 100, got 101"),
    ({"seeds": list(range(1000)), "images_per_class": [2, 3, 4, 5]}, "must make at most 10,000 runs, the untrained encoder's "
     "among them, got 12,000"),
    ({"name": False}, "name must be text, got false; YAML reads yes, no, on and off so: quote it"),
    ({"encoder": {"name": "x" * 100_000}}, "encoder.name must have at most 200 letters, got 100,000"),
])
def test_an_experiment_is_bounded_whoever_describes_it(values, message):
    with pytest.raises(ConfigError) as caught:
        parse({"name": "x", "dataset": {"source": "digits"}, **values})
    assert message in str(caught.value) and len(str(caught.value)) <= 1001
