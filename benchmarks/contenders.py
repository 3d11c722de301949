"""Contenders without Ray: the limit, decoding, a `DataLoader` script, and the grad-cam package."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import Outcome, Task, steady_rate
from benchmarks.networks import (
    MEAN,
    STD,
    HookedCam,
    Maps,
    dtype,
    raypipe_network,
    torchvision_network,
)
from raypipe.loading.decode import decode as decode_image

Settings = dict[str, Any]
Seconds = tuple[int, float]
"""Images, and the seconds they took."""

Speed = tuple[int, float]
"""Images, and images a second."""

Part = Callable[[Task, Settings, int, Barrier], list[Seconds]]
"""What one of several processes does, from its number on; a pair a measurement."""

_BATCHES = (4, 8, 16, 32)
_SHARD = 128  # images a file, as raypipe's


# -- several processes at a time --------------------------------------------------------------


def _together(part: Part, task: Task, settings: Settings) -> list[Speed]:
    """Run a part in `processes` processes at once; return what they reached together."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(settings["processes"])
    results: SimpleQueue[Any] = context.SimpleQueue()
    arguments = [(part, task, settings, at, barrier, results) for at in range(barrier.parties)]
    processes = [context.Process(target=_run_part, args=own) for own in arguments]
    for process in processes:
        process.start()
    outcomes = [results.get() for _ in processes]
    for process in processes:
        process.join()
    if not all(outcomes):
        raise RuntimeError(f"a process of {part.__name__} failed")
    return [
        (sum(images for images, _ in own), sum(images / seconds for images, seconds in own))
        for own in zip(*outcomes, strict=True)
    ]


def _run_part(
    part: Part,
    task: Task,
    settings: Settings,
    at: int,
    barrier: Barrier,
    results: SimpleQueue[Any],
) -> None:
    torch.set_num_threads(settings["threads"])
    outcome = None
    try:
        outcome = part(task, settings, at, barrier)
    finally:
        if outcome is None:
            barrier.abort()  # or the others would wait for ever
        results.put(outcome)


# -- forward only, the limit ------------------------------------------------------------------


def calibrate_forward(task: Task) -> Settings:
    """Find the two fastest arrangements: both are measured, so that the limit is not missed."""
    found = []
    for processes in sorted({1, task.threads}):
        own = {"processes": processes, "threads": task.threads // processes}
        quick = own | {"batches": _BATCHES, "seconds": task.seconds / 4, "folded": True}
        speeds = _together(_forward_part, task, quick)
        rates = zip(speeds, _BATCHES, strict=True)
        found += [(rate, own | {"batches": [batch]}) for (_, rate), batch in rates]
    found.sort(key=lambda pair: pair[0], reverse=True)
    return {"best": [own for _, own in found[:2]]}


def forward(task: Task, settings: Settings) -> Outcome:
    """Run the network that raypipe runs on tensors in memory: nobody can be faster."""
    given = {"seconds": task.seconds, "folded": True}
    speeds = [(_together(_forward_part, task, own | given)[0], own) for own in settings["best"]]
    (images, rate), own = max(speeds, key=lambda item: item[0][1])
    [(_, unfolded)] = _together(_forward_part, task, own | given | {"folded": False})
    words = f"{own['processes']} × {_threads(own)}, batch {own['batches'][0]}"
    return Outcome(images, rate, words, {"forward_unfolded": unfolded})


def _forward_part(task: Task, settings: Settings, at: int, barrier: Barrier) -> list[Seconds]:
    paths = task.paths()
    images = [paths[(at + number) % len(paths)] for number in range(max(_BATCHES))]
    pixels = [decode_image(path.read_bytes(), task.input_size, 10**9)[0] for path in images]
    classifier = raypipe_network(task)
    network = classifier.network if settings["folded"] else torchvision_network(task, dtype())
    with torch.inference_mode():
        return [
            _repeated(network, classifier.prepared(np.stack(pixels[:size])), settings, barrier)
            for size in settings["batches"]
        ]


def _repeated(network: nn.Module, batch: Tensor, settings: Settings, barrier: Barrier) -> Seconds:
    """Run the same batch again and again, at the same time as the other processes."""
    for _ in range(3):
        network(batch)
    barrier.wait()
    images, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < settings["seconds"]:
        network(batch)
        images += len(batch)
    return images, seconds


def _threads(settings: Settings) -> str:
    number = settings["threads"]
    return f"{number} thread{'s' if number > 1 else ''}"


# -- decoding only ----------------------------------------------------------------------------


def decode(task: Task, _: Settings) -> Outcome:
    """Read, decode and resize with raypipe's decoder, in a process a core."""
    settings = {"processes": task.threads, "threads": 1}
    [(images, rate)] = _together(_decode_part, task, settings)
    return Outcome(images, rate, f"{task.threads} × 1 thread")


def _decode_part(task: Task, settings: Settings, at: int, barrier: Barrier) -> list[Seconds]:
    paths = task.paths()[at :: settings["processes"]]
    decode_image(paths[0].read_bytes(), task.input_size, 10**9)  # imports torchvision
    barrier.wait()
    started = time.perf_counter()
    for path in paths:
        decode_image(path.read_bytes(), task.input_size, 10**9)
    return [(len(paths), time.perf_counter() - started)]


# -- a DataLoader script ----------------------------------------------------------------------


class ImageFolder(Dataset[tuple[Tensor, int, str]]):
    """Images at the network's size as (3, S, S) uint8, each with its class and its path."""

    def __init__(self, task: Task) -> None:
        self._paths, self._labels, self._size = task.paths(), task.labels(), task.input_size

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, at: int) -> tuple[Tensor, int, str]:
        from torchvision.io import ImageReadMode, decode_image
        from torchvision.transforms.v2.functional import resize

        path = self._paths[at]
        pixels = decode_image(str(path), mode=ImageReadMode.RGB)
        small = resize(pixels, [self._size, self._size], antialias=True)
        return small, self._labels[path.parent.name], str(path)


def calibrate_dataloader(task: Task) -> Settings:
    """Find the fastest numbers of workers and threads, and the faster of two batch sizes."""
    cores = task.threads
    threads = sorted({1, cores - 1, cores} - {0})
    choices = [
        {"workers": workers, "threads": own, "batch": 32}
        for workers, own in itertools.product(sorted({0, 1, 2, cores}), threads)
        if workers or own == cores
    ]
    cam = HookedCam(task)
    rates = [(_try_loader(task, choice, cam), choice) for choice in choices]
    best = max(rates, key=lambda pair: pair[0])
    small = best[1] | {"batch": 8}
    return max(best, (_try_loader(task, small, cam), small), key=lambda pair: pair[0])[1]


def _try_loader(task: Task, settings: Settings, cam: HookedCam) -> float:
    finished: list[tuple[float, int]] = []
    for pair in _load_and_localize(task, settings, cam, lambda *_: None):
        finished.append(pair)
        if pair[0] - finished[0][0] > task.seconds / 2:
            break
    return steady_rate(finished)


def dataloader(task: Task, settings: Settings) -> Outcome:
    """Do what raypipe does with a `DataLoader`, hooks and a file for every 128 images."""
    writer = _Writer(Path(task.work) / "dataloader")
    finished = list(_load_and_localize(task, settings, HookedCam(task), writer.add))
    writer.flush()
    finished.append((time.perf_counter(), 0))
    words = f"{settings['workers']} workers, {_threads(settings)}, batch {settings['batch']}"
    return Outcome(sum(size for _, size in finished[1:]), steady_rate(finished), words)


def _load_and_localize(
    task: Task,
    settings: Settings,
    cam: HookedCam,
    keep: Callable[[list[str], Maps, list[Maps]], None],
) -> Iterator[tuple[float, int]]:
    """Work on the images in order; yield when each batch was done, and its size."""
    torch.set_num_threads(settings["threads"])
    loader = DataLoader(ImageFolder(task), settings["batch"], num_workers=settings["workers"])
    for pixels, labels, paths in loader:
        keep(list(paths), *cam(pixels, labels.tolist()))
        yield time.perf_counter(), len(pixels)


class _Writer:
    """Collects maps and features and writes a Parquet file now and then."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._files = folder, 0
        self._rows: dict[str, list[Any]] = {"path": [], "map": [], "features": []}

    def add(self, paths: list[str], maps: Maps, features: list[Maps]) -> None:
        """Keep the rows of a batch."""
        self._rows["path"] += paths
        self._rows["map"] += [item.tobytes() for item in maps]
        self._rows["features"] += [item.tobytes() for item in features]
        if len(self._rows["path"]) >= _SHARD:
            self.flush()

    def flush(self) -> None:
        """Write what there is."""
        pq.write_table(pa.table(self._rows), self._folder / f"{self._files:05d}.parquet")
        self._files += 1
        self._rows = {name: [] for name in self._rows}


# -- the grad-cam package ---------------------------------------------------------------------


def calibrate_grad_cam(task: Task) -> Settings:
    """Find out whether the package works in the common precision, and its fastest batch size."""
    torch.set_num_threads(task.threads)
    paths = task.paths()
    try:
        next(_grad_cam(task, paths[:1], 1, dtype()))
        precision = dtype()
    except TypeError:
        precision = torch.float32  # 1.5.7 hands activations to NumPy, which knows no bfloat16
    rates = []
    for batch in (1, 8, 32):
        some = [paths[at % len(paths)] for at in range(max(16, 2 * batch))]
        rates.append((steady_rate(list(_grad_cam(task, some, batch, precision))), batch))
    return {"batch": max(rates)[1], "precision": str(precision).removeprefix("torch.")}


def grad_cam(task: Task, settings: Settings) -> Outcome:
    """Follow the package's README, in a loop over a sample of the images."""
    torch.set_num_threads(task.threads)
    paths = task.paths()
    step = max(1, len(paths) // task.sample)
    precision = getattr(torch, settings["precision"])
    finished = list(_grad_cam(task, paths[::step][: task.sample], settings["batch"], precision))
    words = f"{settings['precision']}, {_threads(vars(task))}, batch {settings['batch']}"
    return Outcome(sum(size for _, size in finished[1:]), steady_rate(finished), words)


def _grad_cam(
    task: Task, paths: list[Path], batch: int, precision: torch.dtype
) -> Iterator[tuple[float, int]]:
    """Yield when each batch was done, and its size."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import preprocess_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model: Any = torchvision_network(task, precision)
    last = model.layer4[-1] if hasattr(model, "layer4") else model.features[-1]
    labels, size = task.labels(), (task.input_size, task.input_size)
    cam = GradCAM(model=model, target_layers=[last])
    for start in range(0, len(paths), batch):
        own = paths[start : start + batch]
        inputs = [preprocess_image(_loaded(path, size), MEAN, STD) for path in own]
        targets = [ClassifierOutputTarget(labels[path.parent.name]) for path in own]
        # Not in the README's `with GradCAM(...) as cam`, which swallows an IndexError.
        cam(input_tensor=torch.cat(inputs).to(precision), targets=targets)
        yield time.perf_counter(), len(own)
    cam.activations_and_grads.release()


def _loaded(path: Path, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return (S, S, 3) float32 RGB in 0..1, as the package's examples load an image."""
    image: Any = cv2.imread(str(path))
    return np.asarray(cv2.resize(image[:, :, ::-1], size), np.float32) / np.float32(255)
