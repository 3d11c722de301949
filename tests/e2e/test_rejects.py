"""Every kind of bad image in one dataset: listed, not fatal; and tried again when it is mended."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from raypipe.localizers.toynet import ToyNet
from tests.conftest import RunCli

pytestmark = pytest.mark.faults

SIZE = 64
LIMIT = ("--set", "engine.max_pixels=50000000")
TURNED = 0x0112  # EXIF orientation


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(number: int, width: int = 90, height: int = 60) -> Image.Image:
    pixels = np.random.default_rng(number).integers(20, 200, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def good() -> dict[str, bytes]:
    """Images that look unusual and are handled."""
    exif = Image.Exif()
    exif[TURNED] = 6
    deep = Image.fromarray(np.random.default_rng(0).integers(0, 2**16, (60, 90), np.uint16))
    files = {
        "plain.jpg": encoded(photo(0), "JPEG"),
        "progressive.jpg": encoded(photo(1), "JPEG", progressive=True),
        "grey.jpg": encoded(photo(2).convert("L"), "JPEG"),
        "cmyk.jpg": encoded(photo(3).convert("CMYK"), "JPEG"),
        "turned.jpg": encoded(photo(4), "JPEG", exif=exif),
        "palette.png": encoded(photo(5).convert("P"), "PNG"),
        "alpha.png": encoded(photo(6).convert("RGBA"), "PNG"),
        "grey-alpha.png": encoded(photo(7).convert("LA"), "PNG"),
        "deep.png": encoded(deep, "PNG"),
        "one-bit.png": encoded(photo(8).convert("1"), "PNG"),
        "animated.gif": encoded(photo(9), "GIF", save_all=True, append_images=[photo(10)]),
        "photo.webp": encoded(photo(11), "WEBP"),
        "png-inside.jpg": encoded(photo(12), "PNG"),
    }
    return files | {f"more{number}.jpg": encoded(photo(20 + number), "JPEG") for number in range(9)}


def bad() -> dict[str, tuple[bytes | None, str]]:
    """Images that cannot be used, with the reason that is expected."""
    whole_jpeg, whole_png = encoded(photo(50), "JPEG"), encoded(photo(51), "PNG")
    white = Image.new("RGB", (SIZE, SIZE), (255, 255, 255))
    return {
        "bad/cut.jpg": (whole_jpeg[: len(whole_jpeg) // 2], "undecodable"),
        "bad/cut.png": (whole_png[: len(whole_png) // 2], "undecodable"),
        "bad/empty.jpg": (b"", "empty"),
        "bad/text.jpg": (b"<html>404 Not Found</html>", "undecodable"),
        "bad/gone.jpg": (None, "missing"),
        "bad/huge.png": (encoded(Image.new("1", (9000, 9000)), "PNG"), "too_large"),
        "bad/white.png": (encoded(white, "PNG"), "non_finite"),
    }


@pytest.fixture(scope="module")
def bursting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose numbers overflow where the image is white, in float32 too."""
    torch.manual_seed(0)
    network = ToyNet(2)
    first, norm = network.mid[0][0], network.mid[0][1]
    with torch.no_grad():
        # The first feature is 10^30 on white and zero elsewhere; the next layer squares that.
        first.weight[0] = 0.0
        first.weight[0, :, 1, 1] = 1e30
        norm.bias[0], norm.weight[0] = -7.2e30, 1.0
        network.mid[1][0].weight[:, 0] = 1e30
    place = tmp_path_factory.mktemp("weights") / "bursting.safetensors"
    save_file(network.state_dict(), place, metadata={"classes": '["boat", "car"]'})
    return place


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A list of images, since a folder cannot list what is missing."""
    files = good() | {name: content for name, (content, _) in bad().items()}
    lines = ["uri,class"]
    (tmp_path / "bad").mkdir()
    for number, (name, content) in enumerate(files.items()):
        lines.append(f"{name},{('boat', 'car')[number % 2]}")
        if content is not None:
            (tmp_path / name).write_bytes(content)
    (tmp_path / "list.csv").write_text("\n".join(lines))
    return tmp_path / "list.csv"


def table(run: Path, kind: str) -> list[dict[str, Any]]:
    return pq.read_table(run / "extract" / kind).to_pylist() if (run / "extract" / kind).exists() \
        else []  # fmt: skip


def counts(printed: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(printed)["counts"]
    return found


def test_bad_images_are_listed_and_tried_again(
    cli: RunCli, dataset: Path, bursting: Path, tmp_path: Path
) -> None:
    usual = ["--dataset", "manifest", "--root", dataset, "--architecture", "toynet",
             "--weights", bursting, "--input-size", SIZE, "--cpus", 2,
             "--set", "dataset.shard_size=9", *LIMIT]  # fmt: skip
    run = tmp_path / "run"
    # Over the limit: everything is done, and the exit code says so, each time.
    first = cli("extract", *usual, "--run", run, cwd=tmp_path)
    assert first.returncode == 5, first.stderr
    assert f"7 of {len(good()) + 7} images were rejected, the limit is 5%" in first.stderr
    reasons = {row["image_id"]: row["reason"] for row in table(run, "rejects")}
    assert reasons == {name: reason for name, (_, reason) in bad().items()}
    assert len(table(run, "rejects")) == 7
    maps = {row["image_id"]: row for row in table(run, "maps")}
    assert set(maps) == set(good())
    turned = maps["turned.jpg"]
    assert (turned["width"], turned["height"]) == (60, 90), "the frame is the upright image"
    again = cli("extract", *usual, "--run", run, cwd=tmp_path)
    assert again.returncode == 5
    assert "done already" in again.stderr
    # Under it.
    accepting = ("--set", "engine.max_reject_share=0.5")
    assert cli("extract", *usual, *accepting, "--run", run, cwd=tmp_path).returncode == 0
    # Some are mended; only rejects are read again.
    untouched = dataset.parent / "plain.jpg"
    untouched.unlink()
    for name in ("bad/cut.jpg", "bad/gone.jpg"):
        (dataset.parent / name).write_bytes(encoded(photo(60), "JPEG"))
    result = cli("retry", "--run", run, *accepting, *LIMIT, "--cpus", 2, "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "2 recovered" in result.stderr
    mended = counts(result.stdout)
    assert (mended["maps"], mended["rejects"]) == (len(good()) + 2, 5)
    assert {row["image_id"] for row in table(run, "rejects")} == set(bad()) - {
        "bad/cut.jpg", "bad/gone.jpg",
    }  # fmt: skip
    untouched.write_bytes(good()["plain.jpg"])
    # The same rows as if they had never been broken.
    fresh = tmp_path / "fresh"
    result = cli("extract", *usual, *accepting, "--run", fresh, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for kind in ("maps", "regions", "rejects"):
        assert table(run, kind) == table(fresh, kind), kind
    assert cli("retry", "--run", run, "cluster", cwd=tmp_path).returncode == 2
