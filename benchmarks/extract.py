"""How fast `raypipe extract` is: against the network alone, and against what else one would write.

The same images, weights and precision for all, on the CPU cores of this machine; each contender
runs in a process of its own. Images a second are of the steady state, start-up left out.

    python benchmarks/extract.py                       ResNet-50, 4,000 images: about 15 minutes
    python benchmarks/extract.py --network resnet18 --rounds 3
    python benchmarks/extract.py --only forward,raypipe --json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.data import image_tree, state_dict
from benchmarks.measure import Measured, Task, in_own_process, measured
from benchmarks.options import names_of

NETWORKS = ("resnet50", "resnet18", "mobilenet_v2")

# The limit and raypipe side by side: the speed of a shared machine drifts.
ORDER = ("decode", "grad_cam", "ray_docs", "dataloader", "forward", "raypipe")
NAMES = ("forward", "decode", "dataloader", "ray_docs", "grad_cam", "raypipe")
WORDS = {
    "forward": "network alone",
    "decode": "decoding alone",
    "dataloader": "DataLoader script",
    "ray_docs": "Ray docs' pattern",
    "grad_cam": "grad-cam package",
    "raypipe": "raypipe extract",
}

AIMS = {
    "resnet50": {"forward": 0.90, "dataloader": 1.0, "ray_docs": 1.3, "grad_cam": 2.0},
    "resnet18": {"forward": 0.80},
}
"""What raypipe's rate, divided by the other's, should reach at 224 px on two cores."""

SCRIPT = Path(__file__).resolve()

console = Console(stderr=True, highlight=False)


def contend(name: str, request: str) -> None:
    """Be one contender, or its calibration: print the outcome or the settings as JSON."""
    from benchmarks import contenders, contenders_ray

    calls: dict[str, Callable[..., Any]] = {
        "calibrate_forward": contenders.calibrate_forward,
        "calibrate_dataloader": contenders.calibrate_dataloader,
        "calibrate_grad_cam": contenders.calibrate_grad_cam,
        "forward": contenders.forward,
        "decode": contenders.decode,
        "dataloader": contenders.dataloader,
        "grad_cam": contenders.grad_cam,
        "ray_docs": contenders_ray.ray_docs,
        "raypipe": contenders_ray.run_raypipe,
    }
    content = json.loads(request)
    task = Task(**content["task"])
    if name.startswith("calibrate_"):
        print(json.dumps(calls[name](task)))
    else:
        print(json.dumps(asdict(calls[name](task, content["settings"]))))


def measure(task: Task, names: list[str], rounds: int) -> dict[str, list[Measured]]:
    """Calibrate the contenders that have a choice, then measure each in every round."""
    settings: dict[str, Any] = {}
    for name in ("dataloader", "grad_cam", "forward"):
        if name in names:
            console.print(f"{name}: finding its best arrangement")
            settings[name] = in_own_process(SCRIPT, f"calibrate_{name}", task, {})[0]
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(rounds):
        for name in (name for name in ORDER if name in names):
            one = measured(SCRIPT, name, task, settings.get(name, {}))
            found[name].append(one)
            console.print(
                f"{name}, round {number + 1} of {rounds}: "
                f"{one.outcome.images_per_second:.1f} images a second"
            )
    return found


def summary(task: Task, found: dict[str, list[Measured]]) -> dict[str, Any]:
    """Return medians over the rounds, peaks of memory, and ratios, for JSON."""
    names = [name for name in NAMES if found.get(name)]
    rounds = {name: [one.outcome.images_per_second for one in found[name]] for name in names}
    rates = {name: statistics.median(rounds[name]) for name in names}
    last = {name: found[name][-1].outcome for name in names}
    own = rates.get("raypipe")
    return {
        "network": task.network,
        "input_size": task.input_size,
        "images": task.images,
        "threads": task.threads,
        "images_per_second": _rounded(rates),
        "peak_mb": _peaks(found, names, "peak_mb"),
        "driver_mb": _peaks(found, names, "driver_mb"),
        "object_store_mb": _peaks(found, names, "object_store_mb"),
        "wall_seconds": _peaks(found, names, "wall_seconds"),
        "ratios": {
            f"raypipe/{name}": round(own / rate, 3)
            for name, rate in rates.items()
            if own and name != "raypipe"
        },
        "images_measured": {name: last[name].images for name in names},
        "arrangements": {name: last[name].arrangement for name in names},
        "details": {name: _details(found[name]) for name in names if last[name].details},
        "rounds": {name: [round(rate, 1) for rate in rounds[name]] for name in names},
        "machine": machine(),
    }


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    from torch.backends import cpu

    from benchmarks.networks import dtype

    return {
        "processor": _processor(),
        "instructions": str(cpu.get_cpu_capability()),
        "precision": str(dtype()).removeprefix("torch."),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "torchvision", "ray", "grad-cam")},
    }


def table(report: dict[str, Any]) -> Table:
    """Draw the contenders."""
    title = "{network} at {input_size} px, {images:,} images, {threads} CPU cores, "
    drawn = Table(title=title.format(**report) + report["machine"]["precision"])
    drawn.add_column("", no_wrap=True)
    for heading in ("images/s", "raypipe is", "aim", "peak MB", "store MB"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for name, rate in report["images_per_second"].items():
        on_ray = name in {"ray_docs", "raypipe"}
        drawn.add_row(
            WORDS[name],
            f"{rate:.1f}",
            _times(report["ratios"].get(f"raypipe/{name}")),
            _verdict(report, name),
            f"{report['peak_mb'][name]:,.0f}",
            f"{report['object_store_mb'][name]:,.0f}" if on_ray else "",
        )
    return drawn


def notes(report: dict[str, Any]) -> list[str]:
    """Return what the table does not say."""
    details = report["details"]
    lines = [f"{WORDS[name]}: {words}" for name, words in report["arrangements"].items()]
    if "forward" in details:
        rate = details["forward"]["forward_unfolded"]
        lines.append(f"network alone with its batch norms left as they are: {rate:.1f} images/s")
    if "raypipe" in details:
        own = details["raypipe"]
        lines.append(
            f"raypipe from the step's start to its last shard, actors' start-up included: "
            f"{own['to_last_shard']:.1f} images/s; the whole step: {own['whole_extract']:.1f}"
        )
    if "grad_cam" in report["images_measured"]:
        lines.append(f"grad-cam is measured over {report['images_measured']['grad_cam']:,} images")
    return lines


def _verdict(report: dict[str, Any], name: str) -> str:
    """Return the aim and whether it is met; aims are for 224 px."""
    aim = AIMS.get(report["network"], {}).get(name)
    ratio = report["ratios"].get(f"raypipe/{name}")
    if aim is None or ratio is None or report["input_size"] != 224:
        return ""
    return f"{aim:.2f} {'met' if ratio >= aim else 'missed'}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f} ×"


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in values.items()}


def _peaks(found: dict[str, list[Measured]], names: list[str], attribute: str) -> dict[str, float]:
    """Return the highest value of any round."""
    return _rounded({name: max(getattr(one, attribute) for one in found[name]) for name in names})


def _details(found: list[Measured]) -> dict[str, float]:
    """Return the medians of the further numbers."""
    names = found[0].outcome.details
    return _rounded(
        {name: statistics.median(one.outcome.details[name] for one in found) for name in names}
    )


def _processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--network", default="resnet50", choices=NETWORKS)
    made.add_argument("--input-size", type=int, default=224, help="pixels")
    made.add_argument("--images", type=int, default=4000, help="500 images, repeated to so many")
    made.add_argument("--sample", type=int, default=256, help="images that grad-cam works on")
    made.add_argument("--seconds", type=float, default=20.0, help="that the limit is measured for")
    made.add_argument("--rounds", type=int, default=1, help="measurements; the median counts")
    made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="CPU cores")
    made.add_argument("--only", type=names_of(NAMES), default=list(NAMES), metavar="NAME[,NAME]",
                      help=", ".join(NAMES))  # fmt: skip
    made.add_argument("--work", type=Path, help="folder to work in; else a temporary one")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("--contender", help=argparse.SUPPRESS)
    made.add_argument("--task", help=argparse.SUPPRESS)
    return made


def prepared(options: argparse.Namespace, images: int, work: Path) -> Task:
    """Lay out the images and return the task."""
    return Task(
        network=options.network,
        weights=str(state_dict(options.network)),
        input_size=options.input_size,
        root=str(image_tree(images, work / f"images-{images}")),
        images=images,
        sample=min(options.sample, images),
        seconds=options.seconds,
        threads=options.threads,
        work=str(work),
    )


def main() -> None:
    """Measure; print a table or JSON."""
    options = parser().parse_args()
    if options.contender:
        contend(options.contender, options.task)
        return
    with tempfile.TemporaryDirectory(prefix="raypipe-benchmark-") as temporary:
        work = options.work or Path(temporary)
        task = prepared(options, options.images, work.resolve())
        report = summary(task, measure(task, options.only, options.rounds))
    if options.json:
        print(json.dumps(report))
        return
    Console().print(table(report))
    for line in notes(report):
        print(line)


if __name__ == "__main__":
    main()
