"""Has a worker's trainer forked by `tests.trainers`, where everything that it imports is loaded already.

A trainer takes ten seconds of a core to import torch, timm and scikit-learn, and a whole run of the tests starts a hundred.
Once forked it is a process like any other: of its own, with the arguments, environment, input and output that it was given,
and killed, stopped and waited for in the same ways.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

MODULE = "core.jobs.series"
_ROOM = 4096  # characters for a trainer's arguments, which are written over those of the process that forks
_PATIENCE = 300.0  # seconds in which the process that forks has begun to listen, on the slowest machine


def begin() -> None:
    """Has this process ask for trainers that are forked; everything else it starts is started as ever."""
    started = subprocess.Popen

    def start(command: Sequence[str], *arguments: object, **options: object) -> object:
        if list(command[:3]) == [sys.executable, "-m", MODULE] and not arguments and options == {"stdin": subprocess.PIPE}:
            try:
                return Forked(command)
            except ConnectionRefusedError:  # it could not be the same process, forked
                pass
        return started(command, *arguments, **options)

    subprocess.Popen = start


class Forked:
    """A process as `subprocess.Popen(command, stdin=PIPE)` gives it, as far as a worker asks.

    Raises:
        ConnectionRefusedError: if a process with this environment cannot be forked.
    """

    def __init__(self, command: Sequence[str]) -> None:
        theirs, mine = os.pipe()
        self.stdin = os.fdopen(mine, "wb")
        self.returncode: int | None = None
        self._answers = _connected(os.environ["DUET_TRAINERS"])
        asked = json.dumps({"command": list(command), "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
        self._answers.sendall(len(asked).to_bytes(4))
        socket.send_fds(self._answers, [asked[:1]], [theirs, 1, 2])
        self._answers.sendall(asked[1:])
        os.close(theirs)
        self.pid = self._answer()
        if self.pid == 0:
            raise ConnectionRefusedError

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
            self.returncode = self._answer()
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = self._answer()
        return self.returncode

    def _answer(self) -> int:
        return int.from_bytes(self._answers.recv(4, socket.MSG_WAITALL), signed=True)


def _connected(path: str) -> socket.socket:
    """A connection to the process that forks, which whoever is first starts."""
    deadline = time.monotonic() + _PATIENCE
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not Path(path).exists():
            with open(f"{path}.log", "ab") as log:
                process = subprocess.Popen([sys.executable, "-m", "tests.trainers", path, "-" * _ROOM],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            while not Path(path).exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(Path(f"{path}.log").read_text())
                time.sleep(0.05)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection
