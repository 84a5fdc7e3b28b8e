"""EXPORT: what is taken along, verified first."""

from pathlib import Path


def test_export_says_what_it_holds(screen, experiment: Path) -> None:
    app = screen("export", experiment="tiny", run="supcon-15-seed0")
    assert app.header[0].value == "1,797 images × 96 dimensions, verified and ready to take along."
    assert 'pd.read_parquet("tiny-supcon-15-seed0.parquet")' in app.code[0].value


def test_export_refuses_a_damaged_table(screen, experiment: Path) -> None:
    path = experiment / "supcon-15-seed0" / "embeddings.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    app = screen("export", experiment="tiny", run="supcon-15-seed0")
    assert "must be an embedding table" in app.error[0].value


def test_empty_offers_the_demo(screen) -> None:
    assert [button.label for button in screen("export").button] == ["Run the demo"]
