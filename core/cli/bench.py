"""`bench`: training and embedding timed against what the device alone can do."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from core import experiment_file
from core.cli.output import check_output
from core.cli.planning import plan
from core.errors import InputError
from core.jobs import checks, tasks

HELP = "time training and embedding against what the device alone can do"
SHARED = ("device", "json")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS,
                        help="time this experiment's first run (default: the demo)")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", dest="overrides", default=argparse.SUPPRESS,
                        help="override one field of the config; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default: 5)")
    parser.add_argument("--trace", type=Path, metavar="FILE.json", help="also write a profile of ten training steps")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    if options.rounds < 1:
        raise InputError(f"--rounds must be at least 1, got {options.rounds}")
    flags = ["--device", options.device, "--rounds", str(options.rounds), "--data", str(options.data.resolve())]
    if options.trace:
        check_output(options.trace, (".json",), "--trace")
        flags += ["--trace", str(options.trace.resolve())]
    if options.json:
        flags.append("--json")
    config = experiment_file.load(options.config or tasks.PROJECT / "configs" / "demo.yaml", tuple(options.overrides))
    checks.check_device(options.device)
    checked = plan(config, options)
    experiment = json.dumps(checked.config.to_json())
    quiet = {"KINETO_LOG_LEVEL": "99"}  # to torch's profiler a machine without a GPU is an error
    try:
        return subprocess.run([sys.executable, "-m", "core.benchmark.bench", experiment, *flags], cwd=tasks.PROJECT,
                              env={**os.environ, **tasks.ENVIRONMENT, **quiet}).returncode
    except KeyboardInterrupt:  # its process was interrupted too
        return 1
