"""Which regions show a group."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from raypipe.annotate.facts import Member, facts
from raypipe.annotate.frames import Frames, Regions
from raypipe.annotate.shared import pick, shared_tiles
from raypipe.storage.run import Run

WHITE = Image.new("RGB", (80, 60), "white")


def member(name: str, number: int, regions: int) -> Member:
    return Member(name, name, number, regions)


def shown(run: Run, count: int, broken: str = "") -> list[list[tuple[str, str]]]:
    item = facts(run)[0]
    assert item.shared
    drawn = shared_tiles(
        item, run, Frames.of(run), count, 32,
        lambda uri: None if broken and uri.endswith(f"{broken}.png") else WHITE,
    )  # fmt: skip
    return [[(tile.caption, tile.image_id) for tile in own] for own in drawn]


def test_the_largest_clusters_of_different_classes_come_first() -> None:
    members = [member("a", 1, 9), member("a", 2, 8), member("b", 3, 7), member("a", 3, 6),
               member("c", 1, 5), member("b", 1, 4)]  # fmt: skip
    chosen = [(item.name, item.number) for item in pick(members, 5)]
    assert chosen == [("a", 1), ("b", 3), ("c", 1), ("a", 2), ("b", 1)]


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 99)), max_size=12),
    st.integers(1, 12),
)
def test_no_class_is_shown_twice_before_every_class_is_shown(sizes, count) -> None:
    ranked = sorted(sizes, key=lambda item: -item[1])
    members = [member(name, number, size) for number, (name, size) in enumerate(ranked)]
    chosen = pick(members, count)
    assert len(chosen) == len({item.number for item in chosen}) == min(count, len(members))
    names = {item.name for item in members}
    first = [item.name for item in chosen[: len(names)]]
    assert len(set(first)) == len(first)
    largest = {name: max(size for own, size in sizes if own == name) for name in names}
    assert [largest[name] for name in first] == sorted(largest.values(), reverse=True)[: len(first)]


def test_tiles_of_a_cluster_stand_together_and_show_different_images(shared, two_clusters) -> None:
    shared.regions = {
        name: [(number, f"{name}-{image}", *rest) for number, image, *rest in two_clusters(4)]
        for name in shared.regions
    }
    left, right = shown(shared.run(), 7)
    assert left == right == [
        ("cat", "cat-image0"), ("cat", "cat-image1"), ("cat", "cat-image2"),
        ("cow", "cow-image0"), ("cow", "cow-image1"),
        ("dog", "dog-image0"), ("dog", "dog-image1"),
    ]  # fmt: skip


def test_an_image_is_shown_once_and_others_fill_in_for_what_cannot_be_read(shared) -> None:
    run = shared.run()  # all classes on the same three images
    assert shown(run, 12)[0] == [("cat", "image0"), ("cow", "image1"), ("dog", "image2")]
    assert shown(run, 12, broken="image0")[0] == [("cat", "image1"), ("cow", "image2")]


def test_a_group_of_one_cluster_shows_only_that(shared, two_clusters) -> None:
    shared.groups["dog", 2] = 3
    shared.regions["dog"] = two_clusters(9)
    assert shown(shared.run(), 6)[2] == [("dog", f"image{place}") for place in range(6)]


def test_only_classes_that_are_shown_are_read(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    run, read = shared.run(), []
    of = Regions.of
    monkeypatch.setattr(Regions, "of", lambda run, name: read.append(name) or of(run, name))
    shown(run, 2)
    assert read == ["cat", "cow"]


def test_first_images_keep_all_their_regions(shared) -> None:
    own = Regions.of(shared.run(), "cat").of_cluster(1).of_first_images(2)
    assert own.image_ids.tolist() == ["image0", "image0", "image1", "image1"]
    assert own.cells[:, 0].tolist() == [1, 3, 1, 3]
