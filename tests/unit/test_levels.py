"""Levels of more than 8 bits: the range is what a dataset's files reach, one for all of a kind, or what the config says."""

import json
import struct
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from core.config import DatasetConfig, parse
from core.data import decoding, levels, manifest, pixels, sources
from core.data.levels import Levels, Reach
from core.errors import ConfigError
from tests.images import encoded

GREY = np.linspace(0, 255, 32 * 32).reshape(32, 32).astype(np.uint8)


def tiff(values: np.ndarray, photometric: int = 1, order: str = "<", bits: int | None = None) -> bytes:
    """A plain TIFF of one strip: unsigned or signed, of either byte order, black or white being zero."""
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    bits = bits or values.dtype.itemsize * 8
    if bits == 12:  # two samples in three bytes
        pairs = values.reshape(-1, 2).astype(np.uint32)
        packed = pairs[:, 0] << 12 | pairs[:, 1]
        body = b"".join(int(number).to_bytes(3, "big") for number in packed)
    else:
        body = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = [(256, 3, values.shape[1]), (257, 3, values.shape[0]), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
            (273, 4, 8), (277, 3, 1), (278, 3, values.shape[0]), (279, 4, len(body)), (339, 3, kind)]
    entries = b"".join(struct.pack(order + "HHI", tag, of, 1)
                       + (struct.pack(order + "HH", value, 0) if of == 3 else struct.pack(order + "I", value))
                       for tag, of, value in tags)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8 + len(body)) + body + struct.pack(order + "H", len(tags)) + entries + bytes(4)


def shown(content: bytes, ranges: Levels | None = None) -> np.ndarray:
    image = np.asarray(decoding.decode(content, ranges), int)
    assert (image == image[..., :1]).all()
    return image[..., 0]


@pytest.mark.parametrize("values, photometric", [
    (GREY.astype(np.uint16), 1), (GREY.astype(np.uint16) * 4, 1), (GREY.astype(np.uint16) * 16, 1),
    (GREY.astype(np.uint16) * 64, 1), (GREY.astype(np.uint16) * 257, 1), (GREY.astype(np.int16), 1),
    (GREY.astype(np.int16) * 16, 1), (GREY.astype(np.int16) * 128, 1), (GREY.astype(np.int32), 1),
    (GREY.astype(np.int32) * 257, 1), (GREY.astype(np.int32) * 4096, 1),
    (np.uint16(65535) - GREY.astype(np.uint16) * 257, 0), (np.uint16(4095) - GREY.astype(np.uint16) * 16, 0),
], ids=["8in16", "10in16", "12in16", "14in16", "16", "signed-8", "signed-12", "signed-15", "int32-8", "int32-16", "int32-20",
        "white-is-zero-16", "white-is-zero-12"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_file_is_as_bright_as_in_8_bits(values, photometric, order):
    if order == ">" and photometric == 0:
        pytest.skip("Pillow opens no such file; it is listed as unreadable")
    assert np.abs(shown(tiff(values, photometric, order)) - GREY).max() <= 2


def test_twelve_bits_that_are_stated_are_twelve():
    assert np.abs(shown(tiff(GREY.astype(np.uint16) // 2 * 16, bits=12)) - GREY // 2).max() <= 1


def test_8_bits_white_is_zero_and_palettes_are_as_they_were():
    assert (shown(tiff(255 - GREY, photometric=0)) == GREY).all()
    assert decoding.grey_square(encoded(Image.fromarray(GREY), "PNG"), 16)[1] is None


def test_levels_below_zero_are_scaled_with_the_rest():
    values = np.linspace(-1000, 3000, 1024).reshape(32, 32).astype(np.int16)
    found = shown(tiff(values))
    assert found.min() == 1 and found.max() == 200  # of -1,024 to 4,095
    assert (np.diff(found.ravel()) >= 0).all()


def test_formats_that_say_their_range_keep_it():
    dark = GREY.astype(np.uint16) // 16
    assert shown(b"P5 32 32 4095\n" + (dark * 16).astype(">u2").tobytes()).max() in (14, 15)
    assert decoding.grey_square(b"P5 32 32 4095\n" + (dark * 16).astype(">u2").tobytes(), 16)[1] is None
    assert np.abs(shown(tiff(255 - GREY, photometric=0)) - GREY).max() == 0


PGM = b"P5 32 32 65535\n"


@pytest.mark.parametrize("content", [
    PGM + (GREY.astype(np.uint16) * 16).astype(">u2").tobytes(),
    b"P2 32 32 65535\n" + " ".join(str(int(value) * 16) for value in GREY.ravel()).encode(),
    encoded(Image.fromarray(GREY.astype(np.uint16) * 16), "JPEG2000")], ids=["PGM", "PGM in digits", "JPEG 2000"])
def test_16_bits_of_a_format_that_always_states_them_are_measured(content):
    assert np.abs(shown(content) - GREY).max() <= 2
    kind = "16-bit PGM or JPEG 2000"
    assert decoding.grey_square(content, 16)[1] == Reach(kind, 0, 4080)
    assert np.abs(shown(content, Levels({kind: (0, 16383)})) - GREY // 4).max() <= 2
    for earlier in (Levels({"16-bit": (0, 4095)}), levels.ASSUMED):  # as an experiment of before was trained on it
        assert np.abs(shown(content, earlier) - GREY // 16).max() <= 1


def test_signed_8_bits_are_no_unsigned_ones():
    content = tiff((GREY.astype(int) - 128).astype(np.int8))
    assert (shown(content) == GREY).all()
    grey, reach = decoding.grey_square(content, 16)
    assert reach == Reach("signed 8-bit", -128, 127) and np.asarray(grey).mean() == pytest.approx(GREY.mean(), abs=3)
    assert (shown(content, Levels()) == (GREY.astype(int) - 128) % 256).all(), "as an experiment of before was trained on it"


def test_a_range_of_more_than_8_bits_is_not_laid_on_signed_bytes():
    reaches = [Reach("signed 8-bit", -128, 127), Reach("16-bit", 0, 300)]
    assert levels.measured(reaches, 65535) == Levels({"signed 8-bit": levels.fitting(reaches[0]), "16-bit": (0, 65535)})


def test_floating_point_is_refused_as_ever():
    with pytest.raises(ValueError, match="floating-point levels have no fixed range"):
        decoding.decode(tiff(GREY.astype(np.float32)))


@pytest.mark.parametrize("reach, expected", [
    (Reach("16-bit", 0, 0), (0, 255)), (Reach("16-bit", 3, 255), (0, 255)), (Reach("16-bit", 0, 256), (0, 1023)),
    (Reach("16-bit", 0, 4095), (0, 4095)), (Reach("16-bit", 0, 4096), (0, 16383)), (Reach("16-bit", 9, 16384), (0, 65535)),
    (Reach("signed 16-bit", 0, 32767), (0, 32767)), (Reach("signed 16-bit", -1, 3000), (-256, 4095)),
    (Reach("signed 16-bit", -32768, 5), (-32768, 255)), (Reach("32-bit", 0, 70_000), (0, 2**20 - 1)),
    (Reach("32-bit", -5, 2**31 - 1), (-256, 2**31 - 1))])
def test_the_range_is_the_fewest_usual_bits_that_hold_the_levels(reach, expected):
    assert levels.fitting(reach) == expected
    assert Reach.read(str(reach)) == reach


def test_one_range_for_all_files_of_a_kind():
    found = levels.measured([Reach("16-bit", 5, 200), Reach("16-bit", 0, 3000), Reach("32-bit", 0, 9)])
    assert found == Levels({"16-bit": (0, 4095), "32-bit": (0, 255)})
    assert found.key == "-4095-255" and Levels().key == "" and Levels({"32-bit": (-256, 255)}).key == "-m256_255"
    assert levels.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert levels.measured([Reach("16-bit", 5, 200)], 4095) == Levels({"16-bit": (0, 4095)})
    assert levels.measured([]) == Levels() and levels.from_json(None) == levels.ASSUMED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 12-bit images, one of them dark: by itself it would be taken for 10 bits."""
    generator = np.random.default_rng(0)
    for label, high in (("dark", 900), ("light", 4000)):
        (tmp_path / label).mkdir()
        for number in range(4):
            values = generator.integers(0, high, (24, 24)).astype(np.uint16)
            values[0, 0] = high
            (tmp_path / label / f"{number}.tif").write_bytes(tiff(values))
    return tmp_path


def scanned(folder: Path, cache: Path | None = None, **config):
    config = DatasetConfig(source="folder", root=str(folder), **config)
    return config, sources.open_source(config).scan(None, cache)


def test_a_dataset_is_scaled_by_what_all_its_files_reach_and_says_so(folder, tmp_path):
    config, found = scanned(folder, tmp_path / "cache")
    assert found.levels == Levels({"16-bit": (0, 4095)})
    assert found.remarks == ("Levels of 8 16-bit images reach from 0 to 4,000: 0 is taken for black and 4,095 for white, the "
                             "bits that hold them; dataset.levels can say others.",)
    again = scanned(folder, tmp_path / "cache")[1]
    assert again.levels == found.levels and again.remarks == found.remarks
    source = sources.open_source(config, found.levels)
    brightest = [np.asarray(source.image(f"{label}/0.tif")).max() for label in ("dark", "light")]
    assert brightest == [900 * 255 // 4095, 4000 * 255 // 4095]
    stored = pixels.load(found, sources.open_source(config), 24, tmp_path / "pixels")
    assert stored.max() == brightest[1] and "-4095-24" in pixels.cache_path(tmp_path, found, 24).name
    for row, name in enumerate(found.sample_id):
        assert (stored[row] == np.asarray(source.image(name))).all()


def test_the_range_can_be_said_and_levels_above_are_white(folder, tmp_path):
    config, found = scanned(folder, tmp_path / "cache", levels=1023)
    assert found.levels == Levels({"16-bit": (0, 1023)}) and "1,023 for white, as dataset.levels says" in found.remarks[0]
    assert np.asarray(sources.open_source(config, found.levels).image("light/0.tif")).max() == 255
    assert scanned(folder, tmp_path / "cache")[1].levels == Levels({"16-bit": (0, 4095)})


def test_a_scan_in_another_range_reads_looks_anew(folder, tmp_path):
    """A file that joins a kept scan may change the range of all."""
    from core.data.scan import scan

    names = [f"{label}/{number}.tif" for label in ("dark", "light") for number in range(4)]
    only_dark = scan(folder, names[:4], tmp_path / "cache")
    assert {seen.scaled for seen in only_dark.values()} == {"0:1023"}
    every = scan(folder, names, tmp_path / "cache")
    assert {seen.scaled for seen in every.values()} == {"0:4095"}
    assert every["dark/0.tif"].look != only_dark["dark/0.tif"].look
    assert every == scan(folder, names)


def test_the_range_is_kept_with_the_manifest_and_old_ones_keep_theirs(folder, tmp_path):
    _, found = scanned(folder)
    found.write(tmp_path / "m.parquet")
    assert manifest.read(tmp_path / "m.parquet").levels == found.levels == manifest.read_levels(tmp_path / "m.parquet")
    table = pq.read_table(tmp_path / "m.parquet")
    from dataclasses import replace

    plain = replace(found, levels=Levels(), remarks=())
    plain.write(tmp_path / "m.parquet")
    assert manifest.read(tmp_path / "m.parquet").levels == Levels()
    table = pq.read_table(tmp_path / "m.parquet")
    meta = json.loads(table.schema.metadata[b"duet"])
    del meta["levels"]  # as before ranges were measured
    pq.write_table(table.replace_schema_metadata({"duet": json.dumps(meta)}), tmp_path / "m.parquet")
    old = manifest.read(tmp_path / "m.parquet")
    assert old.levels == levels.ASSUMED == manifest.read_levels(tmp_path / "m.parquet")
    assert pixels.cache_path(tmp_path, old, 24).name == pixels.cache_path(tmp_path, plain, 24).name
    assert shown((folder / "light" / "0.tif").read_bytes(), old.levels).max() == 4000 // 257


def test_levels_are_of_the_list():
    assert parse({"name": "x", "dataset": {"source": "folder", "root": "x"}}).dataset.levels == "auto"
    with pytest.raises(ConfigError, match=r"dataset.levels must be 'auto', 255, 1023, 4095, 16383 or 65535, got 300"):
        parse({"name": "x", "dataset": {"source": "folder", "root": "x", "levels": 300}})


def test_queries_and_embed_read_levels_as_the_dataset_does(folder, tmp_path):
    """A dark file alone would be taken for 10 bits; the run's dataset says 12."""
    import torch

    from core.experiments import planning, store
    from core.inference import embedding

    values = {"name": "x", "dataset": {"source": "folder", "root": str(folder)}, "seeds": [0],
              "split": {"fractions": [0.5, 0.25, 0.25]}, "encoder": {"name": "test_convnext", "image_size": 32}}
    samples = planning.scan(parse(values).dataset)
    run = store.create(parse(values), samples, tmp_path / "checkpoints").run("untrained-all-seed0")
    (tmp_path / "new").mkdir()
    for number in range(3):
        (tmp_path / "new" / f"{number}.tif").write_bytes((folder / "dark" / f"{number}.tif").read_bytes())
    table, left_out = embedding.embed_folder(run, tmp_path / "new", torch.device("cpu"))
    assert not left_out and table.metadata["levels"] == {"16-bit": [0, 4095]}
    module, data, config, _ = embedding.load_encoder(run)
    content = (folder / "dark" / "0.tif").read_bytes()
    [asked], [alone] = (embedding.embed_images(module, data, config, [content], ranges) for ranges in (samples.levels, None))
    assert np.abs(asked - table.embedding[0]).max() < 1e-5 < np.abs(alone - table.embedding[0]).max()
