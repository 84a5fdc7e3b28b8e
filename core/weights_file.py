"""What a weights file is, told from its first bytes: without torch, so that a wrong one is refused as soon as it is named.

Reads no tensors; `core.training.weights` does.
"""

import codecs
import zipfile
from pathlib import Path

from core.errors import InputError, NotFound
from core.wording import one_line

WANTED = "must be a safetensors file or a .pth of tensors alone"
SAVE_TENSORS = "save its tensors alone: torch.save(model.state_dict(), FILE)"
_N_START = 512  # bytes that are looked at
_TORCH_MAGIC = (0x1950a86a20f9469cfc6c).to_bytes(10, "little")  # first in what torch.save wrote before 1.6: its MAGIC_NUMBER
_MOST_HEADER = 100_000_000  # bytes, safetensors' own limit

# First bytes -> what that is, and what would work.
_BEGINNINGS = (
    (b"version https://git-lfs.github.com/spec", "a Git LFS pointer, not the file it stands for; fetch that with: git lfs "
                                                 "pull"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow write; convert its tensors to timm's names and save them as "
                           "safetensors"),
    (b"GGUF", "a GGUF file; take the model's safetensors or .pth file"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"\x93NUMPY", "a NumPy array; save tensors by name as safetensors"),
    (b"%PDF", "a PDF"), (b"\x89PNG", "an image"), (b"\xff\xd8\xff", "an image"),
)


def check(path: Path, where: str = "encoder.weights") -> None:
    """Refuses a path that leads to no weights file, as far as its name and first bytes tell; `where` is the parameter.

    Raises:
        NotFound: if there is nothing.
        InputError: if it is a folder, or a file of another kind; says which, and what would work.
    """
    if path.is_dir():
        raise InputError(f"{where} must be 'random', 'hub' or a weights file, got the folder {path}")
    if not path.is_file():
        raise NotFound(f"{where} must be 'random', 'hub' or a weights file, found none at {path}")
    try:
        with path.open("rb") as file:
            start = file.read(_N_START)
    except OSError as error:
        raise InputError(f"{where} must be readable, got {path} ({one_line(error.strerror or error)})") from None
    if kind := _kind(path, start):
        raise InputError(f"{where} {WANTED}, got {path}, which is {kind}")


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as one, whatever its name is."""
    with path.open("rb") as file:
        return _begins_as_safetensors(file.read(9))


def _begins_as_safetensors(start: bytes) -> bool:
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") < _MOST_HEADER


def _kind(path: Path, start: bytes) -> str:
    """What a file is that holds no weights one can load, in words; nothing where it may hold some."""
    if not start:
        return "empty"
    if _begins_as_safetensors(start):  # first: the length of its header may look like anything
        return ""
    for beginning, words in _BEGINNINGS:
        if start.startswith(beginning):
            return words
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<body", b"<script")):
        return "a web page, not the file behind its link; download the file itself"
    if text.startswith((b"{", b"[")):
        return "a JSON text; take the file of weights that belongs to it"
    if start.startswith(b"PK"):
        return _kind_of_archive(path)
    if _TORCH_MAGIC in start[:64]:
        return ""
    if _is_text(start):
        return "a short text, no weights" if len(start) < _N_START else "a text, no weights"
    if start[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    if start[0] == 0x80 and start[1:2] and 2 <= start[1] <= 5:
        return f"a pickle that torch.save did not write and that could run code; load it where it was made and {SAVE_TENSORS}"
    return "no file of weights: it begins neither as safetensors does nor as what torch.save writes"


def _kind_of_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return ""  # torch says what is wrong with it
    tails = {name.partition("/")[2] for name in names}
    if "constants.pkl" in tails or any(tail.startswith("code/") for tail in tails):
        return f"a TorchScript program; load it with torch.jit.load and {SAVE_TENSORS}"
    if "data.pkl" in tails:
        return ""
    if "archive_format" in tails or any(tail.startswith("models/") for tail in tails):
        return f"an exported program of torch.export; take the model it was made of and {SAVE_TENSORS}"
    if "model.weights.h5" in names:
        return "a Keras file; convert its tensors to timm's names and save them as safetensors"
    if any(name.endswith(".npy") for name in names):
        return "a file of NumPy arrays; save tensors by name as safetensors"
    return "a ZIP archive; unpack it and name the file in it"


def _is_text(start: bytes) -> bool:
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return all(ch.isprintable() or ch.isspace() for ch in text)
