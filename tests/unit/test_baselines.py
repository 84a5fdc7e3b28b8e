"""What training is measured against: how baselines are named in a file, and what is refused of them."""

import pytest

from core import config as configuration
from core.config import ConfigError
from tests.conftest import TINY


def with_baselines(*baselines: object) -> configuration.ExperimentConfig:
    return configuration.parse({**TINY, "baselines": list(baselines)})


def test_a_text_is_a_table_a_weights_file_or_an_encoder_by_its_ending() -> None:
    config = with_baselines("convnext_tiny.dinov3_lvd1689m", "a/b c.parquet", "more/w.safetensors", "tf_efficientnet_lite0")
    runs = {run.name: run for run in config.runs() if run.seed == 0}
    assert config.frozen_arms == ("untrained", "convnext_tiny.dinov3_lvd1689m", "b-c", "w", "tf_efficientnet_lite0")
    assert [*runs] == [f"{arm}-15-seed0" for arm in (*config.frozen_arms, "classification", "supcon")]
    assert [(run.encoder.name, run.encoder.weights, run.table) for run in runs.values()][1:5] == [
        ("convnext_tiny.dinov3_lvd1689m", "hub", None), ("test_resnet", "random", "a/b c.parquet"),
        ("test_resnet", "more/w.safetensors", None), ("tf_efficientnet_lite0", "bundled", None)]
    assert [run.is_trained for run in runs.values()] == [False] * 5 + [True] * 2


def test_weights_alone_are_the_experiments_encoders_and_a_name_alone_has_its_own_size() -> None:
    config = with_baselines({"weights": "w.pth", "mean": [0.5, 0.5, 0.5]}, {"name": "resnet10t", "weights": "random"})
    first, second = (baseline.encoder(config.encoder) for baseline in config.baselines)
    assert (first.name, first.image_size, first.mean) == ("test_resnet", 32, (0.5, 0.5, 0.5))
    assert (second.name, second.image_size, second.geometry) == ("resnet10t", None, "timm")


def test_a_config_with_baselines_is_the_same_after_its_json_and_so_is_each_run() -> None:
    config = with_baselines("resnet10t", {"table": "v.parquet", "label": "theirs"})
    assert configuration.parse(config.to_json()) == config
    assert [configuration.parse_run(run.to_json()) for run in config.runs()] == config.runs()
    assert configuration.parse(TINY).baselines == ()


def test_files_are_found_from_anywhere() -> None:
    config = with_baselines("w.pth", "v.parquet", "tf_efficientnet_lite0").with_absolute_paths()
    weights, table, named = config.baselines
    assert weights.weights.startswith("/") and table.table.startswith("/") and named.weights is None


@pytest.mark.parametrize(("baselines", "message"), [
    ([{}], "baselines.0 must name an encoder, weights or a table, got none of the three"),
    (["resnet10t", "convnext_tny"], "baselines.1.name must be one of timm's encoders (close: convnext_tiny"),
    (["resnet10t", "resnet10t"], "baselines.1.label must be no other arm's, got 'resnet10t' twice"),
    ([{"label": "supcon", "name": "resnet10t"}], "baselines.0.label must be no other arm's, got 'supcon' twice"),
    ([{"label": "untrained", "name": "resnet10t"}], "baselines.0.label must be no other arm's, got 'untrained' twice"),
    ([{"label": "../x", "name": "resnet10t"}], "baselines.0.label must be 1 to 64 letters"),
    ([{"table": "x.parquet", "name": "resnet10t"}], "baselines.0.name must be absent where a table gives the vectors"),
    ([{"name": "resnet10t", "weights": "bundled"}], "baselines.0.weights must be 'random', 'hub' or a weights file's path"),
    ([{"name": "resnet10t", "image_size": 3}], "baselines.0.image_size must be greater than or equal to 16, got 3"),
    ([{"nme": "resnet10t"}], "unknown key 'baselines.0.nme'; allowed here: label, name, weights"),
    ([{"name": "resnet10t", "std": [0, 1, 1]}], "baselines.0.std must be three numbers above 0"),
])
def test_what_cannot_be_is_refused_at_its_place(baselines: list, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        with_baselines(*baselines)
    assert str(refusal.value).startswith(message), refusal.value


def test_the_label_is_the_same_wherever_the_file_lies() -> None:
    config = with_baselines({"weights": "a/first.ckpt"}, {"weights": "b/second.PTH"},
                            {"name": "resnet10t", "weights": "plain"})
    assert config.frozen_arms[1:] == config.with_absolute_paths().frozen_arms[1:] == ("first", "second", "plain")
