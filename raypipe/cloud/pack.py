"""What a command needs on a cluster: the package's own code, and the small files it names.

Images, weights and runs are not packed: a cluster reads them where all its nodes can.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import raypipe
from raypipe.errors import ConfigError, InputError, UsageError

LARGEST = 1_000_000
"""Bytes of a file that the command names, at most: lists of classes and answers are smaller."""

_PATHS = {
    "--run": "run",
    "--root": "dataset.root",
    "--class-file": "dataset.class_file",
    "--images": "target.root",
    "--weights": "localizer.weights",
    "--mapping": "localizer.mapping",
}
"""Options that are paths, and their settings."""

_FILES = (*_PATHS.values(), "localizer.network_classes")
_WITHOUT_RUN = {"doctor", "cluster-check", "demo"}
_AT_HOME = {"submit", "annotate"}
"""Commands that are for the machine where a person sits."""


@dataclass(frozen=True)
class Package:
    """Files to send along, and the command that uses them.

    Attributes:
        words: The command as the cluster runs it, `python` first.
        files: Sources by their path in the job's folder.
        remarks: What a user should know, a line each.
    """

    words: tuple[str, ...]
    files: Mapping[str, Path]
    remarks: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())

    def write(self, folder: Path) -> None:
        """Copy the files into an empty folder."""
        for name, source in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)


def package(words: Sequence[str], folder: Path) -> Package:
    """Say what to send for a command.

    Args:
        words: A command of raypipe with its options, as `extract --config jobs/voc2012.toml`; or a
            run file, which means `run FILE`; or a Python file and its arguments.
        folder: Where the command was typed: paths are relative to it.

    Raises:
        UsageError: If the command is none for a cluster.
        InputError: If a file is missing, too large, or a folder of this machine.
        ConfigError: If the run's place is on this machine only.
    """
    if not words:
        raise UsageError("submit: no job named", "as raypipe submit jobs/ilsvrc.toml")
    first = words[0]
    if first.endswith((".toml", ".py")) and not (folder / first).is_file():
        raise InputError(f"{first}: there is no such file", "name a run file or a job file")
    if first.endswith(".toml"):
        words = ("run", *words)
    if words[0] in _AT_HOME:
        raise UsageError(f"submit {words[0]}: not a job", f"call `raypipe {words[0]}` itself")
    paths = _settings(words, folder)
    if words[0] not in _WITHOUT_RUN:
        _check_run(paths.pop("run", "") or os.environ.get("RAYPIPE_RUN", ""))
    named = [word for word in words if (folder / word).is_file()]
    files, remarks = _shipped([*named, *paths.values()], folder)
    program = ("python",) if first.endswith(".py") else ("python", "-m", "raypipe")
    return Package((*program, *words), own_code() | files, tuple(remarks))


def own_code() -> dict[str, Path]:
    """Return the files of the raypipe that runs here, so that the cluster runs the same."""
    root = Path(raypipe.__file__).parent
    return {
        str(Path("raypipe") / path.relative_to(root)): path
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def environment() -> dict[str, str]:
    """Return the variables that go along: raypipe's own, and no credentials."""
    return {name: value for name, value in os.environ.items() if name.startswith("RAYPIPE_")}


def _settings(words: Sequence[str], folder: Path) -> dict[str, str]:
    """Return the paths that a command names, by setting: in its run file, and over that in flags.

    Raises:
        ConfigError: If the run file is not TOML.
    """
    found: dict[str, str] = {}
    for word in words:
        if word.endswith(".toml") and (folder / word).is_file():
            found |= _read(folder / word)
    flags = [f"{a}={b}" for a, b in pairwise([*words, ""]) if a in _PATHS]
    flags += [word for word in words if "=" in word]
    for name, _, value in (flag.partition("=") for flag in flags):
        found[_PATHS.get(name, name)] = value.strip("\"'")
    return {name: found[name] for name in _FILES if found.get(name)}


def _read(file: Path) -> dict[str, str]:
    """Return the paths in a run file."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not a TOML file ({error})", "mend the line it names") from None
    found = {}
    for name in _FILES:
        section, _, setting = name.rpartition(".")
        found[name] = str((content.get(section, {}) if section else content).get(setting, ""))
    return found


def _check_run(place: str) -> None:
    """Raise if the run would lie where only the head can see it."""
    if "://" not in place and not place.startswith("/"):
        found = f"the run {place} lies" if place else "without --run it would lie"
        raise ConfigError(
            f"{found} in the job's own folder on the head, which goes with the job",
            "name a place that every node reaches: --run s3://bucket/runs/name, or an absolute "
            "path of a shared file system",
        )


def _shipped(named: Sequence[str], folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the named files to send, and remarks on those that must be there already."""
    files: dict[str, Path] = {}
    remarks: list[str] = []
    for name in dict.fromkeys(named):
        path = folder / name
        if "://" in name:
            continue
        if Path(name).is_absolute() or ".." in Path(name).parts:
            remarks.append(f"{name} is not sent: every node must have it at this path")
        elif path.is_dir():
            raise InputError(
                f"{name}: a folder of this machine, which the cluster cannot read",
                "put it where every node reaches it: s3://…, or a shared file system",
            )
        elif path.is_file() and path.stat().st_size > LARGEST:
            raise InputError(
                f"{name}: {path.stat().st_size / 1e6:,.0f} MB, and only files up to "
                f"{LARGEST / 1e6:.0f} MB are sent",
                "put it where every node reaches it: s3://…, or into the image",
            )
        elif path.is_file():
            files[str(Path(name))] = path
    return files, remarks
