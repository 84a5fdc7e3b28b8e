"""Oxford-IIIT Pet, downloaded by a task: with progress, resumable, checked.

Pages and commands have it done by `fetch_pets` and never import torchvision through it. It downloads nothing that it was not
asked for, and never tries again by itself: asked again, it goes on from where it stood.
"""

import errno
import hashlib
import os
import platform
import shutil
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from core.errors import InputError, Unreachable
from core.jobs import tasks
from core.jobs.tasks import Report

FOLDER = "oxford-iiit-pet"  # the name torchvision looks for inside its root

Progress = Callable[[str, int, int], None]

_PIECE = 1 << 18  # bytes asked for at a time


def fetch_pets(root: Path, progress: Callable[[tasks.Progress], None] | None = None,
               resources: Sequence[tuple[str, str]] | None = None) -> None:
    """Has `pets` done by a process of its own, which ends with this call; what came is kept for the next one.

    Args:
        root: the folder that will hold `images/` and `annotations/`.
        progress: called with bytes done, bytes in all and what is being done to which archive, as `tasks.wait` has it.
        resources: as in `pets`.

    Raises:
        InputError: what `pets` raised, with its sentence.
        TaskFailed: if the process ended otherwise.
    """
    tasks.run("core.jobs.fetch", {"root": str(root.absolute()), "resources": resources}, progress)


def download(url: str, md5: str, path: Path, progress: Callable[[int, int], None] | None = None, timeout: float = 5) -> None:
    """Downloads a file whole, or keeps what came of it as `<name>.part` beside it and goes on from there next time.

    Nothing is asked of the network if the file lies there already.

    Args:
        url: address of the file.
        md5: its checksum, in lower-case hexadecimal.
        path: where it is to lie; its folder is made.
        progress: called with (bytes here, bytes in all); the latter is 0 while the server does not say.
        timeout: seconds until the server must have answered, and the longest it may then fall silent.

    Raises:
        Unreachable: if the server cannot be reached, refuses, falls silent or breaks off; what came is kept.
        InputError: if what came is not what the checksum promises; it is deleted.
        OSError: if the disk is full, or the folder cannot be written; what came is kept.
    """
    if path.is_file() and _md5(path) == md5:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    response = _ask(url, part.stat().st_size if part.exists() else 0, path.parent, timeout)
    if response is not None:
        with response, _disk(path.parent):
            _receive(response, url, part, progress)
    digest = _md5(part)
    if digest != md5:
        part.unlink()
        raise InputError(f"{url} must have the md5 {md5}, got {digest}; it was deleted and is fetched anew next time")
    os.replace(part, path)


def pets(root: Path, progress: Progress | None = None, resources: Sequence[tuple[str, str]] | None = None) -> None:
    """Downloads and unpacks Oxford-IIIT Pet where torchvision looks for it (Parkhi et al., CVPR 2012; about 800 MB).

    torchvision says where the archives lie and what their checksums are; fetching and unpacking are done here, because its
    own downloader cannot resume, and takes a folder for whole that was only half unpacked when it was killed.
    A folder that exists is neither fetched nor checked again; the archives are kept, as torchvision keeps them.

    Args:
        root: the folder that will hold `images/` and `annotations/`; it must be named as torchvision names it.
        progress: called with (what is being done to which archive, bytes done, bytes in all).
        resources: (url, md5) of each `NAME.tar.gz`, which holds a folder `NAME`; torchvision's if None.

    Raises:
        Unreachable, OSError: as `download` does.
        InputError: if root has another name or is being fetched into by another process, if an archive is not what it
            promises, or if this Python cannot unpack safely.
    """
    if root.absolute().name != FOLDER:
        raise InputError(f"dataset.root must be a folder named {FOLDER} to download into, got {root}")
    if not hasattr(tarfile, "data_filter"):  # PEP 706: without it a member may be written anywhere
        raise InputError(f"Python must be 3.11.4 or later to unpack an archive safely, got {platform.python_version()}")
    if resources is None:
        from torchvision.datasets import OxfordIIITPet

        resources = OxfordIIITPet._RESOURCES
    archives = [root / url.rpartition("/")[2] for url, _ in resources]
    if all(_unpacked(archive).is_dir() for archive in archives):
        return
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / ".fetch.lock", timeout=0):  # two that write one partial file would spoil it
            for (url, md5), archive in zip(resources, archives):
                if not _unpacked(archive).is_dir():
                    download(url, md5, archive, _named(f"fetching {archive.name}", progress))
                    _unpack(archive, _named(f"unpacking {archive.name}", progress))
    except Timeout as error:
        raise InputError(f"dataset.root must be fetched by one process at a time, got a second for {root}") from error


def _ask(url: str, start: int, folder: Path, timeout: float) -> HTTPResponse | None:
    """The server's answer to a request for a file from byte `start` on; None if there is nothing from there on.

    urllib's own timeout bounds neither the look-up of a name nor several addresses tried in turn, and begins anew with each
    byte of the answer's head; so a thread asks, and is left to itself when its time is over.
    """
    headers = {"User-Agent": "duet", **({"Range": f"bytes={start}-"} if start else {})}
    request = Request(url, headers=headers)
    answer: Future[HTTPResponse] = Future()

    def ask() -> None:
        try:
            answer.set_result(urlopen(request, timeout=timeout))
        except (OSError, HTTPException) as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    with _network(url, folder):
        try:
            return answer.result(timeout)
        except HTTPError as error:
            if not (start and error.code == 416):  # range not satisfiable: the part is whole, or the checksum will tell
                raise
            error.close()
            return None
        except TimeoutError as error:
            answer.add_done_callback(_close)
            raise TimeoutError(f"no answer within {timeout:g} s") from error


def _close(late: Future[HTTPResponse]) -> None:
    """Hangs up on an answer that nobody waits for any more."""
    if not late.exception():
        late.result().close()


def _receive(response: HTTPResponse, url: str, part: Path, progress: Callable[[int, int], None] | None) -> None:
    """Writes an answer's bytes behind those of the partial file, or over them if the server sends the file from its start."""
    is_rest = response.status == 206
    done = part.stat().st_size if is_rest else 0
    total = done + response.length if response.length is not None else 0
    with part.open("ab" if is_rest else "wb") as file:
        if progress:
            progress(done, total)
        for piece in _pieces(response, url, part.parent):
            file.write(piece)
            done += len(piece)
            if progress:
                progress(done, total)


def _pieces(response: HTTPResponse, url: str, folder: Path) -> Iterator[bytes]:
    with _network(url, folder):
        while piece := response.read1(_PIECE):  # what has come, however little: all of it is kept if the next never comes
            yield piece
        if response.length:  # http.client takes an early end for the end
            raise ConnectionError(f"the connection broke off {response.length:,} bytes before the end")


@contextmanager
def _network(url: str, folder: Path) -> Iterator[None]:
    """Turns whatever a connection raises into one sentence that says what to do."""
    try:
        yield
    except (OSError, HTTPException) as error:
        reason = error.reason if type(error) is URLError else error
        if isinstance(error, HTTPError):
            reason = f"HTTP {error.code} {error.reason}"
            error.close()
        elif isinstance(reason, OSError) and reason.strerror:
            reason = reason.strerror
        raise Unreachable(f"{url} could not be fetched ({reason}); what has been fetched is kept and the download goes on "
                              f"from there next time, or fetch it by hand and put it into {folder}") from error


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Says clearly that a disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(error.errno, f"the disk of {folder} must have room for the download, got a full one; what has been "
                                   "fetched is kept and the download goes on from there next time") from error


def _unpack(archive: Path, progress: Callable[[int, int], None]) -> None:
    """Unpacks the folder an archive is named for beside it, whole or not at all."""
    folder = _unpacked(archive)
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    size = archive.stat().st_size

    def members(tar: tarfile.TarFile, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
        for member in tar:
            progress(file.tell(), size)
            yield member

    try:
        with _disk(archive.parent), archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:gz") as tar:
            tar.extractall(partial, members(tar, file), filter="data")
        if not (partial / folder.name).is_dir():
            raise InputError(f"{archive} must hold a folder {folder.name}, got none")
        os.replace(partial / folder.name, folder)
    except tarfile.TarError as error:
        raise InputError(f"{archive} must be an archive that unpacks into its own folder, got: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    progress(size, size)


def _unpacked(archive: Path) -> Path:
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _named(what: str, progress: Progress | None) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total) if progress else None


def work(arguments: dict, report: Report) -> dict:
    """In the process: `pets` of the arguments `root` and `resources`.

    Raises:
        InputError, OSError: as `pets` does.
    """
    pets(Path(arguments["root"]), lambda text, done, of: report(done, of, text), arguments["resources"])
    return {}


if __name__ == "__main__":
    sys.exit(tasks.main(work))
