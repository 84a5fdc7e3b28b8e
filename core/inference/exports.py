"""A run's embeddings, numbers or encoder as one file to take along: verified first, written whole or not at all.

Loads torch for ONNX alone.
"""

from pathlib import Path

from core import files, seal
from core.analysis import table as tables
from core.errors import Damaged, InputError
from core.experiments import handles
from core.experiments.handles import Run
from core.files import Json
from core.results import scoring, thresholds

SUFFIXES = (".parquet", ".html", ".onnx", ".safetensors")


def write(run: Run, output: Path) -> None:
    """Writes what the output's ending asks for.

    Args:
        run: one that is completed.
        output: file that ends in one of `SUFFIXES`.

    Raises:
        InputError: if the run is not completed, or has no weights of its own.
        Damaged: if what is to be taken along is not what was saved.
    """
    if not run.has_embeddings:
        raise InputError(f"a run to export must be completed, got {run.status.state} for {_name(run)}")
    match output.suffix:
        case ".parquet":
            scoring.read_embeddings(run)  # verifies; the file itself is copied, byte for byte
            files.write_bytes(output, run.embeddings_file.read_bytes())
        case ".html":
            from core.report import html

            html.write_space(scoring.read_embeddings(run), _name(run), output)
        case ".safetensors":
            files.write_bytes(output, verified_weights(run)[0])
        case ".onnx":
            if run.config.is_trained:
                verified_weights(run)  # first: whatever else is lacking, damage is said
            from core.inference import embedding

            embedding.export_onnx(run, output)


def verified_weights(run: Run) -> tuple[bytes, dict]:
    """The bytes of a run's best weights and the values in their header.

    Raises:
        InputError: if the run is the untrained encoder.
        Damaged: if they are gone, cut, changed, or not those that gave its embeddings.
    """
    if not run.config.is_trained:
        raise InputError(f"weights to export must have been trained, got {_name(run)}, which was not trained here")
    path = run.best_checkpoint
    try:
        content, values = seal.values(path)
    except FileNotFoundError:
        raise Damaged(path, "must exist, it is missing", handles.RESUME) from None
    recorded = tables.read_header(run.embeddings_file)[0].get("checkpoint_sha256")
    if recorded != values["sha256"]:
        raise Damaged(path, f"must be the weights that gave the run's embeddings, {str(recorded)[:12]}…, got "
                            f"{values['sha256'][:12]}…: another run's, or another epoch's")
    return content, values


def thresholds_of(run: Run) -> Json | None:
    """The thresholds on the similarity of a completed run's vectors, as `thresholds.summary` words them; they go along with
    its encoder. None where an earlier version chose none and its embeddings are gone.

    Raises:
        Damaged: if they or its embeddings are there and neither can be read.
    """
    if not run.thresholds_file.is_file() and not run.has_embeddings:
        return None
    return thresholds.summary(thresholds.read(run), run.config.evaluation.bootstrap)


def _name(run: Run) -> str:
    return run.full_name
