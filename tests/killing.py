"""Kills the process that trains again and again, and goes on from what it left: python -m tests.killing FOLDER DATA SEED FILE

Each life is a fork of a process that has loaded torch already, so that a life costs a fraction of a second instead of
five. A third of them end at a random moment, a third at a random touch of a file of the experiment (opened to be
written, renamed, removed: the windows between files), a third in the phases that random moments seldom hit: there the
process stops itself (`holding`) and is killed at once or a random moment later, however fast it is.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import timm  # noqa: F401 - what each life would have to load

from core import files
from core.experiments.handles import Experiment
from core.experiments.status import RunStatus
from core.jobs import control, series
from tests.lasting import PHASES, phase

N_BLIND = 14  # kills at a random moment or file
LATE = ("scoring epoch", PHASES["embedding"], PHASES["layout"], PHASES["test"])
N_KILLS = N_BLIND + 2 * len(LATE)


def main(folder: Path, data: Path, seed: int, hold: Path) -> None:
    """Prints each kill as a line of JSON: how it was aimed, and what the runs were doing.

    Args:
        folder: the experiment.
        data: root of datasets and decoded images.
        seed: of the random moments.
        hold: the file that DUET_HOLD names, FILE.
    """
    chance = random.Random(seed)
    n_kills = n_blind = n_late = 0
    while not is_completed(folder):
        for run in Experiment(folder).runs:
            if control.derived_status(run).state in control.RESUMABLE:
                run.write_status(RunStatus("queued"))
        aim, amount = "none", 0.0
        # a fast machine must not be done before the late ones
        if n_blind < N_BLIND and control.progress(Experiment(folder)).share < 0.7:
            aim, amount = (("moment", chance.uniform(0, 1)), ("file", chance.randint(1, 60)))[n_blind % 2]
            n_blind += 1
        elif n_late < 2 * len(LATE):
            aim, amount = LATE[n_late // 2], n_late % 2 * chance.uniform(0, 0.05)
            files.write_json(hold, ["", "state.json", f'"phase": "{aim}'])
            n_late += 1
        elif n_kills < N_KILLS:
            aim, amount = "file", chance.randint(1, 3)
        child = os.fork()
        if child == 0:
            if aim == "file":
                die_at_file(folder, int(amount))
            series.main([str(folder), "--data", str(data), "--device", "cpu"])
            os._exit(0)
        if aim == "moment":
            time.sleep(amount)
            os.kill(child, signal.SIGKILL)
        elif aim in LATE:
            _, status = os.waitpid(child, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                sys.exit(f"a life ended without {aim}")
            if amount:
                os.kill(child, signal.SIGCONT)
                time.sleep(amount)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            n_kills += 1
            phases = [phase(run.folder) for run in Experiment(folder).runs]
            print(json.dumps({"aim": aim, "amount": amount, "phases": phases}), flush=True)
        elif os.WEXITSTATUS(status) or any(run.status.state == "failed" for run in Experiment(folder).runs):
            sys.exit("a life ended in a failure; the log has the details")


def die_at_file(folder: Path, number: int) -> None:
    """Makes this process kill itself at its n-th touch of a file of the experiment."""
    touched = 0

    def count(event: str, arguments: tuple) -> None:
        nonlocal touched
        is_written = event == "open" and isinstance(arguments[1], str) and set("wxa+") & set(arguments[1])
        if (is_written or event in ("os.rename", "os.remove")) and str(arguments[0]).startswith(str(folder)):
            touched += 1
            if touched == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def is_completed(folder: Path) -> bool:
    """Whether every run of an experiment is completed."""
    return all(run.status.state == "completed" for run in Experiment(folder).runs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
