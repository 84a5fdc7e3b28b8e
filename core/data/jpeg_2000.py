"""Colour JPEG 2000 of more than 8 bits a channel: a copy of the file of which Pillow decodes the bits that are meant.

Pillow gives 8 bits of such colour. It rounds, and the highest levels overflow: white becomes black. How many bits a channel
has and what is added to its levels stand in the codestream (ISO/IEC 15444-1, A.5.1; ISO/IEC 15444-2, A.3.7 to A.3.9), and
OpenJPEG obeys both. So a copy that adds a little less is rounded down, and one that states fewer bits keeps lower ones.
"""

import struct
from dataclasses import dataclass
from functools import cached_property

_START = b"\xff\x4f\xff\x51"  # of a codestream: SOC, and SIZ as the first segment
_SIZ, _QCD, _QCC, _MCT, _MCC, _MCO, _SOT = 0xFF51, 0xFF5C, 0xFF5D, 0xFF74, 0xFF75, 0xFF77, 0xFF90
_N_CHANNELS, _FIRST_CHANNEL, _CHANNEL_BYTES = 38, 40, 3  # in SIZ, from its marker on
_COLOR_BOX, _IS_SYCC = b"colr\x01", struct.pack(">I", 18)
_STYLE, _MOST_GUARD_BITS = 0x1F, 7  # of a quantization (A.6.4); the guard bits stand above its style
_IS_SIGNED = 0x80


@dataclass(frozen=True)
class Codestream:
    """The main header of a file's codestream.

    Attributes:
        content: the file's bytes.
    """

    content: bytes

    @cached_property
    def _start(self) -> int:
        return self.content.find(_START)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Bits of each channel as stated; none if there is no codestream."""
        return tuple((number & ~_IS_SIGNED) + 1 for number in self._channels)

    @cached_property
    def _channels(self) -> bytes:
        """Of each channel its bits less one, and as the highest bit whether levels are signed."""
        if self._start < 0:
            return b""
        siz = self._start + 2
        n = int.from_bytes(self.content[siz + _N_CHANNELS:siz + _N_CHANNELS + 2], "big")
        return self.content[siz + _FIRST_CHANNEL:siz + _FIRST_CHANNEL + n * _CHANNEL_BYTES:_CHANNEL_BYTES]

    @cached_property
    def is_plain(self) -> bool:
        """Whether its header is whole and adds nothing of its own to levels, so that a copy may."""
        return bool(self._segments) and all(marker != _MCT for marker, _, _ in self._segments)

    @property
    def may_hold_fewer_bits(self) -> bool:
        """Whether its first channel has levels from 0 to 65,535 that are lightness: converters write that of any camera."""
        if not self.is_plain or self.depths[0] != 16 or self._channels[0] & _IS_SIGNED:
            return False
        box = self.content.find(_COLOR_BOX, 0, self._start)
        return box < 0 or self.content[box + 7:box + 11] != _IS_SYCC

    @cached_property
    def is_lossy(self) -> bool:
        """Whether decoding may give levels beyond those that were coded."""
        return any(self.content[place] & _STYLE for place, _ in self._quantizations)

    def lowest(self, n_bits: int, is_brighter_half: bool = False) -> tuple[bytes, int]:
        """A copy of a plain one, of which Pillow decodes the upper 8 of the lowest bits of each channel.

        Channels that are not as deep as the first keep all of their bits. Levels beyond those bits come out as black or as
        white. Where coding with loss leaves no room for so few, it is more.

        Args:
            n_bits: the lowest ones, from 8 to those that the first channel has; fewer than that only of levels without sign.
            is_brighter_half: each channel less half of its own range, black where that is below zero.

        Returns:
            The copy's bytes, and how many of the lowest bits it is.
        """
        n_dropped = min([self.depths[0] - n_bits, *(self._droppable(*places) for places in self._quantizations)])
        copy = bytearray(self.content)
        for place, end in self._quantizations:
            _raise_guard_bits(copy, place, end, n_dropped)
        added = []
        for index, (depth, number) in enumerate(zip(self.depths, self._channels)):
            kept = depth - n_dropped if depth == self.depths[0] else depth
            copy[self._start + 2 + _FIRST_CHANNEL + index * _CHANNEL_BYTES] = number - depth + kept
            rounding = 1 << kept - 9 if kept > 8 else 0  # Pillow adds it
            half = 1 << depth - 1
            added.append((0 if number & _IS_SIGNED else half) - rounding - (half if is_brighter_half else 0))
        place = self._segments[-1][2]
        inserted = _adding(added)
        copy[place:place] = inserted
        self._lengthen(copy, len(inserted))
        return bytes(copy), self.depths[0] - n_dropped

    @cached_property
    def _segments(self) -> list[tuple[int, int, int]]:
        """Marker, position of the marker and end of each segment, up to the first tile."""
        position = self._start + 2
        found: list[tuple[int, int, int]] = []
        while 2 <= position <= len(self.content) - 4:
            marker, length = struct.unpack_from(">HH", self.content, position)
            if marker == _SOT:
                return found
            found.append((marker, position, position + 2 + length))
            position += 2 + length
        return []

    @cached_property
    def _quantizations(self) -> list[tuple[int, int]]:
        """Where the style of each quantization stands, and where its steps end."""
        return [(position + 4 + (marker == _QCC), end) for marker, position, end in self._segments if marker in (_QCD, _QCC)]

    def _droppable(self, place: int, end: int) -> int:
        """How many bits may be stated fewer under a quantization."""
        style = self.content[place]
        if not style & _STYLE:  # without loss
            return self.depths[0]
        return min([_MOST_GUARD_BITS - (style >> 5), *(byte >> 3 for byte in self.content[place + 1:end:2])])

    def _lengthen(self, copy: bytearray, n_bytes: int) -> None:
        """Adds to the length of the box that holds the codestream, if one does."""
        for place, mark, kind in ((self._start - 8, self._start - 4, ">I"), (self._start - 8, self._start - 12, ">Q")):
            if place >= 0 and mark >= 0 and copy[mark:mark + 4] == b"jp2c":
                length = struct.unpack_from(kind, copy, place)[0]
                if length:  # else to the end of the file
                    struct.pack_into(kind, copy, place, length + n_bytes)
                return


def _raise_guard_bits(copy: bytearray, place: int, end: int, n: int) -> None:
    """With fewer bits stated, keeps steps and bit planes of coding with loss as they are: exponents fall, guard bits rise."""
    if not copy[place] & _STYLE:
        return
    copy[place] += n << 5
    for exponent in range(place + 1, end, 2):
        copy[exponent] -= n << 3


def _adding(levels: list[int]) -> bytes:
    """Segments that say what is added to each channel, in place of half its range."""
    n, channels = len(levels), bytes(range(len(levels)))
    is_offset, is_int32 = 2 << 8, 1 << 10
    array = struct.pack(f">HHH{n}i", 0, 1 | is_offset | is_int32, 0, *levels)
    is_array_based, is_reversible, offset_array = 1, 1 << 16, 1 << 8
    collection = (struct.pack(">HBHHBH", 0, 1, 0, 1, is_array_based, n) + channels + struct.pack(">H", n) + channels
                  + (is_reversible | offset_array).to_bytes(3, "big"))
    order = bytes([1, 1])
    return b"".join(struct.pack(">HH", marker, 2 + len(body)) + body
                    for marker, body in ((_MCT, array), (_MCC, collection), (_MCO, order)))
