"""A file that carries the SHA-256 of all its own bytes, so that a cut or changed one is known: checkpoints and their copies.

Reads weights' values and checks them without torch; `core.training.checkpoint` writes them.
"""

import hashlib
import json
import re
from pathlib import Path

from core.errors import Damaged, NotFound

# Where a file keeps the SHA-256 of itself with these 64 digits as zeros: in the safetensors header or in the JSON copy.
# Quotes inside the values are escaped in the header, so nothing else looks like it.
_SEAL = re.compile(rb'"checksum": ?"([0-9a-f]{64})"')
BLANK = "0" * 64
_N_LENGTH_BYTES = 8  # of a safetensors file: the header's length, little endian


def seal(content: bytes) -> bytes:
    """The content with the checksum of all its bytes in the place left blank for it."""
    match = _SEAL.search(content)
    assert match, "the header names its checksum"
    start, end = match.span(1)
    return content[:start] + hashlib.sha256(content).hexdigest().encode() + content[end:]


def read(path: Path) -> bytes:
    """A file's content, if it is what was sealed.

    Raises:
        Damaged: if it is not.
    """
    content = path.read_bytes()
    checksum = _SEAL.search(content)
    if checksum is None:
        raise Damaged(path, "must be whole, got a cut or foreign file")
    start, end = checksum.span(1)
    digest = hashlib.sha256(content[:start])
    digest.update(BLANK.encode())
    digest.update(memoryview(content)[end:])
    if digest.hexdigest().encode() != checksum[1]:
        raise Damaged(path, "must match its checksum; it was cut or changed after it was saved")
    return content


def values(path: Path) -> tuple[bytes, dict]:
    """A checkpoint's content and the values in its header, once it and its JSON copy are known to be whole.

    Raises:
        NotFound: if there is none.
        Damaged: if it, or its JSON copy, is cut or is not what was saved.
    """
    if not path.is_file():
        raise NotFound(f"checkpoint must exist, found none at {path}")
    content = read(path)
    copy = path.with_suffix(".json")
    if copy.is_file():  # none, or the one before's, if a crash fell between the two files
        read(copy)
    try:
        length = int.from_bytes(content[:_N_LENGTH_BYTES], "little")
        return content, json.loads(json.loads(content[_N_LENGTH_BYTES:_N_LENGTH_BYTES + length])["__metadata__"]["duet"])
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(path, f"must be one of Duet's checkpoints, got a foreign file ({error})") from None
