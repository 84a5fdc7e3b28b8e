"""DATA: the sentence, the counts, what is left out, and what cannot be split."""

import socket
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import put_into


def test_digits_say_that_nothing_is_shared(screen) -> None:
    app = screen("data")
    assert app.header[0].value == "1,797 images, 10 classes; nothing is shared between train, validation and test."
    counts = app.dataframe[0].value
    assert counts[["train", "validation", "test"]].to_numpy().sum() == 1797


def test_an_experiments_samples_are_shown_as_it_split_them(screen, experiment: Path) -> None:
    app = screen("data", experiment="tiny")
    assert "1,797 images" in app.header[0].value
    held = app.dataframe[1].value
    assert held.to_dict("records") == [{"images per class": "15", "training images": 150, "from groups": 150}]


@pytest.mark.parametrize("state", ["running", "lost", "failed"])
def test_an_experiments_samples_are_shown_before_it_has_finished(screen, experiment: Path, state: str) -> None:
    put_into(experiment, state)
    app = screen("data", experiment="tiny")
    assert app.header[0].value == "1,797 images, 10 classes; nothing is shared between train, validation and test."


def test_a_folder_is_scanned_and_its_unreadable_files_named(screen, image_folder: Path) -> None:
    (image_folder / "dark" / "cut.png").write_bytes(b"")
    app = screen("data", source="folder", root=str(image_folder), group_by=r"(.*)_[0-9]+\.png")
    assert app.header[0].value.startswith("60 images, 2 classes, 20 groups; nothing is shared")
    assert app.dataframe[0].value.to_dict("records") == [{"file": "dark/cut.png", "reason": "the file is empty"}]


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


def test_pets_that_are_missing_can_be_downloaded_and_no_network_is_one_line(screen, tmp_path: Path, monkeypatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")  # it never leaves this machine
        app = screen("data", source="oxford_pet", root=str(tmp_path / "oxford-iiit-pet"))
        assert "do not lie in" in app.info[0].value and not app.error
        next(item for item in app.button if item.label == "Download 800 MB").click().run()
    assert not app.exception
    assert "could not be fetched (Connection refused); what has been fetched is kept" in app.error[0].value
