"""`export`: a run's embeddings or encoder, or an experiment's report."""

import argparse
from pathlib import Path

from core.cli import named_runs
from core.cli.output import check_output, say
from core.experiments import store

HELP = "take a run's embeddings or encoder with you, or an experiment's report (html)"
SHARED = ()


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    named_runs.add_argument(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.{parquet,html,onnx,safetensors}")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    if "/" not in options.run:
        check_output(options.output, (".html",))
        from core.report import gathering

        gathering.write(store.find(options.checkpoints, options.run), options.output)
        say(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
        return 0
    from core.inference import exports

    check_output(options.output, exports.SUFFIXES)
    exports.write(store.find_run(options.checkpoints, options.run), options.output)
    say(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    return 0
