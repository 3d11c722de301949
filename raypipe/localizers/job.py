"""Building a localizer anywhere: what to send to another process, and what identifies it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raypipe import plugins
from raypipe.columns import matrix
from raypipe.config import LocalizerConfig
from raypipe.datasets.base import ClassRecord
from raypipe.localizers.base import Head, Localizer
from raypipe.storage.location import Location
from raypipe.storage.run import Run
from raypipe.tables import HEAD


@dataclass(frozen=True)
class LocalizerJob:
    """All that is needed to build a localizer in another process; small and picklable."""

    config: LocalizerConfig
    classes: tuple[ClassRecord, ...]
    head: Head | None = None

    @classmethod
    def of(cls, run: Run, config: LocalizerConfig, classes: Sequence[ClassRecord]) -> LocalizerJob:
        """Return the job for a run: with the head that `fit` left there, if any."""
        return cls(config, tuple(classes), read_head(run))

    def build(self) -> Localizer:
        """Build it, with its weights, on the best device at hand.

        Raises:
            ConfigError: If plug-in, architecture, layer or weights do not fit together, or a class
                is known neither to the network nor to the head.
        """
        factory = plugins.find("raypipe.localizers", self.config.name)
        localizer: Localizer = factory(self.config, self.classes, self.head)
        return localizer


def identity(config: LocalizerConfig) -> dict[str, Any]:
    """Return what a localizer's output depends on, for a step's fingerprint.

    Files count by content, not by path; `auto` precision counts as what it means here, for
    bfloat16 maps differ from float32 ones.

    Raises:
        ConfigError: If the weights are unknown.
        InputError: If a file cannot be read.
    """
    import torch

    from raypipe.localizers.network import network_dtype
    from raypipe.localizers.weights import digest

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = network_dtype(config.precision, device)
    files = {
        name: Location.of(path).read_text()
        for name, path in (("mapping", config.mapping), ("network_classes", config.network_classes))
        if path
    }
    settings = config.identity() | files
    settings |= {"weights": digest(config), "precision": str(dtype).removeprefix("torch.")}
    return {"localizer": settings}


def read_head(run: Run) -> Head | None:
    """Return the head that `fit` learned, or None."""
    if run.manifest("fit") is None:
        return None
    table = run.read(HEAD, "fit", "head.parquet")
    return Head(
        tuple(table["class"].to_pylist()),
        matrix(table["weight"]),
        table["bias"].to_numpy(),
    )
