"""Replaces a worker's start of its trainer by a fork of `tests.trainers`, which has imported everything already.

A trainer takes ten seconds of a core to import torch, timm and scikit-learn, and a whole run of the tests starts a hundred.
Once forked it is a process like any other: of its own, with the arguments, environment, input and output that it was given,
and killed, stopped and waited for in the same ways.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

MODULE = "core.jobs.series"
_PADDING = "-" * 4096  # room for the command line that a fork shows as its own
_PATIENCE = 300.0  # seconds that the server of forks may take to listen


def begin() -> None:
    """Makes this process ask for forked trainers; every other process starts as usual."""
    started = subprocess.Popen

    def start(command: Sequence[str], *arguments: object, **options: object) -> object:
        if list(command[:3]) == [sys.executable, "-m", MODULE] and not arguments and options == {"stdin": subprocess.PIPE}:
            with suppress(NotAlike):
                return Forked(command)
        return started(command, *arguments, **options)

    subprocess.Popen = start


class NotAlike(Exception):
    """A fork would not be the process that was asked for, which must be started itself."""


class Forked:
    """A process as `subprocess.Popen(command, stdin=PIPE)` gives it, as far as a worker asks.

    Raises:
        NotAlike: if what it reads at its start differs from what the server of forks read.
        RuntimeError: if that server does not run; with its own words.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._answers = _connected(os.environ["DUET_TRAINERS"])
        theirs, mine = os.pipe()
        self.stdin = os.fdopen(mine, "wb")
        self.returncode: int | None = None
        asked = json.dumps({"command": list(command), "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
        self._answers.sendall(len(asked).to_bytes(4))
        socket.send_fds(self._answers, [asked[:1]], [theirs, 1, 2])
        self._answers.sendall(asked[1:])
        os.close(theirs)
        self.pid = self._answer()
        if self.pid < 1:
            self._answers.close()
            self.stdin.close()
            raise NotAlike

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
            self.returncode = self._answer()
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = self._answer()
        return self.returncode

    def _answer(self) -> int:
        answer = self._answers.recv(4, socket.MSG_WAITALL)
        return int.from_bytes(answer, signed=True) if len(answer) == 4 else -signal.SIGKILL  # the server took it along


def _connected(path: str) -> socket.socket:
    """A connection to the server of forks, which whoever is first starts."""
    deadline = time.monotonic() + _PATIENCE
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not Path(path).exists():
            with open(f"{path}.log", "ab") as log:
                process = subprocess.Popen([sys.executable, "-m", "tests.trainers", path, _PADDING],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            while not Path(path).exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(Path(f"{path}.log").read_text())
                time.sleep(0.05)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except ConnectionRefusedError:
        raise RuntimeError(f"the server of forks has ended: {Path(f'{path}.log').read_text()}") from None
    return connection
