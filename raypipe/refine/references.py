"""What cells are compared with: a class's labelled regions and its background bank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from raypipe.storage.clusters import centre, references
from raypipe.storage.run import Manifest, Run

Floats = npt.NDArray[np.float32]

_BANK = 0  # cluster number of the background bank
_VOTES = {"object": 1.0, "distractor": 0.0}


@dataclass(frozen=True)
class References:
    """The labelled regions of one class, ready for matching.

    Attributes:
        centre: (d,) float32 mean feature that clustering subtracted.
        unit: (n, d) float32 rows of length 1, centred.
        is_object: (n,) float32, 1 where the region's cluster is *object*, 0 where it is not; in
            between where that is guessed.
        guessed: Share of the voting regions whose cluster nobody answered, 0..1.
    """

    centre: Floats
    unit: Floats
    is_object: Floats
    guessed: float = 0.0


@dataclass(frozen=True)
class ReferenceStore:
    """Reads the references of any class from a run; small and picklable.

    Attributes:
        run: The run directory.
        clustering: Manifest of the step that made the clusters.
        verdicts: Answer by class and cluster.
        guesses: Chance of *object* by class and cluster, for those without an answer.
    """

    run: Run
    clustering: Manifest
    verdicts: Mapping[tuple[str, int], str]
    guesses: Mapping[tuple[str, int], float] = field(default_factory=dict)

    def read(self, name: str) -> References | None:
        """Return a class's references, or None if none of its clusters may be *object*."""
        votes = self._votes(name)
        if not any(votes.values()):
            return None
        clusters, unit = references(self.run, self.clustering, name)
        voting = np.isin(clusters, [*votes, _BANK])
        own = clusters[voting]
        is_object = np.zeros(len(own), np.float32)
        for cluster, vote in votes.items():
            is_object[own == cluster] = vote
        guessed = np.isin(own, [each for each in votes if (name, each) not in self.verdicts])
        return References(
            centre(self.run, self.clustering, name),
            unit[voting],
            is_object,
            float(guessed.sum() / max((own != _BANK).sum(), 1)),
        )

    def _votes(self, name: str) -> dict[int, float]:
        """Return what each cluster of a class votes; who is unsure has no vote."""
        guessed = {cluster: chance for (owner, cluster), chance in self.guesses.items()
                   if owner == name and (name, cluster) not in self.verdicts}  # fmt: skip
        return guessed | {
            cluster: _VOTES[verdict]
            for (owner, cluster), verdict in self.verdicts.items()
            if owner == name and verdict in _VOTES
        }
