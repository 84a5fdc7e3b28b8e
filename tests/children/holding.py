"""Stops a process at the moment it has written something, so that no test need be quick enough to catch that moment.

The file that DUET_HOLD names (`lasting.Hold`) says what is waited for: a run, a file of it, and a pattern. Once the process
has put such a file in place it stops itself (SIGSTOP), until whoever waits for that sends SIGCONT.
"""

import json
import os
import re
import signal
import sys
from pathlib import Path


def begin() -> None:
    """Has this process heed DUET_HOLD from now on."""
    sys.addaudithook(_watch)


def _watch(event: str, arguments: tuple) -> None:
    if event != "os.rename" or "DUET_HOLD" not in os.environ:
        return
    hold = Path(os.environ["DUET_HOLD"])
    written, path = Path(os.fsdecode(arguments[0])), Path(os.fsdecode(arguments[1]))
    try:
        run, name, pattern = json.loads(hold.read_text())
        if path.name == name and path.parent.name.startswith(run) and re.search(pattern, written.read_text()):
            hold.unlink()
            sys.setprofile(_stop)  # called at whatever Python does next, which is after the renaming
    except (OSError, ValueError):  # nothing is waited for, or what is being renamed is no text
        return


def _stop(*_: object) -> None:
    sys.setprofile(None)
    os.kill(os.getpid(), signal.SIGSTOP)
