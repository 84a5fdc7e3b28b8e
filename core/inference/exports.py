"""A run's embeddings, numbers or encoder as one file to take along: verified first, written whole or not at all.

Loads torch for ONNX alone.
"""

from pathlib import Path

from core import files, seal
from core.analysis import table as tables
from core.errors import Damaged, InputError
from core.experiments import directory, filenames
from core.results import scoring

SUFFIXES = (".parquet", ".html", ".onnx", ".safetensors")


def write(run: Path, output: Path) -> None:
    """Writes what the output's ending asks for.

    Args:
        run: a completed run's folder.
        output: file that ends in one of `SUFFIXES`.

    Raises:
        InputError: if the run is not completed, or has no weights of its own.
        Damaged: if what is to be taken along is not what was saved.
    """
    if not (run / filenames.EMBEDDINGS).is_file():
        raise InputError(f"a run to export must be completed, got {directory.read_status(run).state} for {_name(run)}")
    match output.suffix:
        case ".parquet":
            scoring.read_embeddings(run)  # verifies; the file itself is copied, byte for byte
            files.write_bytes(output, (run / filenames.EMBEDDINGS).read_bytes())
        case ".html":
            from core.report import html

            html.write_space(scoring.read_embeddings(run), _name(run), output)
        case ".safetensors":
            files.write_bytes(output, verified_weights(run)[0])
        case ".onnx":
            if directory.read_run(run).is_trained:
                verified_weights(run)  # first: whatever else is lacking, damage is said
            from core.inference import embedding

            embedding.export_onnx(run, output)


def verified_weights(run: Path) -> tuple[bytes, dict]:
    """The bytes of a run's best weights and the values in their header.

    Raises:
        InputError: if the run is the untrained encoder.
        Damaged: if they are gone, cut, changed, or not those that gave its embeddings.
    """
    if not directory.read_run(run).is_trained:
        raise InputError(f"weights to export must have been trained, got the untrained run {_name(run)}")
    path = run / filenames.BEST
    try:
        content, values = seal.values(path)
    except FileNotFoundError:
        raise Damaged(path, "must exist, it is missing", directory.RESUME) from None
    recorded = tables.read_header(run / filenames.EMBEDDINGS)[0].get("checkpoint_sha256")
    if recorded != values["sha256"]:
        raise Damaged(path, f"must be the weights that gave the run's embeddings, {str(recorded)[:12]}…, got "
                            f"{values['sha256'][:12]}…: another run's, or another epoch's")
    return content, values


def _name(run: Path) -> str:
    return f"{run.parent.name}/{run.name}"
