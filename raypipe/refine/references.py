"""What cells are compared with: a class's labelled regions and its background bank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.storage.clusters import centre, references
from raypipe.storage.run import Manifest, Run

Floats = npt.NDArray[np.float32]

_BANK = 0  # cluster number of the background bank


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
        clustering: Manifest of the step that made the clusters.
        verdicts: Answer by class and cluster.
    """

    run: Run
    clustering: Manifest
    verdicts: Mapping[tuple[str, int], str]

    def read(self, name: str) -> References | None:
        """Return a class's references, or None if none of its clusters is *object*."""
        own = {cluster: verdict for (owner, cluster), verdict in self.verdicts.items()
               if owner == name}  # fmt: skip
        objects = [cluster for cluster, verdict in own.items() if verdict == "object"]
        if not objects:
            return None
        distractors = [cluster for cluster, verdict in own.items() if verdict == "distractor"]
        clusters, unit = references(self.run, self.clustering, name)
        labelled = np.isin(clusters, [*objects, *distractors, _BANK])
        is_object = np.isin(clusters[labelled], objects).astype(np.float32)
        return References(centre(self.run, self.clustering, name), unit[labelled], is_object)
