"""The MSRC protocol: plain CAM against CAM refined by a few answers a class.

Fits a linear head on the train split's image-level labels, extracts and clusters on train, lets
the simulated annotator answer, refines and evaluates on val: through the command line's own code.

    python benchmarks/msrc.py                  both seeds of the sampling, a table
    python benchmarks/msrc.py --seeds 0 --json
    python benchmarks/msrc.py --scope all      questions about all classes at once
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.data import ROOT, require_data_root, state_dict
from raypipe.evaluate.summary import summary_table
from raypipe.pipeline import Pipeline
from raypipe.resolve import resolve


def measure(run: Path, seed: int, network: str, scope: str, address: str | None) -> dict[str, Any]:
    """Run the protocol once and return its report."""
    flags: dict[str, Any] = {
        "run": str(run),
        "dataset": {"name": "voc", "root": str(require_data_root() / "msrc_v2")},
        "localizer": {"architecture": network, "weights": str(state_dict(network))},
        "fit": {"every_class": True},
        "extract": {"seed": seed},
        "cluster": {"seed": seed, "scope": scope},
        "simulate": {"enabled": True},
        "refine": {"rules": ["classify", "filter"]},
        "engine": {} if address is None else {"address": address},
    }
    with Pipeline(*resolve(None, flags)) as pipeline:
        pipeline.everything()
        return pipeline.report()


def main() -> None:
    """Measure every seed; print the first seed's table, or all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of the sampling")
    parser.add_argument("--network", default="resnet50", choices=["resnet18", "resnet50"])
    parser.add_argument("--scope", default="class", choices=["class", "all"], help="of questions")
    parser.add_argument("--run", type=Path, help="run directory")
    parser.add_argument("--address", help="Ray cluster to join, or local")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    run = options.run or ROOT / "runs" / f"msrc-{options.network}"

    reports = {
        seed: measure(run, seed, options.network, options.scope, options.address)
        for seed in options.seeds
    }
    first = reports[options.seeds[0]]
    if options.json:
        print(json.dumps(first | {"seeds": {str(seed): _short(reports[seed]) for seed in reports}}))
        return
    Console().print(summary_table(first))
    for seed, report in reports.items():
        print(f"seed {seed}: {json.dumps(_short(report))}")


def _short(report: dict[str, Any]) -> dict[str, Any]:
    """Return the means of a report, with each rule's."""
    kept = {name: report[name] for name in ("corloc", "iou", "questions_per_class")}
    rules = {
        rule: {name: values[name] for name in ("corloc", "iou")}
        for rule, values in report["rules"].items()
    }
    return kept | {"rules": rules}


if __name__ == "__main__":
    main()
