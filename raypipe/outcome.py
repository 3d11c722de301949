"""What became of a step, in words, and whether too much of it failed."""

from __future__ import annotations

from collections.abc import Mapping

from raypipe.errors import TooManyRejectsError
from raypipe.storage.run import Manifest, Run


def counted(counts: Mapping[str, int]) -> str:
    """Return a manifest's counts in words."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def check_rejects(run: Run, manifest: Manifest, limit: float) -> None:
    """See to it that a step did not reject more than it may, each time it is asked for.

    Args:
        run: The run directory.
        manifest: Of the step.
        limit: Share of the inputs, 0..1.

    Raises:
        TooManyRejectsError: If it did; what it wrote is complete otherwise.
    """
    counts = manifest.counts
    failed, classes = counts.get("failed", 0), counts.get("classes", 0)
    if failed > limit * (failed + classes):
        raise TooManyRejectsError(
            f"{failed} of {failed + classes} classes failed, the limit is {limit:.0%}",
            "the reasons are in the lines above and in the step's manifest.json",
        )
    if counts.get("rejects", 0) > limit * counts.get("images", 0):
        raise TooManyRejectsError(
            f"{counts['rejects']} of {counts['images']} images were rejected, "
            f"the limit is {limit:.0%}",
            f"the reasons are in {run.step(manifest.step)}/rejects; "
            "--set engine.max_reject_share=1 accepts it",
        )
