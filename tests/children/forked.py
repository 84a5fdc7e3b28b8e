"""Replaces a worker's start of its trainer by a fork of `tests.trainers`, which has imported everything already; where several
processes train, those that torch's launcher starts, and the launcher.

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
from typing import IO

TRAINER, LAUNCHER = "core.jobs.series", "torch.distributed.run"
_PADDING = "-" * 4096  # room for the command line that a fork shows as its own
_PATIENCE = 300.0  # seconds that the server of forks may take to listen


def module_of(command: Sequence[str]) -> str:
    """The module that a command of Python's runs; nothing if it runs none."""
    arguments = [argument for argument in command[:4] if argument != "-u"]
    return arguments[2] if arguments[:2] == [sys.executable, "-m"] else ""


def begin() -> None:
    """Makes this process, a worker or a launcher, ask for forked ones; every other process starts as usual."""
    class Popen(subprocess.Popen):
        def __new__(cls, *arguments: object, **options: object) -> object:
            command = arguments[0] if arguments else options.get("args")
            if isinstance(command, (list, tuple)) and module_of(command) in (TRAINER, LAUNCHER):
                with suppress(NotAlike):
                    return Forked(command, **{key: value for key, value in options.items() if key != "args"})
            return super().__new__(cls)

    subprocess.Popen = Popen
    if "torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler" in sys.modules:
        sys.modules["torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler"].Popen = Popen


class NotAlike(Exception):
    """A fork would not be the process that was asked for, which must be started itself."""


class Forked:
    """A process as `subprocess.Popen` gives it, as far as a worker and torch's launcher ask; in a session of its own.

    Args:
        command: what it runs.
        stdin: PIPE for a pipe to it; otherwise it shares this process's, as with the two others.
        stdout: a file.
        stderr: a file.
        env: its environment, instead of this process's.
        start_new_session: taken for True.

    Raises:
        NotAlike: if what it reads at its start differs from what the server of forks read.
        RuntimeError: if that server does not run; with its own words.
    """

    def __init__(self, command: Sequence[str], stdin: int | None = None, stdout: IO[str] | None = None,
                 stderr: IO[str] | None = None, env: dict[str, str] | None = None, start_new_session: bool = True) -> None:
        environment = dict(os.environ if env is None else env)
        of_ranks = ".ranks" if "LOCAL_RANK" in environment else ""  # they have other threads
        self._answers = _connected(environment["DUET_TRAINERS"] + of_ranks, environment)
        self.stdin = None
        descriptors = [0, stdout.fileno() if stdout else 1, stderr.fileno() if stderr else 2]
        if stdin == subprocess.PIPE:
            descriptors[0], mine = os.pipe()
            self.stdin = os.fdopen(mine, "wb")
        self.args = command
        self.returncode: int | None = None
        asked = json.dumps({"command": list(command), "folder": os.getcwd(), "environment": environment}).encode()
        self._answers.sendall(len(asked).to_bytes(4))
        socket.send_fds(self._answers, [asked[:1]], descriptors)
        self._answers.sendall(asked[1:])
        if self.stdin is not None:
            os.close(descriptors[0])
        self.pid = self._answer()
        if self.pid < 1:
            self._answers.close()
            if self.stdin is not None:
                self.stdin.close()
            raise NotAlike

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
            self.returncode = self._answer()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._answer()
        return self.returncode

    def _answer(self) -> int:
        answer = self._answers.recv(4, socket.MSG_WAITALL)
        return int.from_bytes(answer, signed=True) if len(answer) == 4 else -signal.SIGKILL  # the server took it along


def _connected(path: str, environment: dict[str, str]) -> socket.socket:
    """A connection to the server of forks, which whoever is first starts, in that environment."""
    deadline = time.monotonic() + _PATIENCE
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not Path(path).exists():
            with open(f"{path}.log", "ab") as log:  # a shell starts it and ends: not a child of a launcher, to be killed
                subprocess.run(["sh", "-c", '"$@" &', "sh", sys.executable, "-m", "tests.trainers", path, _PADDING],
                               check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                               env=environment)
            while not Path(path).exists():
                if time.monotonic() > deadline:
                    raise RuntimeError(Path(f"{path}.log").read_text())
                time.sleep(0.05)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except ConnectionRefusedError:
        raise RuntimeError(f"the server of forks has ended: {Path(f'{path}.log').read_text()}") from None
    return connection
