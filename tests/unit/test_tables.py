"""Tables as people have them: read as they are meant, or refused with what to change."""

import json
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.config import DatasetConfig, parse
from core.data import columns, sources, split, tables
from core.errors import ConfigError
from tests.images import encoded, noise

N = 24


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "i").mkdir()
    for number in range(N):
        (tmp_path / "i" / f"{number}.png").write_bytes(encoded(noise(number), "PNG"))
    return tmp_path


def rows(*more, header="path,label", path="i/{}.png", between=",") -> str:
    lines = [header.replace(",", between)]
    for number in range(N):
        cells = [path.format(number), "cat" if number < N // 2 else "dog", *(f(number) for f in more)]
        lines.append(between.join(str(cell) for cell in cells))
    return "\n".join(lines) + "\n"


def scanned(folder: Path, content: str | bytes, name: str = "t.csv", **config):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return sources.open_source(DatasetConfig(source="table", root=str(path), **config)).scan()


def refused(folder: Path, content: str | bytes, name: str = "t.csv", **config) -> str:
    with pytest.raises(ValueError) as caught:
        scanned(folder, content, name, **config)
    said = str(caught.value)
    assert "\n" not in said and "class folder" not in said and len(said) < 700
    return said


# ---- forms of the file


@pytest.mark.parametrize("content", [
    rows(), rows(between=";"), rows(between="\t"), rows(between="|"), rows(header="Path,Label"), rows(header=" path , LABEL "),
    rows(header="file_name,label"), rows().replace("\n", "\r\n"), rows().replace("\n", "\n\n"), "\ufeff" + rows(),
    rows(lambda n: "", header="path,label,"), rows(path='"i/{}.png"'),
    "\n".join("," + line if not n else f"{n - 1}," + line for n, line in enumerate(rows().splitlines())),  # pandas' index
], ids=["plain", "semicolon", "tab", "bar", "capitals", "spaces", "hugging-face", "crlf", "empty-lines", "bom", "last-comma",
        "quoted", "index"])
def test_a_table_in_any_common_form_is_read(folder, content):
    manifest = scanned(folder, content)
    assert manifest.counts() == {"cat": N // 2, "dog": N // 2}
    assert manifest.sample_id[0] == "i/0.png"
    assert not manifest.remarks


@pytest.mark.parametrize("header", ["path, label", " path ,label ", '"path"," label"', "path,\tlabel", "path,\u00a0label",
                                    "path,label\u200b", "\ufeffpath,\ufefflabel "])
def test_spaces_around_the_names_of_columns_are_left_off(folder, header):
    assert scanned(folder, rows(header=header)).counts() == {"cat": N // 2, "dog": N // 2}


def test_utf_16_as_spreadsheets_write_it_is_read(folder):
    assert scanned(folder, rows(between="\t").encode("utf-16")).counts() == {"cat": N // 2, "dog": N // 2}


@pytest.mark.parametrize("name", ["metadata.jsonl", "t.json"])
def test_json_lines_are_read(folder, name):
    lines = [{"file_name": f"i/{n}.png", "label": n % 2, "more": [n]} for n in range(N)]
    content = json.dumps(lines) if name == "t.json" else "\n".join(map(json.dumps, lines))
    manifest = scanned(folder, content, name)
    assert manifest.counts() == {"0": N // 2, "1": N // 2}
    assert manifest.remarks == ("Columns that are not used: more.",)


def test_a_line_separator_inside_of_json_text_ends_no_line(folder):
    lines = [{"path": f"i/{n}.png", "label": "a\u2028b\x85c" if n % 2 else "d"} for n in range(N)]
    content = "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert set(scanned(folder, content.encode(), "t.jsonl").classes) == {"a\u2028b\x85c", "d"}


def test_half_a_character_is_no_label(folder):
    lines = [json.dumps({"path": f"i/{n}.png", "label": "a\ud800" if n == 3 else "ab"[n % 2]}) for n in range(N)]
    assert r"column label must hold text, got half a character, 'a\ud800', in row 4 of" in refused(
        folder, "\n".join(lines), "t.jsonl")


def test_parquet_with_categories_is_read_and_nested_columns_are_named(folder):
    frame = pd.DataFrame({"path": [f"i/{n}.png" for n in range(N)], "label": ["cat", "dog"] * (N // 2), "size": range(N)})
    frame["label"] = frame["label"].astype("category")
    table = pa.Table.from_pandas(frame).append_column("boxes", pa.array([{"x": [n]} for n in range(N)]))
    pq.write_table(table, folder / "t.parquet")
    manifest = scanned(folder, (folder / "t.parquet").read_bytes(), "t.parquet")
    assert manifest.counts() == {"cat": N // 2, "dog": N // 2}
    assert manifest.remarks == ("Columns that are not used: size, boxes.",)


@pytest.mark.parametrize("content, words", [
    (rows(lambda n: " brown"), "row 1 (line 2) of {} has 3 fields, the header 2 (path, label); quote values that hold commas"),
    (rows(lambda n: ""), "row 1 (line 2) of {} has 3 fields, the header 2 (path, label); remove the comma at its end"),
    (rows(header="path,label,group"), "row 1 (line 2) of {} has 2 fields, the header 3 (path, label, group); leave a field "
     "empty, but write its comma"),
    ("path,label\ni/0.png,cat\ni/1.png,\"cat\n", "row 2 (line 3) of {} cannot be read"),
    ("path,label,path\na,b,c\n", "every column must have a name of its own, got 'path' again as column 3"),
    ("path,label,Label\na,b,c\n", "every column must have a name of its own, got 'Label' again as column 3"),
    ("path,label,\na,b,c\n", "every column must have a name, got none for column 3"),
    ("path,label\ni/0.png,k\u00e4se\n".encode("latin-1"), "in UTF-8, got byte 0xe4 in line 2 of {}; save it as CSV UTF-8"),
    (b"path,label\ni/0.png,\0\n", "a file that is not text"),
    (b"PK\3\4" + bytes(50), "got a spreadsheet or an archive"),
    ("  \n", "must be a CSV or Parquet table, got an empty file"),
    ('{"path": "i/0.png", "label": "a", "label": "b"}\n', "key 'label' must stand once, got it twice"),
    ('{"path": "i/0.png", "label": "a"}\n[1]\n', "must hold one JSON object a line, got a list in row 2"),
    ('{"path": "i/0.png"\n', "must hold one JSON object a line, got in line 1"),
    ("[" * 200_000, "nested too deeply"),
])
def test_a_file_that_is_no_table_is_refused_with_its_row(folder, content, words):
    assert words.format(folder / "t.csv") in refused(folder, content)


@settings(max_examples=100, deadline=None)
@example('"1\n1"')
@given(st.text(alphabet="pathlbe,;\t\"\n 1{}[]:|", max_size=60) | st.binary(max_size=40))
def test_no_content_ends_in_anything_but_columns_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "t.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else b"path,label\n" + content)
    try:
        columns.interpret(tables.read(path))
    except ValueError as error:
        assert "\n" not in str(error)


# ---- which column is what


@pytest.mark.parametrize("name", ["group_id", "patient_id", "PatientID", "subject", "photo", "Video Name", "session", "slide",
                                  "case", "sequence-no", "identity", "lot"])
def test_a_column_that_looks_like_a_group_is_refused_until_it_is_named(folder, name):
    content = rows(lambda n: f"g{n // 4}", header=f"path,label,{name}")
    assert f"column {name!r} of {folder / 't.csv'}, whose 6 values stand in 24 rows, is not used; did you mean group? Set " \
           f"dataset.columns: {{group: {name}}}, or dataset.ignore_columns: [{name}] if it is none" == refused(folder, content)
    manifest = scanned(folder, content, columns={"group": name})
    assert len(set(manifest.group.tolist())) == 6 and not manifest.remarks
    manifest = scanned(folder, content, ignore_columns=(name,))
    assert len(set(manifest.group.tolist())) == N
    assert manifest.remarks == (f"Columns that are not used: {name}.",)


def test_groups_by_a_column_of_other_capitals_stay_whole(folder):
    manifest = scanned(folder, rows(lambda n: f"g{n // 2}", header="path,label,Group"))
    config = parse({"name": "x", "dataset": {"source": "table", "root": "t.csv"}, "split": {"fractions": [0.5, 0.25, 0.25]}})
    assigned = split.assign(manifest, config.split, (0,))
    sides: dict[int, set[str]] = {}
    for sample, side in zip(assigned.sample_id, assigned.split):
        sides.setdefault(int(Path(sample).stem) // 2, set()).add(side)
    assert all(len(found) == 1 for found in sides.values()) and len(sides) == 12


@pytest.mark.parametrize("name", ["is_test", "is_train", "is_training_img", "is_valid", "train", "test", "in_train",
                                  "holdout"])
@pytest.mark.parametrize("values", ["01", ("True", "False"), ("yes", "no")])
def test_a_column_that_says_who_is_in_the_test_set_is_not_passed_over(folder, name, values):
    said = refused(folder, rows(lambda n: values[n % 2], header=f"path,label,{name}"))
    assert "is in a part of a split, is not used; write a column split with train, val or test" in said
    scanned(folder, rows(lambda n: values[n % 2], header=f"path,label,{name}"), ignore_columns=(name,))


@pytest.mark.parametrize("name, value", [("fold", lambda n: n % 5), ("set", lambda n: n % 2), ("Subset", lambda n: n % 3),
                                         ("partition", lambda n: n % 2), ("phase", lambda n: "ab"[n % 2]),
                                         ("part", lambda n: ("train", "test")[n % 2]),
                                         ("usage", lambda n: ("Training", "PublicTest", "PrivateTest")[n % 3]),
                                         ("where", lambda n: ("A_train", "A_test")[n % 2]),
                                         ("where", lambda n: ("tr", "te")[n % 2])])
def test_a_column_that_looks_like_a_split_is_refused_until_it_is_named(folder, name, value):
    said = refused(folder, rows(value, header=f"path,label,{name}"))
    assert f"did you mean split? Set dataset.columns: {{split: {name}}}, or dataset.ignore_columns: [{name}] if" in said
    assert len(scanned(folder, rows(value, header=f"path,label,{name}"), ignore_columns=(name,))) == N


@pytest.mark.parametrize("name", ["class", "Category", "target", "species", "y", "class_name"])
def test_a_label_of_another_name_is_asked_about(folder, name):
    content = rows(header=f"path,{name}")
    assert f"did you mean label by {name!r}? set dataset.columns: {{label: {name}}}" in refused(folder, content)
    assert scanned(folder, content, columns={"label": name}).counts() == {"cat": N // 2, "dog": N // 2}


def test_all_four_columns_can_be_chosen(folder):
    content = rows(lambda n: f"p{n // 2}", lambda n: "Training" if n % 4 < 2 else "VAL", header="picture,species,who,part")
    manifest = scanned(folder, content, columns={"path": "picture", "label": "Species", "group": "who", "split": "part"})
    assert manifest.official.tolist() == ["train", "train", "validation", "validation"] * 6
    assert manifest.group.tolist() == [f"p{n // 2}" for n in range(N)]


@pytest.mark.parametrize("column", [lambda n: n, lambda n: "same", lambda n: n % 2, lambda n: n % 3 * 0.5, lambda n: ""])
def test_a_column_that_looks_like_neither_is_listed(folder, column):
    assert scanned(folder, rows(column, header="path,label,notes")).remarks == ("Columns that are not used: notes.",)


def test_a_second_kind_of_group_is_asked_about_only_where_it_would_be_parted(folder):
    wider = rows(lambda n: f"g{n // 2}", lambda n: f"p{n // 4}", header="path,label,group,patient")
    assert "did you mean group? Set dataset.columns: {group: patient}" in refused(folder, wider)
    assert len(set(scanned(folder, wider, columns={"group": "group"}).group.tolist())) == N // 2  # chosen: nothing is asked
    finer = rows(lambda n: f"g{n // 4}", lambda n: f"p{n // 2}", header="path,label,group,photo")
    assert scanned(folder, finer).remarks == ("Columns that are not used: photo.",)


@pytest.mark.parametrize("config, words", [
    ({"columns": {"group": "Grup"}}, "dataset.columns.group must be a column of the table (path, label, group), got 'Grup'; "
     "did you mean 'group'?"),
    ({"ignore_columns": ("x",)}, "dataset.ignore_columns must be a column of the table (path, label, group), got 'x'")])
def test_a_chosen_column_must_be_there(folder, config, words):
    assert words in refused(folder, rows(lambda n: "", header="path,label,group"), **config)


def test_columns_belong_to_tables():
    for key, value in (("columns", {"label": "x"}), ("ignore_columns", ["x"])):
        with pytest.raises(ConfigError, match=f"{key} must be absent unless source is 'table'"):
            parse({"name": "x", "dataset": {"source": "folder", "root": "x", key: value}})
    with pytest.raises(ConfigError, match="columns"):
        parse({"name": "x", "dataset": {"source": "table", "root": "x", "columns": {"grup": "x"}}})
    with pytest.raises(ConfigError, match="one column cannot be both label and group"):
        parse({"name": "x", "dataset": {"source": "table", "root": "x", "columns": {"label": "x", "group": " X"}}})


# ---- values


def test_spaces_around_values_are_left_off_and_said(folder):
    content = rows(lambda n: "g1 " if n == 3 else f"g{n // 4}", header="path,label,group").replace("0.png,cat", "0.png,cat ")
    manifest = scanned(folder, content)
    assert manifest.counts() == {"cat": N // 2, "dog": N // 2} and manifest.group[3] == "g1"
    assert manifest.remarks == ("Spaces around 2 values of column label are left off.",
                                "Spaces around 1 values of column group are left off.")


def test_accents_composed_and_combined_are_one_class_and_capitals_are_two_and_said(folder):
    content = rows()
    for number, label in enumerate(("caf\u00e9", "cafe\u0301", "Cat")):
        content = content.replace(f"i/{number}.png,cat", f"i/{number}.png,{label}")
    manifest = scanned(folder, content)
    assert manifest.counts()["caf\u00e9"] == 2 and manifest.counts()["Cat"] == 1
    assert ("Classes 'Cat', 'cat' differ in capitals, spaces, stored accents or a decimal point alone; they count as 2."
            in manifest.remarks)


@pytest.mark.parametrize("value, words", [
    (["cat"], "column label must hold one text or whole number in each row, got several values, ['cat'], in row 1"),
    ({"a": 1}, "got several values"), (0.5, "got a float, 0.5, in row 1"), (None, "column label must not be empty"),
    (float("nan"), "column label must not be empty, got nothing in row 1"), ("['cat']", "got several values"),
    ("nan", "column label must not be empty"), ("", "column label must not be empty")])
def test_a_label_is_one_text_or_whole_number(folder, value, words):
    lines = [{"path": f"i/{n}.png", "label": value if n == 0 else "ab"[n % 2]} for n in range(N)]
    assert words in refused(folder, "\n".join(json.dumps(line) for line in lines), "t.jsonl")


@pytest.mark.parametrize("values, expected", [
    ([1, 2], {"1", "2"}), ([1.0, 2.0], {"1", "2"}), ([True, False], {"True", "False"}), ([b"a", b"b"], {"a", "b"})])
def test_whole_numbers_booleans_and_bytes_are_labels(folder, values, expected):
    pq.write_table(pa.table({"path": [f"i/{n}.png" for n in range(N)], "label": values * (N // 2)}), folder / "t.parquet")
    assert set(scanned(folder, (folder / "t.parquet").read_bytes(), "t.parquet").classes) == expected


# ---- files


@pytest.mark.parametrize("path, first, why", [
    ("i\\{}.png", "i\\0.png", "no such file; paths use / between folders"),
    ("C:\\data\\{}.png", "C:\\data\\0.png", "a path of Windows"),
    ("https://example.org/{}.png", "https://example.org/0.png", "a web address; download the files"),
    ("/absent/{}.png", "/absent/0.png", "no such file; name files from the table's folder"),
    ("absent/{}.png", "absent/0.png", "no such folder below"), ("../{}.png", "../0.png", "no such file; paths start from"),
    ("i/{}.PNG", "i/0.PNG", "no such file, but 0.png is there"),
    ("i/{}", "i/0", "no such file, but 0.png is there: names must have their ending"),
    ("i/{}.jpg", "i/0.jpg", "no such file; paths start from")])
def test_files_that_are_not_there_are_counted_and_the_first_is_named_with_why(folder, path, first, why):
    said = refused(folder, rows(path=path))
    assert said.startswith(f"24 of 24 files that {folder / 't.csv'} names are not there, the first is {first} ({why}")


def test_some_files_that_are_not_there_are_left_out_and_said(folder):
    manifest = scanned(folder, rows() + "i/gone.png,cat\n")
    assert len(manifest) == N and [item.path for item in manifest.unreadable] == ["i/gone.png"]
    [remark] = manifest.remarks
    assert remark.startswith("1 of 25 files") and "the first is i/gone.png (no such file" in remark


def test_files_that_are_all_broken_are_refused_in_the_words_of_tables(folder):
    (folder / "bad.png").write_bytes(b"x")
    said = refused(folder, "path,label\nbad.png,a\n")
    assert "must name readable images of at least two classes" in said
    assert re.search(r"1 of 1 files cannot be read, the first is bad.png \(not an image", said)
    assert "images of at least two classes, got 1: cat" in refused(folder, "path,label\ni/0.png,cat\n")


@pytest.mark.parametrize("again", ["i/0.png", "./i/0.png", "i//0.png", "i/../i/0.png"])
def test_a_file_is_named_once_however_it_is_written(folder, again):
    said = refused(folder, rows() + f"{again},dog\n")
    assert re.search(r"column path must name each image once, got '.*0.png' again in row 25 of .* \(first in row 1\)", said)
