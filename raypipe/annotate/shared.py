"""Tiles of a class's clusters, and of groups: typical regions of as many classes as fit."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from raypipe.annotate.facts import ClassFacts, Member
from raypipe.annotate.frames import Frames, Regions
from raypipe.annotate.tiles import TRIES, Loader, Tile, drawn_tiles, load, tiles
from raypipe.config import SheetsConfig
from raypipe.storage.run import Run

Cluster = tuple[str, int]


def class_tiles(
    item: ClassFacts, run: Run, config: SheetsConfig, frames: Frames
) -> list[list[Tile]]:
    """Draw the tiles of each cluster of a class, or of each group.

    Raises:
        InputError: If a class's regions cannot be read.
    """
    if item.shared:
        return shared_tiles(item, run, frames, config.tiles, config.tile)
    regions = Regions.of(run, item.name)
    own = frames.find(regions.image_ids.tolist())
    return [
        tiles(regions.of_cluster(cluster.number), own, config.tiles, config.tile)
        for cluster in item.clusters
    ]


def shared_tiles(
    item: ClassFacts, run: Run, frames: Frames, count: int, side: int, loader: Loader = load
) -> list[list[Tile]]:
    """Draw the tiles of every group.

    Only the classes that are shown are read, one at a time, and of each no more than its first
    images are kept.

    Args:
        item: The groups, as the clusters of `tables.SHARED`.
        run: A clustered run.
        frames: Finds the frames of its images.
        count: Tiles of a group, at most.
        side: Width and height of a tile, pixels.
        loader: Reads an image by URI; one that gives None is left out.

    Returns:
        The tiles of each group, those of one cluster side by side.

    Raises:
        InputError: If a class's regions cannot be read.
    """
    chosen = [pick(cluster.members, count) for cluster in item.clusters]
    regions: dict[Cluster, Regions] = {}
    for name, numbers in _by_class(chosen).items():
        own = Regions.of(run, name)
        for number in numbers:
            # A group of one cluster takes all its tiles from it.
            regions[name, number] = own.of_cluster(number).of_first_images(TRIES * count)
    images = {image for own in regions.values() for image in own.image_ids.tolist()}
    known = frames.find(list(images))  # once: it looks through all images of the run

    def typical(member: Member) -> Iterator[Tile]:
        own = regions[member.name, member.number]
        order = [image for image in dict.fromkeys(own.image_ids.tolist()) if image in known]
        for drawn in drawn_tiles(own, known, order, side=side, loader=loader):
            yield replace(drawn, caption=member.title)

    return [_drawn([typical(member) for member in members], count) for members in chosen]


def pick(members: Sequence[Member], count: int) -> list[Member]:
    """Choose the clusters that show a group: the largest of each class, then each class's next.

    Args:
        members: The clusters of the group, the largest first.
        count: Clusters to choose, at most.
    """
    seen: Counter[str] = Counter()
    rounds = []
    for member in members:
        rounds.append(seen[member.name])
        seen[member.name] += 1
    ranked = sorted(zip(rounds, members, strict=True), key=lambda pair: pair[0])  # stable
    return [member for _, member in ranked[:count]]


def _by_class(chosen: list[list[Member]]) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for members in chosen:
        for member in members:
            numbers.setdefault(member.name, []).append(member.number)
    return numbers


def _drawn(sources: list[Iterator[Tile]], count: int) -> list[Tile]:
    """Take a tile of each cluster in turn until there are enough; a cluster's stand together."""
    found: list[tuple[int, Tile]] = []
    seen: set[str] = set()
    waiting = deque(enumerate(sources))
    while waiting and len(found) < count:
        place, source = waiting.popleft()
        drawn = next((tile for tile in source if tile.image_id not in seen), None)
        if drawn is not None:
            seen.add(drawn.image_id)
            found.append((place, drawn))
            waiting.append((place, source))
    return [drawn for _, drawn in sorted(found, key=lambda pair: pair[0])]
