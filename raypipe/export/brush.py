"""Label Studio's own run lengths of a brush mask, which are not COCO's.

The format is that of `@thi.ng/rle-pack`, which its editor uses: a stream of bits, most significant
first. 32 bits, the number of values; 5 bits, the bits of a value less one; four times 4 bits, the
sizes of a run's length less one. Then runs: one bit 1, two bits that choose a size, so many bits
of the run's length less one, and the value. The values are the image's red, green, blue and alpha
one after the other, row by row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_CHANNELS = 4
_VALUE = 8  # bits
_SIZES = (3, 4, 8, 16)  # bits of a run's length
_LONGEST = 1 << _SIZES[-1]


def encode(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return a mask as Label Studio keeps it: 255 inside, 0 outside, in all four channels.

    Args:
        mask: (H, W) bool.

    Returns:
        Bytes, 0..255.
    """
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = _CHANNELS * np.diff(np.append(starts, flat.size))
    bits = [f"{_CHANNELS * flat.size:032b}", f"{_VALUE - 1:05b}"]
    bits += [f"{size - 1:04b}" for size in _SIZES]
    for length, inside in zip(lengths.tolist(), flat[starts].tolist(), strict=True):
        value = "1" * _VALUE if inside else "0" * _VALUE
        whole, rest = divmod(length, _LONGEST)
        bits += [_run(_LONGEST) + value] * whole
        if rest:
            bits.append(_run(rest) + value)
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _run(length: int) -> str:
    """Return the bits before the value of a run."""
    choice = next(place for place, size in enumerate(_SIZES) if length <= 1 << size)
    return f"1{choice:02b}{length - 1:0{_SIZES[choice]}b}"
