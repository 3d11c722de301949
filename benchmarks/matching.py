"""What matching cells with labelled regions costs beside the network, on real images.

For every val image of MSRC: the forward pass of ResNet-50 at 448 pixels as `refine` runs it, and
the votes for each class it holds, for several numbers of references and both precisions.

    python benchmarks/matching.py                 a table
    python benchmarks/matching.py --images 32 --json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.localized import RUNS, fitted, localized, settings_of
from raypipe.config import RefineConfig
from raypipe.datasets.index import read_classes
from raypipe.loading.shard import ReadShard
from raypipe.localizers.job import LocalizerJob
from raypipe.localizers.shard import ShardLocalizer, sizes
from raypipe.refine.match import Matcher
from raypipe.refine.references import References
from raypipe.storage.images import ShardReader, read_shards

CPU = torch.device("cpu")
LAYER = "layer3"


def network_seconds() -> float:
    """Return the seconds an image that the network takes on a shard, decoding left out."""
    settings = settings_of(LAYER, RUNS)
    run = fitted(RUNS)
    job = LocalizerJob.of(run, settings.localizer, read_classes(run, "train"))
    network = ShardLocalizer(job)  # warmed up
    reader = ReadShard(ShardReader.of(run, "val"), sizes(job)[0], settings.engine.max_pixels)
    shard = reader.decoded(read_shards(run, "val").to_pylist()[0])
    started = time.perf_counter()
    for _ in network.run(shard, []):
        pass
    return (time.perf_counter() - started) / len(shard.image_ids)


def matching_seconds(references: int, images: int) -> float:
    """Return the seconds an image that the votes take.

    Args:
        references: Regions and bank of a class together.
        images: Images to look at.
    """
    data, config = localized(LAYER).val, RefineConfig()
    width = data.features.shape[2]
    generator = np.random.default_rng(0)
    unit = generator.normal(size=(references, width)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    is_object = (np.arange(references) % 2).astype(np.float32)
    matcher = Matcher(
        References(np.zeros(width, np.float32), unit, is_object), config.neighbors, CPU
    )
    pairs = [pair for pair in data.pairs if pair.at < images]
    cells = [np.argwhere(pair.plain > min(config.floor, config.threshold)) for pair in pairs]
    vectors = [
        torch.from_numpy(data.vectors(pair.at, own)) for pair, own in zip(pairs, cells, strict=True)
    ]
    matcher.object_share(vectors[0])
    started = time.perf_counter()
    for own in vectors:
        matcher.object_share(own)
    return (time.perf_counter() - started) / images


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64, help="val images to look at")
    parser.add_argument("--references", type=int, nargs="+", default=[10_000, 4_000, 2_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = network_seconds()
    rows = [
        {"references": count, "seconds": seconds, "share": seconds / network}
        for count in options.references
        for seconds in [matching_seconds(count, options.images)]
    ]
    if options.json:
        print(json.dumps({"network_seconds": network, "matching": rows}))
        return
    title = f"matching beside {1000 * network:.0f} ms of the network, {options.threads} thread(s)"
    table = Table("references", "ms an image", "share of the network's", title=title)
    for row in rows:
        table.add_row(
            f"{row['references']:,}", f"{1000 * row['seconds']:.1f}", f"{row['share']:.1%}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
