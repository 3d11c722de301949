"""The run directory: one folder a step, Parquet parts, and a manifest written last.

A step is *done* when its manifest's fingerprint equals the one its configuration and the steps
before it give now; *stale* when it differs; *partial* when there are parts but no manifest.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Literal
from urllib.parse import quote

import pyarrow as pa

from raypipe import __version__
from raypipe.errors import ConfigError, InputError
from raypipe.schema import Table
from raypipe.storage.location import Location
from raypipe.tables import SCHEMA_VERSION

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

        An index is made from a folder that others write to, and an extraction grows when rejects
        are tried again: the same settings can give another content.
        """
        return self.fingerprint + str(self.details.get("content", ""))


def fingerprint(config: Mapping[str, Any], upstream: Mapping[str, str]) -> str:
    """Hash a step's configuration and inputs; the same on every machine.

    Returns:
        16 hexadecimal digits.
    """
    content = json.dumps({"config": config, "upstream": upstream}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def content_hash(names: Iterable[str]) -> str:
    """Hash what a step left out, which its settings do not tell; empty for nothing.

    Returns:
        16 hexadecimal digits.
    """
    content = "\n".join(sorted(names))
    return hashlib.sha256(content.encode()).hexdigest()[:16] if content else ""


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
        partial: Read steps that are not finished: the shards that are there.
    """

    def __init__(self, root: Location, *, partial: bool = False) -> None:
        self.root = root
        self.partial = partial

    @classmethod
    def at(cls, uri: str, *, partial: bool = False) -> Run:
        """Open the run at a path or URI; it need not exist yet.

        Raises:
            InputError: If the place is a file.
        """
        run = cls(Location.of(uri), partial=partial)
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
        return self._read_manifest(step, "manifest.json")

    def begun(self, step: str) -> Manifest | None:
        """Return what a step that is not finished said of itself when it began, or None.

        Its identity is never that of the finished step: what is made from a part is stale then.
        """
        return None if self.manifest(step) else self._read_manifest(step, "begun.json")

    def _read_manifest(self, step: str, name: str) -> Manifest | None:
        place = self.step(step) / name
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

        A partial run takes an unfinished step for what there is of it.

        Raises:
            InputError: If it is not, or if a step before it was done again since; the remedy names
                the command.
        """
        manifest = self.manifest(step)
        command = f"raypipe {step.split('/', maxsplit=1)[0]} --run {self.root}"
        if manifest is None:
            begun = self.begun(step)
            if begun is not None and self.partial:
                return begun
            state = "is not finished" if begun else "has not been done"
            raise InputError(f"{self.root}: step {step} {state}", f"run `{command}` first")
        if manifest.schema_version < SCHEMA_VERSION:
            raise InputError(
                f"{self.root}: step {step} was made by an older raypipe "
                f"(tables of version {manifest.schema_version}, now {SCHEMA_VERSION})",
                f"run `{command}`",
            )
        before = [name for name in _CHAIN if name in manifest.upstream]
        if step == "extract" and self.manifest("fit") is not None:
            before = ["fit"]  # fitted after extracting: the maps are of another head
        for name in before:
            # What was made from an unfinished step, on purpose, stays usable until that goes on.
            made_from = self.begun(name) or self.require(name)
            if made_from.identity != manifest.upstream.get(name):
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
        if manifest.schema_version < SCHEMA_VERSION:
            versions = f"version {manifest.schema_version}, now {SCHEMA_VERSION}"
            return "stale", [f"its tables are of {versions}"]
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
        return self._write_manifest(plan, "manifest.json", counts, details or {})

    def begin(self, plan: Plan, details: Mapping[str, Any] | None = None) -> None:
        """Say that a step's tables are about to change, so that nobody reads a mixture.

        Args:
            plan: The step.
            details: What a reader needs who is told to take an unfinished step.
        """
        (self.step(plan.step) / "manifest.json").delete()
        unfinished = {"content": "-unfinished"} | dict(details or {})
        self._write_manifest(plan, "begun.json", {}, unfinished)

    def _write_manifest(
        self, plan: Plan, name: str, counts: Mapping[str, int], details: Mapping[str, Any]
    ) -> Manifest:
        manifest = Manifest(
            step=plan.step,
            fingerprint=plan.fingerprint,
            config=plan.config,
            upstream=plan.upstream,
            counts=dict(counts),
            seconds=round(time.monotonic() - plan.started, 3),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            versions={"raypipe": __version__}
            | {library: metadata.version(library) for library in _VERSIONED},
            details=dict(details),
        )
        content = json.dumps(asdict(manifest), indent=2) + "\n"
        (self.step(plan.step) / name).write_bytes(content.encode())
        return manifest

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
