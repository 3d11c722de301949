"""The metadata files of clovaai/wsolevaluation (Choe et al., CVPR 2020), a folder a split.

class_labels.txt    <image>,<number of the class>
image_sizes.txt     <image>,<width>,<height>
localization.txt    <image>,<x0>,<y0>,<x1>,<y1>        several lines an image, or
                    <image>,<mask file>,<ignore file>  the second one in the first line only

Its boxes are taken as they are, from pixel 0 with exclusive ends, as its own evaluation scales
them; it adds 1 to both sides of an IoU later, and so does ours of MaxBoxAcc. A mask holds what is
not black; the ignore file's pixels are void where no mask is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raypipe.datasets.truth_rows import Annotated
from raypipe.errors import InputError
from raypipe.storage.location import Location

_BOX, _MASK = 5, 3  # cells of a line

Lines = Iterator[tuple[int, list[str]]]


def read(folder: Location, names: Sequence[str]) -> Iterator[Annotated]:
    """Yield the objects of a split.

    Args:
        folder: Of the split's files.
        names: The classes in order; the files number them from 0.

    Raises:
        InputError: Naming the file and the line that cannot be read, or a mask that is not there.
    """
    labels = {image: _class(folder, line, cells, names)
              for line, (image, *cells) in _lines(folder, "class_labels.txt", 2)}  # fmt: skip
    sizes: dict[str, tuple[int, int]] = {}
    if "image_sizes.txt" in folder.names():
        for line, (image, *cells) in _lines(folder, "image_sizes.txt", 3):
            width, height = _numbers(folder, "image_sizes.txt", line, cells)
            sizes[image] = (int(width), int(height))
    root: Location | None = None
    for line, (image, *cells) in _lines(folder, "localization.txt", _BOX, _MASK):
        if image not in labels:
            raise _broken(folder, "localization.txt", line, f"class_labels.txt has no {image}")
        name, size = labels[image], sizes.get(image)
        if len(cells) == _BOX - 1:
            x0, y0, x1, y1 = _numbers(folder, "localization.txt", line, cells)
            yield Annotated(image, name, box=(x0, y0, x1, y1), size=size)
            continue
        root = root or _root(folder, cells[0])
        yield Annotated(image, name, mask_uri=str(root / cells[0]), size=size)
        if cells[1]:
            ignored = str(root / cells[1])
            yield Annotated(image, name, mask_uri=ignored, size=size, void=True)


def _lines(folder: Location, file: str, *widths: int) -> Lines:
    """Yield number and cells of each line."""
    try:
        text = (folder / file).read_text()
    except InputError:
        raise InputError(
            f"{folder}: no {file} there", "wsolevaluation's metadata has one"
        ) from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            cells = [cell.strip() for cell in line.split(",")]
            if len(cells) not in widths:
                wanted = " or ".join(map(str, widths))
                raise _broken(folder, file, number, f"{len(cells)} cells, not {wanted}")
            yield number, cells


def _class(folder: Location, line: int, cells: list[str], names: Sequence[str]) -> str:
    (number,) = _numbers(folder, "class_labels.txt", line, cells)
    if number != int(number) or not 0 <= number < len(names):
        raise _broken(
            folder, "class_labels.txt", line,
            f"class {cells[0]}, but the set has classes 0 to {len(names) - 1}",
        )  # fmt: skip
    return names[int(number)]


def _numbers(folder: Location, file: str, line: int, cells: list[str]) -> list[float]:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        raise _broken(folder, file, line, f"{','.join(cells)} are not all numbers") from None


def _root(folder: Location, mask: str) -> Location:
    """Return the folder that mask files are named from: the split's, or one above it."""
    place = folder
    for _ in range(4):
        if (place / mask).exists():
            return place
        if "/" not in place.path.strip("/"):
            break
        place = Location(place.filesystem, place.path.rstrip("/").rpartition("/")[0],
                         place.scheme, place.query)  # fmt: skip
    raise InputError(
        f"{folder}: mask {mask} is not there, nor in a folder above",
        "put the masks, or a link to their folder, beside localization.txt",
    )


def _broken(folder: Location, file: str, line: int, problem: str) -> InputError:
    return InputError(f"{folder}/{file}: line {line}: {problem}", "mend the line")
