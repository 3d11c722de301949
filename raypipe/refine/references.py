"""What cells are compared with: a class's labelled regions and its background bank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.storage.location import Location
from raypipe.storage.parts import Parts
from raypipe.storage.regions import read_regions
from raypipe.storage.run import Run
from raypipe.tables import ASSIGNMENTS, SPECTRA, matrix

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class References:
    """The labelled regions of one class, ready for matching.

    Attributes:
        centre: (d,) float32 mean feature that clustering subtracted.
        unit: (n, d) float32 rows of length 1, centred.
        is_object: (n,) float32, 1 where the region's cluster is *object*, else 0.
    """

    centre: Floats
    unit: Floats
    is_object: Floats


@dataclass(frozen=True)
class ReferenceStore:
    """Reads the references of any class from a run; small and picklable.

    Attributes:
        run: The run directory.
        files: The files with each class's regions.
        verdicts: Answer by class and cluster.
    """

    run: Run
    files: Mapping[str, list[Location]]
    verdicts: Mapping[tuple[str, int], str]

    def read(self, name: str) -> References | None:
        """Return a class's references, or None if none of its clusters is *object*."""
        if "object" not in {verdict for (own, _), verdict in self.verdicts.items() if own == name}:
            return None
        centre = self._centres()[name]
        foreground = read_regions(self.files[name], name, background=False)
        bank = read_regions(self.files[name], name, background=True)
        clusters = self._clusters(name)
        verdict = [self.verdicts.get((name, clusters[key]), "unsure") for key in foreground.keys]
        labelled = np.array([answer != "unsure" for answer in verdict], dtype=bool)
        is_object = np.array([answer == "object" for answer in verdict], dtype=np.float32)
        features = np.concatenate(
            [foreground.features[labelled], *([bank.features] if bank.keys else [])]
        )
        shifted = features - centre
        unit = shifted / np.maximum(np.linalg.norm(shifted, axis=1, keepdims=True), 1e-12)
        return References(
            centre,
            unit,
            np.concatenate([is_object[labelled], np.zeros(len(bank.keys), np.float32)]),
        )

    def _centres(self) -> dict[str, Floats]:
        spectra = self.run.read(SPECTRA, "cluster", "spectra.parquet")
        return dict(zip(spectra["class"].to_pylist(), matrix(spectra["centre"]), strict=True))

    def _clusters(self, name: str) -> dict[tuple[str, int, int], int]:
        """Return the cluster of each region."""
        place = Parts.of(self.run, self.run.require("cluster"), "assignments").place(name)
        rows = ASSIGNMENTS.check(place.read_table(), str(place))
        keys = zip(
            *(rows[column].to_pylist() for column in ("image_id", "row", "col")), strict=True
        )
        return dict(zip(keys, rows["cluster"].to_pylist(), strict=True))
