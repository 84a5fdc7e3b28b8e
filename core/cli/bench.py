"""`bench`: training and embedding timed against what the device alone can do."""

import argparse
import json
import sys
from pathlib import Path

from core.benchmark import printing
from core.cli.output import check_output, say
from core.cli.planning import plan
from core.config import experiment_file
from core.errors import InputError
from core.jobs import checks, tasks
from core.jobs.tasks import Progress

HELP = "time training and embedding against what the device alone can do"
SHARED = ("device", "json")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS,
                        help="time this experiment's first run (default: the demo)")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", dest="overrides", default=argparse.SUPPRESS,
                        help="override one field of the config; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default: 5)")
    parser.add_argument("--seconds", type=float, default=6.0, metavar="S",
                        help="what each thing timed gets in a round (default: 6); less is sooner there and less certain")
    parser.add_argument("--trace", type=Path, metavar="FILE.json", help="also write a profile of ten training steps")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    if options.rounds < 1:
        raise InputError(f"--rounds must be at least 1, got {options.rounds}")
    if not 0 < options.seconds <= 3600:
        raise InputError(f"--seconds must be above 0 and at most 3600, got {options.seconds:g}")
    if options.trace:
        check_output(options.trace, (".json",), "--trace")
    config = experiment_file.load(options.config or tasks.PROJECT / "configs" / "demo.yaml", tuple(options.overrides))
    checks.check_device(options.device)
    checked = plan(config, options)
    asked = {"experiment": checked.config.to_json(), "data": str(options.data.resolve()), "device": options.device,
             "rounds": options.rounds, "seconds": options.seconds,
             "trace": str(options.trace.resolve()) if options.trace else None}
    with _Line() as line:
        try:
            found = tasks.run("core.benchmark.bench", asked, line.show)
        except KeyboardInterrupt:
            return 1
    if "failure" in found:
        say(f"error: {found['failure']}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(found))
        return 0
    print(printing.table(found))
    if "trace" in found:
        print(printing.operators(found["trace"]["operators"], found["trace"]["file"]))
    return 0


class _Line:
    """What is being timed, in the terminal's last line, which is empty again afterwards; elsewhere nothing."""

    def __enter__(self) -> "_Line":
        self._is_terminal = sys.stderr.isatty()
        self._shown = ""
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._draw("")

    def show(self, progress: Progress) -> None:
        """Draws what is done, once."""
        if self._is_terminal and progress.text != self._shown:
            self._draw(progress.text)

    def _draw(self, text: str) -> None:
        self._shown = text
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
