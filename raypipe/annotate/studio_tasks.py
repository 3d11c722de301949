"""The questions as a Label Studio project: a task a question, its tiles inside it.

The picture of a question stands in its task as a data URI: the files can be imported into any
Label Studio, with no storage to connect and no files to serve.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from xml.sax.saxutils import quoteattr

from raypipe.annotate import pages, sheets
from raypipe.annotate.facts import ClassFacts, facts
from raypipe.annotate.frames import Frames
from raypipe.annotate.shared import class_tiles
from raypipe.annotate.studio import NOTE, PICTURE, VERDICT
from raypipe.annotate.votes import VERDICTS
from raypipe.config import SheetsConfig
from raypipe.engine import Engine
from raypipe.progress import tracking
from raypipe.storage.jsonlists import write_lists
from raypipe.storage.location import Location
from raypipe.storage.run import Run

CONFIG = "config.xml"

_HINTS = {
    "object": "the object itself, or a part of it",
    "distractor": "something else that comes with it",
    "unsure": "cannot tell, or both",
}

Task = dict[str, Any]


def config() -> str:
    """Return the labelling configuration of the project, XML."""
    choices = "\n".join(
        f"    <Choice value={quoteattr(name)} hotkey={quoteattr(name[0])} "
        f"hint={quoteattr(_HINTS[name])}/>"
        for name in VERDICTS
    )
    return f"""<View>
  <Header value="$question" size="3"/>
  <Choices name="{VERDICT}" toName="{PICTURE}" choice="single-radio" required="true" \
requiredMessage="Answer, or skip the task" showInline="true">
{choices}
  </Choices>
  <Image name="{PICTURE}" value="${PICTURE}" zoom="true"/>
  <TextArea name="{NOTE}" toName="{PICTURE}" placeholder="Note" rows="1" maxSubmissions="1"/>
</View>
"""


def export(run: Run, settings: SheetsConfig, engine: Engine, out: Location) -> dict[str, int]:
    """Write the questions of a run as a Label Studio project.

    Args:
        run: A clustered run.
        settings: Tiles a question and their size.
        engine: Where to draw; a task a class.
        out: Folder; `config.xml` and `tasks-00000.json` and so on are written.

    Returns:
        Counts of questions and files.

    Raises:
        InputError: If an earlier step is missing, or a table is damaged.
    """
    asked = [item for item in facts(run) if any(cluster.group is None for cluster in item.clusters)]
    frames = Frames.of(run)
    with tracking("questions", len(asked), "classes") as tracker:

        def drawn() -> Iterator[list[Task]]:
            waiting: dict[str, list[Task]] = {}
            left = iter(asked)
            following = next(left, None)
            for item, found in engine.tasks(class_tasks, asked, run, settings, frames):
                tracker.advance(1)
                waiting[item.name] = found
                while following is not None and following.name in waiting:
                    yield waiting.pop(following.name)
                    following = next(left, None)

        return write(drawn(), out)


def class_tasks(item: ClassFacts, run: Run, settings: SheetsConfig, frames: Frames) -> list[Task]:
    """Draw the questions of one class, or the groups, as tasks of Label Studio.

    Raises:
        InputError: If a class's regions cannot be read.
    """
    shown = class_tiles(item, run, settings, frames)
    tasks = []
    for cluster, own in zip(item.clusters, shown, strict=True):
        if cluster.group is not None:
            continue  # asked as a cluster of all classes
        picture = sheets.question_picture(item, cluster, own, settings.tiles, settings.tile)
        encoded = base64.b64encode(pages.webp_bytes(picture)).decode()
        tasks.append({
            "data": {
                "title": item.title, "question": sheets.question(item), "class": item.name,
                "cluster": cluster.number, "membership": cluster.membership,
                PICTURE: f"data:image/webp;base64,{encoded}",
            }
        })  # fmt: skip
    return tasks


def write(tasks: Iterable[list[Task]], out: Location) -> dict[str, int]:
    """Write tasks to files that Label Studio takes, and the configuration beside them.

    Returns:
        Counts of questions and files.

    Raises:
        InputError: If they cannot be written.
    """
    counts: Counter[str] = Counter()

    def counted() -> Iterator[Task]:
        for own in tasks:
            counts["questions"] += len(own)
            yield from own

    files = write_lists(counted(), out, "tasks")
    (out / CONFIG).write_bytes(config().encode())
    return {"questions": counts["questions"], "files": files}
