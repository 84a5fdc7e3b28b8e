"""A task for tests: does what its arguments say. Started by name as any other: `tasks.start(folder, "tests.working", …)`."""

import os
import sys
import time
from pathlib import Path

from core.errors import InputError
from core.jobs import tasks
from core.jobs.tasks import Report


def work(arguments: dict, report: Report) -> dict:
    """Counts, each number once the file of its name lies in `gates` if that is given; ends as `ends` says.

    Args:
        arguments: `count`, how far; `gates`, a folder; `ends`: 'well', 'refused', 'missing', 'failed' or 'killed'.
        report: told each number.
    """
    for number in range(arguments.get("count", 0)):
        report(number, arguments["count"], "counting")
        while "gates" in arguments and not (Path(arguments["gates"]) / str(number)).exists():
            time.sleep(0.01)
    match arguments.get("ends", "well"):
        case "refused":
            raise InputError("count must be\nsmall, got much")
        case "missing":
            (Path(arguments["gates"]) / "none").read_bytes()
        case "failed":
            raise ZeroDivisionError("no such number")
        case "killed":
            os.kill(os.getpid(), 9)
    return {"counted": arguments.get("count", 0)}


if __name__ == "__main__":
    sys.exit(tasks.main(work))
