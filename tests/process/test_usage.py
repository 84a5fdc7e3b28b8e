"""The code on Export, run as it stands without this repository, gives the exported vectors."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core import files
from core.config import EncoderConfig
from core.data import decoding, pixels
from core.experiments.handles import Run
from core.inference import embedding, exports, usage
from core.training import checkpoint, embed, encoder
from core.training.encoder import DataConfig
from tests import SHARED

PETS = SHARED / "data" / "oxford-iiit-pet" / "images"
WEIGHTS = SHARED / "pretrained" / "mobilenetv2_035.safetensors"
REAL = EncoderConfig(name="mobilenetv2_035", weights=str(WEIGHTS), options={"pad_type": "same", "bn_eps": 1e-3},
                     mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def run_elsewhere(code: str, images: list[Path], folder: Path) -> np.ndarray:
    """Vectors of image files by the code of a snippet, in a process and a folder that know nothing of Duet."""
    output = folder / "vectors.npy"
    script = folder / "code.py"
    script.write_text(f"""import importlib.util

assert importlib.util.find_spec("core") is None and importlib.util.find_spec("main") is None
{code}

import numpy as np

np.save({str(output)!r}, np.stack([vector(path).numpy() for path in {[str(path) for path in images]!r}]))
""", encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", str(script)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(output)


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Vectors of length 1, shape (n, D): the same up to float32's last digits, and the same nearest neighbours."""
    assert (ours * theirs).sum(axis=1).min() > 0.999999
    nearest = []
    for vectors in (ours, theirs):
        similarity = vectors.astype(np.float64) @ vectors.T
        np.fill_diagonal(similarity, -np.inf)
        nearest.append(similarity.argmax(axis=1))
    assert np.array_equal(*nearest)


@pytest.fixture(scope="module")
def odd_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of thirty images of odd shapes, modes and formats."""
    folder = tmp_path_factory.mktemp("odd")
    generator = np.random.default_rng(0)
    shapes = [(500, 375), (201, 77), (31, 200), (97, 96), (96, 96), (13, 11), (1, 1), (400, 9), (3, 300), (640, 479)]
    for number, (width, height) in enumerate(3 * shapes):
        columns, rows = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 6, height))
        waves = np.stack([np.sin((number + 1) * columns / 3), np.cos(rows + number), np.sin(columns * rows / 3)], axis=2)
        levels = (127 + 90 * waves + generator.normal(0, 20, (height, width, 3))).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(levels)
        if number % 5 == 1:
            image.putalpha(Image.fromarray((255 * (columns < 3)).astype(np.uint8)))
            image.save(folder / f"{number:02}.png")
        elif number % 5 == 2:
            image.convert("L").save(folder / f"{number:02}.png")
        elif number % 5 == 3:
            exif = Image.Exif()
            exif[0x0112] = 6  # lies on its side
            image.save(folder / f"{number:02}.jpg", exif=exif, quality=95)
        elif number % 5 == 4:
            image.quantize(64).save(folder / f"{number:02}.gif")
        else:
            image.save(folder / f"{number:02}.jpg", quality=95)
    return folder


def test_the_code_on_export_gives_what_embed_gives(screen, experiment: Path, odd_images: Path, tmp_path: Path) -> None:
    app = screen("export", experiment="tiny", run="supcon-15-seed0")
    [code] = [item.value for item in app.code if "create_transform" in item.value]
    run = experiment / "supcon-15-seed0"
    exports.write(Run(run), tmp_path / "tiny-supcon-15-seed0.safetensors")
    table, left_out = embedding.embed_folder(Run(run), odd_images, torch.device("cpu"))
    assert not left_out and len(table) == 30
    assert_same(table.embedding, run_elsewhere(code, [odd_images / name for name in table.sample_id], tmp_path))
    assert table.metadata["data_config"] == files.read_json(run / "best.json")["data_config"]


def export_by_hand(config: EncoderConfig, folder: Path) -> tuple[torch.nn.Module, DataConfig, str]:
    """An encoder, its input, and the snippet of its weights as a run would save them."""
    module, data = encoder.build(config, seed=0)
    values = {"timm_name": config.name, "timm_options": encoder.timm_options(config), "epoch": 0,
              **encoder.describe(config, data, normalize=True)}
    checkpoint.save(folder / "weights.safetensors", module.state_dict(), values)
    return module, data, usage.snippet("weights.safetensors", files.read_json(folder / "weights.json"))


def embedded(module: torch.nn.Module, data: DataConfig, images: list[Path]) -> np.ndarray:
    stored = np.stack([pixels.square(decoding.decode(path.read_bytes()), data.stored) for path in images])
    return embed.embed(module, data, stored, np.arange(len(images)), torch.device("cpu"), is_half=False)


# A bicubic crop, a bilinear one, a squashed one, one that pads, one of a fixed size that must be told.
@pytest.mark.parametrize("name, size", [("mobilenetv2_035", 96), ("mobilenetv2_035", 224), ("resnet10t", 160),
                                        ("test_vit", 64), ("vit_tiny_patch16_224", 96)])
def test_other_encoders_too(name: str, size: int, odd_images: Path, tmp_path: Path) -> None:
    module, data, code = export_by_hand(EncoderConfig(name=name, image_size=size), tmp_path)
    images = sorted(odd_images.iterdir())
    assert_same(embedded(module, data, images), run_elsewhere(code, images, tmp_path))


@pytest.mark.skipif(not (PETS.is_dir() and WEIGHTS.is_file()), reason="the pets and the weights are not beside the project")
@pytest.mark.parametrize("size", [96, 160, 224])
def test_a_hundred_pets_of_odd_shapes(size: int, tmp_path: Path) -> None:
    module, data, code = export_by_hand(REAL.model_copy(update={"image_size": size}), tmp_path)

    def oddness(path: Path) -> float:
        with Image.open(path) as image:
            return max(image.size) / min(image.size)

    images = sorted(PETS.glob("*.jpg"), key=oddness)[-100:]
    ours = embedded(module, data, images)
    assert_same(ours, run_elsewhere(code, images, tmp_path))
    module, data = encoder.build(REAL.model_copy(update={"image_size": size, "geometry": "rounded"}), seed=0)
    before = embedded(module, data, images)
    print(f"{size} px, the geometry before: mean cosine {(ours * before).sum(axis=1).mean():.4f}")


def test_an_older_runs_weights_have_a_snippet_that_says_it_is_near() -> None:
    values = {"timm_name": "test_resnet", "timm_options": {}, "epoch": 1,
              "data_config": {"mean": [0.5] * 3, "std": [0.5] * 3, "image_size": 32, "crop_pct": 0.95}}
    assert usage.timm_transform(values) == {"input_size": [3, 32, 32], "interpolation": "bicubic", "mean": [0.5] * 3,
                                            "std": [0.5] * 3, "crop_pct": 0.95, "crop_mode": "center"}
    assert not usage.is_exact(values)
    assert "input_size=(3, 32, 32)" in usage.snippet("x.safetensors", values)
