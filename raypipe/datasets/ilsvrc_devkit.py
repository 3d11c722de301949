"""The ILSVRC development kit: the classes, and the label of every val image.

ILSVRC2012_devkit_t12[.tar.gz]
  data/meta.mat                                   synsets: ILSVRC2012_ID, WNID, words, num_children
  data/ILSVRC2012_validation_ground_truth.txt     an ILSVRC2012_ID for each val image, from 1 on

An ILSVRC2012_ID is a number of the kit's own: not the place in the order of the wnids, which is the
order of the classifiers' outputs.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass

from raypipe.datasets.tars import read_compressed
from raypipe.errors import InputError
from raypipe.storage.location import Location

_NAME = "ILSVRC2012_devkit_t12"
_META = "data/meta.mat"
_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"


@dataclass(frozen=True)
class Devkit:
    """What the kit says.

    Attributes:
        words: Names of each class, by wnid.
        labels: wnid of each val image, in the order of their numbers; empty if it does not say.
    """

    words: dict[str, str]
    labels: tuple[str, ...]

    @classmethod
    def find(cls, root: Location) -> Devkit | None:
        """Read the kit below a root, unpacked or as its archive; None if there is none.

        Raises:
            InputError: If it is damaged.
        """
        folder, archive = root / _NAME, root / f"{_NAME}.tar.gz"
        if folder.is_dir():
            files = {
                name: (folder / name).read_bytes()
                for name in (_META, _TRUTH) if (folder / name).exists()
            }  # fmt: skip
            return cls._of(files, str(folder))
        if archive.exists():
            found = read_compressed(archive, (_META, _TRUTH))
            files = {"/".join(name.split("/")[-2:]): content for name, content in found}
            return cls._of(files, str(archive))
        return None

    @classmethod
    def _of(cls, files: dict[str, bytes], source: str) -> Devkit:
        if _META not in files:
            raise InputError(f"{source}: lacks {_META}", "restore it")
        synsets = _synsets(files[_META], f"{source}: {_META}")
        wnids = {number: wnid for number, wnid, _ in synsets}
        labels = []
        for line, word in enumerate(files.get(_TRUTH, b"").split(), start=1):
            if not word.isdigit() or int(word) not in wnids:
                raise InputError(
                    f"{source}: {_TRUTH}: line {line} is no ILSVRC2012_ID of a class", "restore it"
                )
            labels.append(wnids[int(word)])
        return cls({wnid: words for _, wnid, words in synsets}, tuple(labels))


def _synsets(content: bytes, source: str) -> list[tuple[int, str, str]]:
    """Return number, wnid and words of each class of the challenge.

    The file also holds the inner nodes of the hierarchy; classes are its leaves.
    """
    # Slow to import, and only this needs it. It unpickles nothing: MATLAB's format has no code.
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        rows = loadmat(
            io.BytesIO(content),  # type: ignore[arg-type] # the stubs know paths only
            squeeze_me=True,
        )["synsets"]
        return [
            (int(row["ILSVRC2012_ID"]), str(row["WNID"]), str(row["words"]))
            for row in rows.reshape(-1)
            if int(row["num_children"]) == 0
        ]
    # What SciPy's reader raises on damaged files, and what is missing from another kit's.
    except (
        MatReadError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError,
        OSError, OverflowError, zlib.error,
    ) as error:  # fmt: skip
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{source}: not the kit's file ({reason})", "restore it") from None
