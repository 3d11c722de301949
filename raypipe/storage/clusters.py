"""The tables of one class's clusters: where they lie, and what later steps read of them.

A class's files are named by what went into that class alone, so that giving one class another
number of clusters, or splitting one of its clusters, leaves every other class's files standing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.columns import matrix
from raypipe.schema import Table
from raypipe.storage.location import Location
from raypipe.storage.parts import Parts
from raypipe.storage.run import Manifest, Plan, Run
from raypipe.tables import ASSIGNMENTS, CLUSTERS, REFERENCES, SPECTRA

STEP = "cluster"

PARTS = (REFERENCES, ASSIGNMENTS, CLUSTERS, SPECTRA)
"""Tables with a file a class; the last says that the class is done."""


def class_plan(step: Plan | Manifest, name: str) -> Plan:
    """Return what went into one class's clusters.

    Args:
        step: The plan or the manifest of clustering.
        name: The class.
    """
    config: dict[str, Any] = dict(step.config)
    config["clusters"] = config["clusters"].get(name)
    config["splits"] = own_splits(config["splits"], name)
    return Plan(step.step, config, step.upstream)


def own_splits(splits: list[str] | tuple[str, ...], name: str) -> list[int]:
    """Return the numbers of a class's clusters that are split, in order.

    Args:
        splits: Of all classes, each as `class/cluster`.
        name: The class.
    """
    pairs = [split.rpartition("/") for split in splits]
    return [int(number) for owner, _, number in pairs if owner == name]


def class_part(run: Run, step: Plan | Manifest, table: Table, name: str) -> Location:
    """Return a class's file of one of the tables that have one a class."""
    return Parts(run, class_plan(step, name), table.name).place(name)


def assignments(run: Run, name: str) -> pa.Table:
    """Return the ASSIGNMENTS rows of a class.

    Raises:
        InputError: If the run is not clustered yet, or the class's file is missing or damaged.
    """
    place = class_part(run, run.require(STEP), ASSIGNMENTS, name)
    return ASSIGNMENTS.check(place.read_table(), str(place))


def references(
    run: Run, step: Manifest, name: str
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the regions of a class that cells are compared with.

    Args:
        run: The run directory.
        step: Manifest of clustering.
        name: The class.

    Returns:
        (n,) cluster of each, 0 for the background bank; (n, k) features, centred, of length 1.
    """
    place = class_part(run, step, REFERENCES, name)
    table = REFERENCES.check(place.read_table(), str(place))
    return table["cluster"].to_numpy(), matrix(table["feature"]).astype(np.float32)


def centre(run: Run, step: Manifest, name: str) -> npt.NDArray[np.float32]:
    """Return the (k,) mean feature of a class, which clustering subtracted."""
    place = class_part(run, step, SPECTRA, name)
    table = SPECTRA.check(place.read_table(), str(place))
    row: npt.NDArray[np.float32] = matrix(table["centre"])[0]
    return row
