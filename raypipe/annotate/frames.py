"""The images of a run as both sheets and the simulated annotator need them: size, grid and URI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.storage.clusters import assignments
from raypipe.storage.images import read_images
from raypipe.storage.parts import Parts
from raypipe.storage.run import Run
from raypipe.tables import MAPS

_COLUMNS = ["image_id", "width", "height", "grid_width", "grid_height"]


@dataclass(frozen=True)
class Frame:
    """The grid that lies over an image.

    Attributes:
        uri: Where the encoded image is.
        width: Pixels, in the frame after EXIF rotation.
        height: Likewise.
        grid_width: Cells across.
        grid_height: Cells down.
    """

    uri: str
    width: int
    height: int
    grid_width: int
    grid_height: int


class Frames:
    """Finds the frames of images; one Arrow table, so that processes can share it for nothing.

    Args:
        table: Columns image_id, uri, width, height, grid_width and grid_height.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def of(cls, run: Run) -> Frames:
        """Put the images of the extracted set together.

        Raises:
            InputError: If the run is not extracted yet, or its tables are damaged.
        """
        maps = Parts.of(run, run.require("extract"), "maps")
        sizes = [maps.folder / f"{name}{maps.suffix}" for name in sorted(maps.done())]
        empty = pa.schema([MAPS.schema.field(name) for name in _COLUMNS]).empty_table()
        grids = pa.concat_tables([empty, *(place.read_table(columns=_COLUMNS) for place in sizes)])
        images = read_images(run, index_set(run), ["image_id", "uri"])
        rows = pc.index_in(grids["image_id"], images["image_id"].combine_chunks())
        return cls(grids.append_column("uri", images["uri"].take(rows)).combine_chunks())

    def find(self, image_ids: list[str]) -> dict[str, Frame]:
        """Return the frames of images; one that was never extracted is left out."""
        wanted = pa.array(sorted(set(image_ids)), pa.string())
        places = pc.index_in(wanted, self.table["image_id"].combine_chunks()).drop_null()
        rows = self.table.take(places).to_pylist()
        return {row.pop("image_id"): Frame(**row) for row in rows}


@dataclass(frozen=True)
class Regions:
    """The clustered regions of one class.

    Letters of shapes: n regions.

    Attributes:
        image_ids: (n,) image of each region.
        clusters: (n,) int32, cluster number.
        cells: (n, 2) int32, row and column.
        typicality: (n,) float32, cosine to the cluster's mean direction.
    """

    image_ids: npt.NDArray[np.object_]
    clusters: npt.NDArray[np.int32]
    cells: npt.NDArray[np.int32]
    typicality: npt.NDArray[np.float32]

    @classmethod
    def of(cls, run: Run, name: str) -> Regions:
        """Read the regions of a class.

        Raises:
            InputError: If the class has no assignments, or its file is damaged.
        """
        table = assignments(run, name)
        return cls(
            table["image_id"].to_numpy(),
            table["cluster"].to_numpy(),
            np.stack([table["row"].to_numpy(), table["col"].to_numpy()], axis=1),
            table["typicality"].to_numpy(),
        )

    def by_image(self) -> dict[str, npt.NDArray[np.intp]]:
        """Return the places of each image's regions, in the order of the table."""
        image_ids, inverse = np.unique(self.image_ids.astype(str), return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        ends = np.cumsum(np.bincount(inverse, minlength=len(image_ids)))
        own = np.split(order, ends[:-1])
        return dict(zip(image_ids.tolist(), own, strict=True))

    def of_cluster(self, number: int) -> Regions:
        """Return the regions of one cluster, the most typical first."""
        own = np.flatnonzero(self.clusters == number)
        return self._take(own[np.argsort(-self.typicality[own], kind="stable")])

    def of_first_images(self, count: int) -> Regions:
        """Return the regions of the first images, in the order of the table."""
        first = list(dict.fromkeys(self.image_ids.tolist()))[:count]
        return self._take(np.flatnonzero(np.isin(self.image_ids.astype(str), first)))

    def _take(self, own: npt.NDArray[np.intp]) -> Regions:
        return Regions(
            self.image_ids[own], self.clusters[own], self.cells[own], self.typicality[own]
        )


def index_set(run: Run) -> str:
    """Return the name of the indexed set that the regions come from.

    Raises:
        InputError: If the run is not extracted yet.
    """
    return str(run.require("extract").details["index_set"])
