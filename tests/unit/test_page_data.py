"""DATA: the sentence, the counts, what is left out, and what cannot be split."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import put_into


def test_digits_claim_no_more_than_is_known(screen) -> None:
    app = screen("data")
    assert app.header[0].value == "1,797 images, 10 classes; only copies are known to stay on one side of the split."
    counts = app.dataframe[0].value
    assert counts[["train", "validation", "test"]].to_numpy().sum() == 1797
    said = " ".join(item.value for item in app.markdown)
    assert "no groups are given, so crops or frames of one photograph may be on two" in said


def test_an_experiments_samples_are_shown_as_it_split_them(screen, experiment: Path) -> None:
    app = screen("data", experiment="tiny")
    assert "1,797 images" in app.header[0].value
    held = app.dataframe[1].value
    assert held.to_dict("records") == [{"images per class": "15", "training images": 150, "from groups": 150}]


@pytest.mark.parametrize("state", ["running", "lost", "failed"])
def test_an_experiments_samples_are_shown_before_it_has_finished(screen, experiment: Path, state: str) -> None:
    put_into(experiment, state)
    app = screen("data", experiment="tiny")
    assert app.header[0].value == "1,797 images, 10 classes; only copies are known to stay on one side of the split."


def test_a_folder_is_scanned_and_its_unreadable_files_named(screen, image_folder: Path) -> None:
    (image_folder / "dark" / "cut.png").write_bytes(b"")
    app = screen("data", source="folder", root=str(image_folder), group_by=r"(.*)_[0-9]+\.png")
    assert app.header[0].value.startswith("60 images, 2 classes, 20 groups; no group and no copy that was found")
    assert not any("o group and no copy" in item.value for item in app.markdown), "said once, in the headline"
    assert app.dataframe[0].value.to_dict("records") == [{"file": "dark/cut.png", "reason": "the file is empty"}]
    app = screen("data", source="folder", root=str(image_folder), group_by="(.)(.)")
    assert "group_by must hold exactly one (…)" in app.error[0].value
    app = screen("data", source="folder", root=str(image_folder), group_by="(.)" * 500)
    assert "group_by must have at most 1,000 letters" in app.error[0].value


def test_a_missing_folder_says_so(screen) -> None:
    app = screen("data", source="folder", root="/no/such/folder")
    assert "must be a folder of class folders" in app.error[0].value


def test_an_unnamed_folder_asks_for_it(screen) -> None:
    assert "One folder of images per class" in screen("data", source="folder").info[0].value


def test_copies_and_conflicts_are_shown_as_pairs(screen, image_folder: Path) -> None:
    for name in ("light/copy.bmp", "dark/wrong.bmp"):
        Image.open(image_folder / "light" / "light_0_0.png").save(image_folder / name)
    app = screen("data", source="folder", root=str(image_folder))
    labels = [item.label for item in app.expander]
    assert ":red[The same picture under two labels: 2]" in labels
    assert "2 pairs of the same picture: 2 pixel by pixel, 0 nearly; 2 of them in different groups" in labels
    captions = " ".join(item.value for item in app.caption)
    assert "wrong.bmp" in captions and "copy.bmp" in captions


def test_a_table_with_its_own_split_says_that_it_is_kept(screen, image_folder: Path) -> None:
    paths = sorted(path.relative_to(image_folder).as_posix() for path in image_folder.rglob("*.png"))
    rows = [f"{path},{path.partition('/')[0]},{'test' if number % 3 == 0 else 'train'}" for number, path in enumerate(paths)]
    table = image_folder / "images.csv"
    table.write_text("path,label,split\n" + "\n".join(rows))
    app = screen("data", source="table", root=str(table))
    assert "The dataset's official split" in " ".join(item.value for item in app.markdown)
    assert app.dataframe[0].value["test"].sum() == 20


def test_a_column_that_looks_like_a_group_is_asked_about_and_can_be_chosen(screen, image_folder: Path) -> None:
    paths = sorted(path.relative_to(image_folder).as_posix() for path in image_folder.rglob("*.png"))
    rows = [f"{path},{path.partition('/')[0]},p{number // 3},{number % 2}" for number, path in enumerate(paths)]
    table = image_folder / "images.csv"
    table.write_text("path,species,patient_id,note\n" + "\n".join(rows))
    app = screen("data", source="table", root=str(table))
    assert "did you mean label by 'species'" in app.error[0].value
    app = screen("data", source="table", root=str(table), columns="label: species")
    assert "did you mean group" in app.error[0].value and not app.exception
    app = screen("data", source="table", root=str(table), columns="label: species, group: patient_id")
    assert app.header[0].value.startswith("60 images, 2 classes, 20 groups")
    assert "Columns that are not used: note." in " ".join(item.value for item in app.markdown)
    app = screen("data", source="table", root=str(table), columns="grup: a")
    assert "columns.grup must be 'path', 'label', 'group', 'split', 'is_query', 'is_gallery' or 'camera'" in app.error[0].value
    app = screen("data", source="table", root=str(table), columns="grup: [")
    assert "Columns must name a column for path, label, group or split" in app.error[0].value


def test_levels_of_more_than_8_bits_are_said_and_can_be_chosen(screen, image_folder: Path) -> None:
    for path in image_folder.rglob("*.png"):
        levels = np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 16
        Image.fromarray(levels).save(path)
    app = screen("data", source="folder", root=str(image_folder))
    assert "4,095 for white, the bits that hold them" in " ".join(item.value for item in app.markdown)
    app = screen("data", source="folder", root=str(image_folder), levels="65535")
    assert "65,535 for white, as dataset.levels says" in " ".join(item.value for item in app.markdown)


def test_pets_that_are_missing_can_be_downloaded_and_no_network_is_one_line(screen, tmp_path: Path, monkeypatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")  # it never leaves this machine
        app = screen("data", source="oxford_pet", root=str(tmp_path / "oxford-iiit-pet"))
        assert "do not lie in" in app.info[0].value and not app.error
        next(item for item in app.button if item.label == "Download 800 MB").click().run()
    assert not app.exception
    assert "could not be fetched (Connection refused); what has been fetched is kept" in app.error[0].value


def test_names_suggest_the_groups_and_a_press_takes_them(screen, image_folder: Path) -> None:
    app = screen("data", source="folder", root=str(image_folder))
    assert any("would make 20 groups" in item.value for item in app.markdown)
    next(item for item in app.button if item.label == "Group by these names").click().run()
    assert app.header[0].value.startswith("60 images, 2 classes, 20 groups; no group and no copy")


def test_a_corrected_folder_is_read_again_and_scan_again_reads_what_looks_unchanged(
        screen, image_folder: Path, tmp_path: Path) -> None:
    app = screen("data", source="folder", root=str(image_folder))
    assert app.dataframe[0].value["all"].tolist() == [30, 30]
    (image_folder / "dark" / "dark_0_0.png").rename(image_folder / "light" / "corrected.png")
    app.run()
    assert app.dataframe[0].value["all"].tolist() == [29, 31]
    [cache] = (tmp_path / "data" / ".scans").glob("*.sqlite")
    with closing(sqlite3.connect(cache)) as kept:  # as if a file had changed and looked the same
        kept.execute("UPDATE file SET digest = 'x', reason = 'cut' WHERE path = 'dark/dark_0_1.png'")
        kept.commit()
    (image_folder / "dark" / "dark_0_2.png").unlink()
    app.run()
    assert app.dataframe[0].value.to_dict("records") == [{"file": "dark/dark_0_1.png", "reason": "cut"}]
    next(item for item in app.button if item.label == "Scan again").click().run()
    assert app.dataframe[0].value["all"].tolist() == [28, 31]


def test_split_folders_nested_classes_and_what_was_not_read_are_said(screen, image_folder: Path) -> None:
    for label in ("dark", "light"):
        for number, path in enumerate(sorted((image_folder / label).iterdir())):
            new = image_folder / ("train" if number % 3 else "test") / label / path.name
            new.parent.mkdir(parents=True, exist_ok=True)
            path.rename(new)
        (image_folder / label).rmdir()
    (image_folder / "notes.txt").write_text("x")
    (image_folder / "train" / "empty").mkdir()
    app = screen("data", source="folder", root=str(image_folder))
    said = " ".join(item.value for item in app.markdown)
    assert "The folders train and test are taken as the split." in said
    assert "1 .txt" in said and "train/empty" in said
    assert app.dataframe[0].value["test"].sum() == 20
    for label in ("dark", "light"):
        (image_folder / "test" / label).rename(image_folder / "train" / label / "more")
    (image_folder / "test").rmdir()
    for label in ("a", "b"):
        folder = image_folder / label
        folder.mkdir()
        for inner in ("dark", "light"):
            (folder / inner).mkdir()
        for number, path in enumerate(sorted((image_folder / "train" / ("dark" if label == "a" else "light")).rglob("*.png"))):
            path.rename(folder / ("dark" if number % 2 else "light") / f"{number}.png")
    app = screen("data", source="folder", root=str(image_folder))
    assert "2 classes at the top, 4 at the leaves" in app.error[0].value
    app = screen("data", source="folder", root=str(image_folder), classes="leaf")
    assert "4 classes" in app.header[0].value
