"""What a command line may say."""

import argparse
import os
from pathlib import Path
from typing import NoReturn

from core.cli import bench, compare, conclude, counts, embed, export, list_experiments, resume, run, stop, thresholds

COMMANDS = {"list": list_experiments, "stop": stop, "resume": resume, "embed": embed, "compare": compare,
            "thresholds": thresholds, "conclude": conclude, "counts": counts, "export": export, "bench": bench}


class _Parser(argparse.ArgumentParser):
    """Refuses in one line on standard error, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (python main.py --help lists what is allowed)\n")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Reads a command line; `command` of what is returned runs it. None reads that of this process."""
    roots = _Parser(add_help=False)
    roots.add_argument("--data", type=Path, default=argparse.SUPPRESS, help="root of datasets (default: DUET_DATA, or data)")
    roots.add_argument("--checkpoints", type=Path, default=argparse.SUPPRESS,
                       help="root of experiments (default: DUET_CHECKPOINTS, or checkpoints)")
    shared = {name: _Parser(add_help=False) for name in ("device", "queue", "json")}
    shared["device"].add_argument("--device", default="auto", help="auto, cpu, cuda, or the number of a CUDA device")
    shared["queue"].add_argument("--no-queue", action="store_false", dest="queue", default=argparse.SUPPRESS,
                                 help="share the device with experiments that asked before instead of waiting for them")
    shared["json"].add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")

    parser = _Parser(prog="main.py", parents=[roots, *shared.values()], description="Run an experiment, or one of the "
                    "commands below. Which embedding is better for your images, and is the difference real?")
    run.arguments(parser)
    parser.set_defaults(command=run.main)
    commands = parser.add_subparsers(metavar="command", parser_class=_Parser)
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.HELP, description=command.HELP,
                                    parents=[roots, *(shared[key] for key in command.SHARED)])
        command.arguments(added)
        added.set_defaults(command=command.main)
    data, checkpoints = (Path(os.environ.get(f"DUET_{name.upper()}", name)) for name in ("data", "checkpoints"))  # as the app
    return parser.parse_args(arguments, argparse.Namespace(data=data, checkpoints=checkpoints, queue=True))
