"""Downloads from a real server on loopback: resumed, checked, refused; and what is left on disk after each."""

import contextlib
import functools
import hashlib
import io
import re
import socket
import sys
import tarfile
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from core.cli import planning
from core.errors import InputError
from core.jobs import fetch
from core.jobs.tasks import Progress
from tests.process.test_cli import DEMO, duet
from tests.waiting import DEADLINE

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """Serves `files` by path, keeps what it was asked for and what it sent, and misbehaves as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.has_range = True
        self.cut_after: int | None = None  # bytes of a body, after which the connection is cut
        self.stalls = False  # the connection stays open instead of being cut
        self.drips = False  # the answer's head comes a byte at a time, without end
        self.asked: list[tuple[str, str | None]] = []  # path, Range
        self.sent: list[int] = []  # bytes of each body

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked_range = self.headers.get("Range")
        self.server.asked.append((self.path, asked_range))
        if self.server.drips:
            self.drip()
            return
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.server.url(self.path.removeprefix("/moved/")))
            self.end_headers()
            return
        content = self.server.files.get(self.path.lstrip("/"))
        if content is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked_range).group(1)) if asked_range and self.server.has_range else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body[:self.server.cut_after]
        self.server.sent.append(len(body))
        self.wfile.write(body)
        if self.server.stalls:
            self.connection.settimeout(DEADLINE)
            self.connection.recv(1)  # until the other side has had enough

    def drip(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 ")
        while self.server.drips:
            self.wfile.write(b"O")
            time.sleep(0.1)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the other side has gone, as some tests want it to
            super().handle()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.files["pets.bin"] = CONTENT
        thread = Thread(target=functools.partial(running.serve_forever, poll_interval=0.01))
        thread.start()
        yield running
        running.drips = False
        running.shutdown()
        running.server_close()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    """A port of this machine where nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def archive(members: dict[str, bytes]) -> bytes:
    """A tar.gz of files, under whatever names."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "gray").save(stream, "JPEG")
    return stream.getvalue()


def serve(server: Server, **files: bytes) -> list[tuple[str, str]]:
    """Puts archives on a server; returns them as torchvision lists its own."""
    server.files |= {f"{name}.tar.gz": content for name, content in files.items()}
    return [(server.url(f"{name}.tar.gz"), md5(content)) for name, content in files.items()]


@pytest.fixture
def resources(server: Server) -> list[tuple[str, str]]:
    """A data set of two images, laid out as Oxford-IIIT Pet is."""
    return serve(server, images=archive({"images/Bengal_1.jpg": jpeg(), "images/pug_2.jpg": jpeg()}),
                 annotations=archive({"annotations/trainval.txt": b"Bengal_1 1 1 1\npug_2 2 2 1\n"}))


def test_a_fresh_download_is_whole_and_reports_every_byte(server: Server, tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "new" / "pets.bin", lambda *now: said.append(now))
    assert (tmp_path / "new" / "pets.bin").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pets.bin"]
    assert server.asked == [("/pets.bin", None)]
    assert said[0] == (0, len(CONTENT)) and said[-1] == (len(CONTENT), len(CONTENT))
    assert said == sorted(said) and {total for _, total in said} == {len(CONTENT)}


def test_a_download_goes_on_from_its_partial_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "pets.bin.part").write_bytes(CONTENT[:200_000])
    said: list[tuple[int, int]] = []
    fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "pets.bin", lambda *now: said.append(now))
    assert server.asked == [("/pets.bin", "bytes=200000-")]
    assert server.sent == [100_000]
    assert (tmp_path / "pets.bin").read_bytes() == CONTENT
    assert said[0] == (200_000, 300_000) and said[-1] == (300_000, 300_000)


def test_a_download_goes_on_where_the_address_leads_elsewhere(server: Server, tmp_path: Path) -> None:
    (tmp_path / "pets.bin.part").write_bytes(CONTENT[:200_000])
    fetch.download(server.url("moved/pets.bin"), md5(CONTENT), tmp_path / "pets.bin")
    assert server.asked[-1] == ("/pets.bin", "bytes=200000-") and server.sent == [100_000]
    assert (tmp_path / "pets.bin").read_bytes() == CONTENT


def test_a_server_without_range_starts_over(server: Server, tmp_path: Path) -> None:
    server.has_range = False
    (tmp_path / "pets.bin.part").write_bytes(b"x" * 200_000)
    said: list[tuple[int, int]] = []
    fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "pets.bin", lambda *now: said.append(now))
    assert server.asked == [("/pets.bin", "bytes=200000-")] and server.sent == [300_000]
    assert (tmp_path / "pets.bin").read_bytes() == CONTENT
    assert said[0] == (0, 300_000)


def test_a_partial_file_that_is_whole_is_taken_as_it_is(server: Server, tmp_path: Path) -> None:
    (tmp_path / "pets.bin.part").write_bytes(CONTENT)
    fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "pets.bin")
    assert server.asked == [("/pets.bin", "bytes=300000-")] and server.sent == []
    assert (tmp_path / "pets.bin").read_bytes() == CONTENT
    assert not (tmp_path / "pets.bin.part").exists()


@pytest.mark.parametrize("part", [b"", b"x" * 1000, b"x" * 300_001], ids=["fresh", "resumed", "longer"])
def test_a_wrong_checksum_deletes_what_came(part: bytes, server: Server, tmp_path: Path) -> None:
    expected = md5(CONTENT if part else b"something else")
    (tmp_path / "pets.bin.part").write_bytes(part)
    with pytest.raises(ValueError, match=rf"{server.url('pets.bin')} must have the md5 {expected}, got [0-9a-f]{{32}}"):
        fetch.download(server.url("pets.bin"), expected, tmp_path / "pets.bin")
    assert list(tmp_path.iterdir()) == []
    fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "pets.bin")
    assert server.asked[-1] == ("/pets.bin", None), "the next one starts anew"


def test_a_good_file_asks_nothing_and_a_spoilt_one_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "pets.bin").write_bytes(CONTENT)
    fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "pets.bin")
    assert server.asked == []
    (tmp_path / "pets.bin").write_bytes(CONTENT[:-1])
    fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "pets.bin")
    assert server.asked == [("/pets.bin", None)]
    assert (tmp_path / "pets.bin").read_bytes() == CONTENT


def test_no_server_names_address_and_folder_and_keeps_the_part(closed_port: int, tmp_path: Path) -> None:
    (tmp_path / "pets.bin.part").write_bytes(b"kept")
    url = f"http://127.0.0.1:{closed_port}/pets.bin"
    with pytest.raises(ConnectionError) as caught:
        fetch.download(url, md5(CONTENT), tmp_path / "pets.bin")
    assert str(caught.value) == (
        f"{url} could not be fetched (Connection refused); what has been fetched is kept and the download goes on from there "
        f"next time, or fetch it by hand and put it into {tmp_path}")
    assert (tmp_path / "pets.bin.part").read_bytes() == b"kept"


def test_a_refusal_keeps_the_part(server: Server, tmp_path: Path) -> None:
    (tmp_path / "gone.bin.part").write_bytes(b"kept")
    with pytest.raises(ConnectionError, match=r"gone\.bin could not be fetched \(HTTP 404 Not Found\)"):
        fetch.download(server.url("gone.bin"), md5(CONTENT), tmp_path / "gone.bin")
    assert (tmp_path / "gone.bin.part").read_bytes() == b"kept"


@pytest.mark.parametrize(("stalls", "reason"), [(False, "the connection broke off 180,000 bytes before the end"),
                                                (True, "timed out")], ids=["cut", "silent"])
def test_a_connection_lost_midway_is_gone_on_with(stalls: bool, reason: str, server: Server, tmp_path: Path) -> None:
    server.cut_after, server.stalls = 120_000, stalls
    with pytest.raises(ConnectionError, match=re.escape(f"({reason})")):
        fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "pets.bin", timeout=3 if stalls else DEADLINE)
    assert (tmp_path / "pets.bin.part").read_bytes() == CONTENT[:120_000]
    assert not (tmp_path / "pets.bin").exists()
    server.cut_after, server.stalls = None, False
    fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "pets.bin")
    assert server.asked[1:] == [("/pets.bin", "bytes=120000-")]
    assert (tmp_path / "pets.bin").read_bytes() == CONTENT


def test_the_timeout_bounds_the_whole_wait_for_an_answer(server: Server, tmp_path: Path) -> None:
    server.drips = True  # each byte within urllib's own timeout, so that it alone would wait without end
    with pytest.raises(ConnectionError, match=r"no answer within 0\.5 s"):
        fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "pets.bin", timeout=0.5)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_said_clearly(server: Server, tmp_path: Path) -> None:
    (tmp_path / "pets.bin.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"the disk of {tmp_path} must have room") as caught:
        fetch.download(server.url("pets.bin"), md5(CONTENT), tmp_path / "pets.bin")
    assert not isinstance(caught.value, ConnectionError), "the network is not to blame"
    assert (tmp_path / "pets.bin.part").is_symlink()


def test_pets_lie_where_torchvision_finds_them(server: Server, resources: list[tuple[str, str]], tmp_path: Path) -> None:
    root = tmp_path / "data" / "oxford-iiit-pet"
    said: list[tuple[str, int, int]] = []
    fetch.pets(root, lambda *now: said.append(now), resources)
    assert sorted(path.name for path in (root / "images").iterdir()) == ["Bengal_1.jpg", "pug_2.jpg"]
    assert (root / "annotations" / "trainval.txt").read_bytes() == b"Bengal_1 1 1 1\npug_2 2 2 1\n"
    assert {path.name for path in root.iterdir()} - {".fetch.lock"} == {
        "images", "annotations", "images.tar.gz", "annotations.tar.gz"}
    assert list(dict.fromkeys(what for what, _, _ in said)) == [
        "fetching images.tar.gz", "unpacking images.tar.gz", "fetching annotations.tar.gz", "unpacking annotations.tar.gz"]
    assert all(0 <= done <= total for _, done, total in said)

    server.asked.clear()
    fetch.pets(root, resources=resources)
    (root / "images.tar.gz").unlink()
    fetch.pets(root, resources=resources)
    assert server.asked == [], "what is unpacked is not fetched again, with or without its archive"

    from torchvision.datasets import OxfordIIITPet

    found = OxfordIIITPet(root.parent, download=False)
    assert len(found) == 2 and found.classes == ["Bengal", "Pug"]
    assert found[1][0].size == (8, 8) and found[1][1] == 1


def test_pets_take_archives_put_there_by_hand(server: Server, resources: list[tuple[str, str]], tmp_path: Path) -> None:
    root = tmp_path / "oxford-iiit-pet"
    root.mkdir()
    for name in ("images.tar.gz", "annotations.tar.gz"):
        (root / name).write_bytes(server.files[name])
    fetch.pets(root, resources=resources)
    assert server.asked == []
    assert (root / "images" / "pug_2.jpg").is_file() and (root / "annotations" / "trainval.txt").is_file()


def test_pets_fetch_only_the_folder_that_is_missing(server: Server, resources: list[tuple[str, str]], tmp_path: Path) -> None:
    root = tmp_path / "oxford-iiit-pet"
    (root / "images").mkdir(parents=True)
    fetch.pets(root, resources=resources)
    assert [path for path, _ in server.asked] == ["/annotations.tar.gz"]


def test_what_a_killed_process_had_half_unpacked_is_unpacked_anew(resources: list[tuple[str, str]], tmp_path: Path) -> None:
    root = tmp_path / "oxford-iiit-pet"
    (root / "images.part" / "images").mkdir(parents=True)
    (root / "images.part" / "images" / "stale.jpg").write_bytes(b"half")
    fetch.pets(root, resources=resources)
    assert sorted(path.name for path in (root / "images").iterdir()) == ["Bengal_1.jpg", "pug_2.jpg"]
    assert not (root / "images.part").exists()


@pytest.mark.parametrize("name", ["../evil", "images/../../evil", "../../evil"])
def test_a_member_that_climbs_out_is_refused_and_nothing_is_left(name: str, server: Server, tmp_path: Path) -> None:
    root = tmp_path / "oxford-iiit-pet"
    resources = serve(server, images=archive({"images/good.jpg": jpeg(), name: b"evil"}))
    with pytest.raises(ValueError, match=r"images\.tar\.gz must be an archive that unpacks into its own folder, got: .*evil"):
        fetch.pets(root, resources=resources)
    assert list(tmp_path.rglob("evil")) == []
    assert not (root / "images").exists() and not (root / "images.part").exists()


def test_a_member_with_an_absolute_name_is_not_written_there(server: Server, tmp_path: Path) -> None:
    fetch.pets(tmp_path / "oxford-iiit-pet",
               resources=serve(server, images=archive({"images/good.jpg": jpeg(), f"{tmp_path}/evil": b"evil"})))
    assert list(tmp_path.rglob("evil")) == []


def test_an_archive_without_its_folder_is_refused(server: Server, tmp_path: Path) -> None:
    root = tmp_path / "oxford-iiit-pet"
    with pytest.raises(ValueError, match=r"images\.tar\.gz must hold a folder images, got none"):
        fetch.pets(root, resources=serve(server, images=archive({"pictures/a.jpg": jpeg()})))
    assert not (root / "images").exists() and not (root / "pictures").exists()


def test_pets_refuse_another_folder_before_anything_is_asked(server: Server, resources: list[tuple[str, str]],
                                                             tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"must be a folder named oxford-iiit-pet to download into, got {tmp_path}/pets"):
        fetch.pets(tmp_path / "pets", resources=resources)
    assert server.asked == [] and list(tmp_path.iterdir()) == []


def test_pets_are_fetched_by_one_process_at_a_time(server: Server, resources: list[tuple[str, str]], tmp_path: Path) -> None:
    root = tmp_path / "oxford-iiit-pet"
    root.mkdir()
    with FileLock(root / ".fetch.lock"), pytest.raises(ValueError, match="one process at a time, got a second for"):
        fetch.pets(root, resources=resources)
    assert server.asked == []
    fetch.pets(root, resources=resources)
    with FileLock(root / ".fetch.lock"):
        fetch.pets(root, resources=resources)  # what is there needs no lock, so that it may lie in a folder that is read only


def test_the_command_line_prints_lines(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(1).bytes(20_000_000)  # does not compress: it comes in many pieces
    resources = serve(server, images=archive({"images/a.jpg": noise}))
    planning.download(tmp_path / "oxford-iiit-pet", resources)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert [line for line in lines if line.startswith("fetching")] == [
        f"fetching images.tar.gz: {percent} %" for percent in range(0, 101, 5)]
    assert lines[-1] == "unpacking images.tar.gz: 100 %"
    assert (tmp_path / "oxford-iiit-pet" / "images" / "a.jpg").read_bytes() == noise


def test_the_command_line_draws_bars_in_a_terminal(resources: list[tuple[str, str]], tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    planning.download(tmp_path / "oxford-iiit-pet", resources)
    drawn = [line.split("\r")[-1] for line in sys.stderr.getvalue().rstrip("\n").split("\n")]
    assert len(drawn) == 4, "one line a bar"
    assert all(re.search(r"ing (images|annotations)\.tar\.gz: 100%\|", line) for line in drawn), drawn


def test_what_failed_in_the_process_is_said_in_one_line(closed_port: int, tmp_path: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "oxford-iiit-pet"
    url = f"http://127.0.0.1:{closed_port}/images.tar.gz"
    with pytest.raises(InputError) as caught:
        planning.download(root, [(url, md5(b""))])
    assert str(caught.value).startswith(f"{url} could not be fetched (Connection refused); ")
    assert str(caught.value).endswith(f"put it into {root}")

    with pytest.raises(InputError, match=r"^dataset\.root must be a folder named oxford-iiit-pet"):
        planning.download(tmp_path / "pets", [])

    root.rename(tmp_path / "moved")
    root.write_bytes(b"a file")
    with pytest.raises(InputError) as caught:
        planning.download(root, [(url, md5(b""))])
    assert str(caught.value) == f"File exists: {root}"
    assert capsys.readouterr() == ("", "")


def test_a_download_that_nobody_waits_for_any_more_is_ended_and_gone_on_with(server: Server, tmp_path: Path) -> None:
    [(url, checksum)] = serve(server, images=archive({"images/a.jpg": np.random.default_rng(1).bytes(20_000_000)}))
    server.cut_after, server.stalls = 3_000_000, True
    root = tmp_path / "oxford-iiit-pet"

    def leave(progress: Progress) -> None:
        if progress.done > 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch.fetch_pets(root, leave, [(url, checksum)])
    came = (root / "images.tar.gz.part").stat().st_size
    assert came > 0
    server.cut_after, server.stalls = None, False
    fetch.fetch_pets(root, resources=[(url, checksum)])  # no process holds the lock any more
    assert server.asked[-1] == ("/images.tar.gz", f"bytes={came}-")
    assert (root / "images" / "a.jpg").is_file()


def test_a_run_that_may_download_asks_where_torchvision_says_and_is_refused_in_one_line(
        closed_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "oxford-iiit-pet"
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port}")  # so that it never leaves this machine
    result = duet("--config", DEMO, "--set", "dataset={source: oxford_pet, download: true}", "--set",
                  f"dataset.root={root}", "--device", "cpu", root=tmp_path)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr == (
        "error: https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz could not be fetched (Connection refused); what "
        "has been fetched is kept and the download goes on from there next time, or fetch it by hand and put it into "
        f"{root}\n")
