"""The container image of a cluster: its tag must tell, and match, the Ray and Python used here."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib.metadata import version

from raypipe.cloud.clusterfile import ClusterFile, Finding, mapping

PLACEHOLDER = "REGISTRY"
"""Stands in the shipped files for the user's own registry."""

_RAY = re.compile(r"(?:^|[-_])ray[-_]?v?(\d+\.\d+\.\d+)")
_PYTHON = re.compile(r"(?:^|[-_])py(\d)(\d+)(?:[-_]|$)")
_INSTALLED = re.compile(r"pip3? install .*\bray(?:\[[\w,]+\])?(?:==([\w.]+))?(?=[\s'\"]|$)")


def findings(file: ClusterFile) -> Iterator[Finding]:
    """Yield what keeps a cluster of this image from being joined from here."""
    docker = mapping(file.content.get("docker"))
    for key in ("image", "head_image", "worker_image"):
        if docker.get(key):
            yield from tag_findings(f"docker.{key}", str(docker[key]))
    if not file.image:
        yield Finding("docker.image", "no image: what is installed depends on the day",
                      "name an image that has Ray and raypipe in it, with a tag")  # fmt: skip
    yield from _installs(file)


def tag_findings(where: str, image: str) -> Iterator[Finding]:
    """Yield what is wrong with one image's name.

    The tag has to say `ray2.60.0` and `py311` (rayproject's own images: `2.60.0-py311`), since
    nothing but the name of an image can be read offline. A digest alone says nothing, so a tag is
    wanted beside it.
    """
    name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    wanted, (major, minor, _) = version("ray"), platform.python_version_tuple()
    good = f"build it with the Dockerfile and tag it …-ray{wanted}-py{major}{minor}-…"
    if tag in {"", "latest"}:
        yield Finding(where, f"{image} has no fixed tag: tomorrow's nodes may differ", good)
        return
    official = re.match(r"\d+\.\d+\.\d+", tag) if name in {"ray", "ray-ml", "ray-llm"} else None
    ray = official[0] if official else next(iter(_RAY.findall(tag)), None)
    if ray is None:
        yield Finding(where, f"tag {tag} does not say which Ray is in it", good)
    elif ray != wanted:
        what = f"Ray {ray} in the image, {wanted} here: they refuse to talk"
        yield Finding(where, what, f"use an image with Ray {wanted}, or pip install ray=={ray}")
    python = _PYTHON.search(tag)
    if python is None:
        yield Finding(where, f"tag {tag} does not say which Python is in it", good)
    elif python.groups() != (major, minor):
        found = ".".join(python.groups())
        what = f"Python {found} in the image, {major}.{minor} here: pickles do not cross"
        yield Finding(where, what, f"use an image with Python {major}.{minor}")


def _installs(file: ClusterFile) -> Iterator[Finding]:
    """Yield setup commands that install another Ray, Ray's own default among them."""
    wanted = version("ray")
    for key in ("setup_commands", "head_setup_commands", "worker_setup_commands"):
        if key not in file.content and key != "worker_setup_commands":
            what = "left out: Ray fills in commands of its own, which install packages of the day"
            yield Finding(key, what, f"write {key}: []")
        for line in file.commands(key):
            found = _INSTALLED.search(line)
            if found and found[1] != wanted:
                what = f"installs Ray {found[1] or 'of the day'}, {wanted} is here"
                yield Finding(key, what, f"pin ray=={wanted}, or leave it to the image")
