"""The run directory: one folder a step, Parquet parts, and a manifest written last.

A step is *done* when its manifest's fingerprint equals the one its configuration and the steps
before it give now; *stale* when it differs; *partial* when there are parts but no manifest.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Literal
from urllib.parse import quote

import pyarrow as pa

from raypipe import __version__
from raypipe.errors import ConfigError, InputError
from raypipe.storage.location import Location
from raypipe.tables import SCHEMA_VERSION, Table

_VERSIONED = ("ray", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pyarrow")

_CHAIN = ("fit", "extract", "cluster")
"""Steps that others are made from, by the name that their manifests' upstream gives them."""

State = Literal["done", "stale", "partial", "missing"]


@dataclass(frozen=True)
class Manifest:
    """What a finished step says of itself; written last, so its presence means completion.

    Attributes:
        step: Name of the step, such as `extract` or `refine/val`.
        fingerprint: Hash of the configuration and of the fingerprints of the steps before.
        config: The settings that the fingerprint covers.
        upstream: Fingerprint of every input, by name.
        counts: Rows, images, rejects and the like.
        seconds: Wall-clock time of the step.
        schema_version: Version of the tables.
        created: UTC time, ISO 8601.
        versions: Versions of the libraries that wrote the step.
        details: Anything else a later step or a reader needs.
    """

    step: str
    fingerprint: str
    config: dict[str, Any]
    upstream: dict[str, str]
    counts: dict[str, int]
    seconds: float
    schema_version: int = SCHEMA_VERSION
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What a later step depends on: the fingerprint, and the content where it may differ.

        An index is made from a folder that others write to: the same settings can give another.
        """
        return self.fingerprint + str(self.details.get("content", ""))


def fingerprint(config: Mapping[str, Any], upstream: Mapping[str, str]) -> str:
    """Hash a step's configuration and inputs; the same on every machine.

    Returns:
        16 hexadecimal digits.
    """
    content = json.dumps({"config": config, "upstream": upstream}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def slug(name: str) -> str:
    """Return a file name for any class or set name; different names never collide."""
    quoted = quote(name, safe=" ()+,=@").replace(".", "%2E")
    if len(quoted) <= 120:
        return quoted
    return quoted[:100] + "-" + hashlib.sha256(name.encode()).hexdigest()[:16]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


class Plan:
    """What a step is about to do: its configuration, its inputs, and so its fingerprint."""

    def __init__(self, step: str, config: Mapping[str, Any], upstream: Mapping[str, str]) -> None:
        self.step = step
        self.config = dict(config)
        self.upstream = dict(upstream)
        self.fingerprint = fingerprint(self.config, self.upstream)
        self.started = time.monotonic()


class Run:
    """A run directory, local or on an object store.

    Args:
        root: Where it lies. Nothing is created until a step writes.
    """

    def __init__(self, root: Location) -> None:
        self.root = root

    @classmethod
    def at(cls, uri: str) -> Run:
        """Open the run at a path or URI; it need not exist yet.

        Raises:
            InputError: If the place is a file.
        """
        run = cls(Location.of(uri))
        if run.root.exists() and not run.root.is_dir():
            raise InputError(f"{uri}: is a file, not a run directory", "name a directory")
        return run

    def __str__(self) -> str:
        return str(self.root)

    def step(self, name: str) -> Location:
        """Return the folder of a step."""
        return self.root / name

    def manifest(self, step: str) -> Manifest | None:
        """Return a step's manifest, or None while it is not finished.

        Raises:
            InputError: If the manifest is damaged.
            ConfigError: If a newer raypipe wrote it.
        """
        place = self.step(step) / "manifest.json"
        if not place.exists():
            return None
        command = step.split("/", maxsplit=1)[0]
        try:
            content = json.loads(place.read_text())
            version = int(content["schema_version"])
            if version > SCHEMA_VERSION:
                raise ConfigError(
                    f"{self.root}: written by a newer raypipe "
                    f"(tables of version {version}, this one knows {SCHEMA_VERSION})",
                    "upgrade raypipe, or name another --run",
                )
            return Manifest(**content)
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{place}: not a manifest",
                f"delete it and run {command} again",
            ) from None

    def require(self, step: str) -> Manifest:
        """Return the manifest of a step that must be finished, and so must what it was made from.

        Raises:
            InputError: If it is not, or if a step before it was done again since; the remedy names
                the command.
        """
        manifest = self.manifest(step)
        command = f"raypipe {step.split('/', maxsplit=1)[0]} --run {self.root}"
        if manifest is None:
            raise InputError(
                f"{self.root}: step {step} has not been done", f"run `{command}` first"
            )
        before = [name for name in _CHAIN if name in manifest.upstream]
        if step == "extract" and self.manifest("fit") is not None:
            before = ["fit"]  # fitted after extracting: the maps are of another head
        for name in before:
            if self.require(name).fingerprint != manifest.upstream.get(name):
                raise InputError(
                    f"{self.root}: step {name} was done again after {step}", f"run `{command}`"
                )
        return manifest

    def state(self, plan: Plan) -> tuple[State, list[str]]:
        """Compare a step on disk with what is planned.

        Returns:
            The state, and for a stale step the reasons, one a line.
        """
        manifest = self.manifest(plan.step)
        if manifest is None:
            return ("partial" if self.step(plan.step).exists() else "missing"), []
        if manifest.fingerprint == plan.fingerprint:
            return "done", []
        was, now = _flat(manifest.config), _flat(plan.config)
        reasons = [
            f"{name} was {was.get(name)!r}, is {now.get(name)!r}"
            for name in sorted({*was, *now})
            if was.get(name) != now.get(name)
        ]
        reasons += [
            f"{name} has changed"
            for name in sorted({*manifest.upstream, *plan.upstream})
            if manifest.upstream.get(name) != plan.upstream.get(name)
        ]
        return "stale", reasons

    def finish(
        self, plan: Plan, counts: Mapping[str, int], details: Mapping[str, Any] | None = None
    ) -> Manifest:
        """Write a step's manifest; from now on the step counts as done."""
        manifest = Manifest(
            step=plan.step,
            fingerprint=plan.fingerprint,
            config=plan.config,
            upstream=plan.upstream,
            counts=dict(counts),
            seconds=round(time.monotonic() - plan.started, 3),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions={"raypipe": __version__}
            | {name: metadata.version(name) for name in _VERSIONED},
            details=dict(details or {}),
        )
        content = json.dumps(asdict(manifest), indent=2) + "\n"
        (self.step(plan.step) / "manifest.json").write_bytes(content.encode())
        return manifest

    def reopen(self, step: str) -> None:
        """Take a step's manifest away before its tables change, so that nobody reads a mixture."""
        (self.step(step) / "manifest.json").delete()

    def read(self, table: Table, *parts: str) -> pa.Table:
        """Return one file of a table, checked against its schema.

        Args:
            table: What it must be.
            parts: Path below the run directory.

        Raises:
            InputError: If it cannot be read or has other columns.
        """
        place = self.root / "/".join(parts)
        return table.check(place.read_table(), str(place))

    def write(self, table: Table, rows: pa.Table, *parts: str) -> None:
        """Write one file of a table whole."""
        place = self.root / "/".join(parts)
        place.write_table(table.check(rows, str(place)))


class Parts:
    """The files of a step that come one a shard (or a class), named by shard and fingerprint.

    A file's name follows from what went into it, so that a resumed step skips what is there and
    never mixes two configurations.

    Args:
        run: The run directory.
        plan: The step that writes them.
        kind: Folder below the step's.
    """

    def __init__(self, run: Run, plan: Plan, kind: str) -> None:
        self.folder = run.step(plan.step) / kind
        self.suffix = f".{plan.fingerprint[:8]}.parquet"

    @classmethod
    def of(cls, run: Run, manifest: Manifest, kind: str) -> Parts:
        """Return the parts that a finished step wrote."""
        return cls(run, Plan(manifest.step, manifest.config, manifest.upstream), kind)

    def place(self, name: str) -> Location:
        """Return the file of a shard."""
        return self.folder / f"{slug(name)}{self.suffix}"

    def done(self) -> set[str]:
        """Return the slugs of the shards whose file is there."""
        return {
            name.removesuffix(self.suffix)
            for name in self.folder.names()
            if name.endswith(self.suffix)
        }

    def read(self, table: Table, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield every part, in the order of the names, checked against the schema.

        Args:
            table: What the parts must be.
            columns: Columns to read; all by default.
        """
        for name in sorted(self.done()):
            place = self.folder / f"{name}{self.suffix}"
            found = place.read_table(columns=list(columns) if columns is not None else None)
            yield table.check(found, str(place), columns)

    def count(self, table: Table) -> int:
        """Return the rows of all parts."""
        return sum(part.num_rows for part in self.read(table, columns=table.schema.names[:1]))

    def remove_others(self) -> int:
        """Delete parts that another configuration left behind; return how many."""
        others = [
            name
            for name in self.folder.names()
            if name.endswith(".parquet") and not name.endswith(self.suffix)
        ]
        for name in others:
            (self.folder / name).delete()
        return len(others)
