"""The questions as a Label Studio project, and its answers back, by Label Studio's own package."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image

from raypipe.annotate import labels, studio_tasks
from raypipe.annotate.facts import facts
from raypipe.annotate.frames import Frames
from raypipe.config import SheetsConfig
from raypipe.errors import LabelError
from raypipe.storage.location import Location
from raypipe.storage.run import Run
from raypipe.tables import SHARED
from tests.annotate.answering import KEYS, renumber, split

NASTY = 'A&B "<naïve>"/ボート, \'=1'
VERDICTS = ("object", "distractor", "unsure", "object")


def project(run: Run, out: Path) -> list[dict[str, Any]]:
    """Export the questions without a cluster of machines; return the tasks as they are read."""
    frames, settings = Frames.of(run), SheetsConfig(tiles=3, tile=48)
    tasks = [studio_tasks.class_tasks(item, run, settings, frames) for item in facts(run)]
    studio_tasks.write(tasks, Location.of(str(out)))
    files = sorted(out.glob("tasks-*.json"))
    return [task for file in files for task in json.loads(file.read_text("utf-8"))]


def annotation(
    verdict: str, by: object = 1, seconds: float | None = 2.5, note: str = "", **more: object
) -> dict[str, Any]:
    """Return an annotation as Label Studio exports it."""
    common = {"to_name": "picture", "origin": "manual"}
    result: list[dict[str, Any]] = [
        {"id": "a1", "from_name": "verdict", "type": "choices", "value": {"choices": [verdict]}}
        | common
    ]
    if note:
        result.append(
            {"id": "a2", "from_name": "note", "type": "textarea", "value": {"text": [note]}}
            | common
        )
    return {
        "id": 1, "completed_by": by, "result": result, "was_cancelled": False,
        "ground_truth": False, "created_at": "2026-01-02T03:04:05.678Z",
        "updated_at": "2026-01-02T03:04:05.678Z", "lead_time": seconds, "prediction": {},
        "result_count": len(result), "task": 1, "parent_prediction": None,
    } | more  # fmt: skip


def exported(tasks: list[dict[str, Any]], *annotations: list[dict[str, Any]]) -> bytes:
    """Return Label Studio's JSON export of tasks and the annotations of each."""
    content = [
        {
            "id": 100 + place, "annotations": own, "drafts": [], "predictions": [],
            "file_upload": "tasks-00000.json", "meta": {}, "project": 1, **task,
        }
        for place, (task, own) in enumerate(zip(tasks, annotations, strict=True))
    ]  # fmt: skip
    return json.dumps(content).encode()


def ingest(run: Run, content: bytes, **options: Any) -> labels.Ingested:
    return labels.ingest(run, content, source="answers.json", **options)


def refused(run: Run, content: bytes, **options: Any) -> LabelError:
    before = labels.history(run)
    with pytest.raises(LabelError) as caught:
        ingest(run, content, **options)
    assert labels.history(run) == before
    return caught.value


@pytest.fixture
def tasks(run: Run, tmp_path: Path) -> list[dict[str, Any]]:
    return project(run, tmp_path / "out")


def test_label_studio_takes_the_project(run, tasks, tmp_path) -> None:
    interface = LabelInterface((tmp_path / "out" / "config.xml").read_text("utf-8"))
    interface.validate()
    assert interface.get_control("verdict").labels == ["object", "distractor", "unsure"]
    asked = [(task["data"]["class"], task["data"]["cluster"]) for task in tasks]
    assert asked == KEYS
    for task in tasks:
        assert interface.validate_task(task)
        kind, encoded = task["data"]["picture"].split(",")
        assert kind == "data:image/webp;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
        # The tiles are in it: the images' blue, lit.
        assert len(set(picture.get_flattened_data())) > 50
    given = annotation("object", note="x")
    assert interface.validate_annotation(given)
    assert not interface.validate_annotation(annotation("maybe"))


def test_answers_come_back(run, tasks) -> None:
    given = [[annotation(verdict)] for verdict in VERDICTS]
    result = ingest(run, exported(tasks, *given), dry_run=True)
    assert (result.new, result.file, labels.history(run)) == (4, "", [])
    result = ingest(run, exported(tasks, *given))
    assert (result.answers, result.object, result.distractor, result.unsure) == (4, 2, 1, 1)
    assert labels.verdicts(run) == dict(zip(KEYS, VERDICTS, strict=True))
    rows = labels.answers(run).to_pylist()
    assert {(row["annotator"], row["seconds"]) for row in rows} == {("user 1", 2.5)}
    assert ingest(run, exported(tasks, *given)).file == ""  # all of them stand already


def test_several_people_times_notes_and_skipped_tasks(run, tasks) -> None:
    ada = {"id": 7, "email": "ada@example.org", "first_name": "Ada", "last_name": ""}
    content = exported(
        tasks,
        [annotation("object", ada, 1.25, '=its wheels, "both"'), annotation("distractor", 2)],
        [annotation("distractor", {"id": 9, "email": ""}, None)],
        [annotation("object", None), annotation("unsure", ada, was_cancelled=True)],
        [annotation("object", ada, 9e9)],  # a tab left open for centuries
    )
    ingest(run, content, annotator="who")
    rows = [tuple(row.values())[:6] for row in labels.answers(run).to_pylist()]
    assert rows == [
        ("cat", 1, "object", "ada@example.org", 1.25, '=its wheels, "both"'),
        ("cat", 1, "distractor", "user 2", 2.5, ""),
        ("cat", 2, "distractor", "user 9", None, ""),
        ("dog", 1, "object", "who", 2.5, ""),
        ("dog", 2, "object", "ada@example.org", None, ""),
    ]


def test_json_min_as_label_studio_writes_it(run, tasks, tmp_path) -> None:
    given = [[annotation(verdict, note="n\nm" * (verdict == "unsure"))] for verdict in VERDICTS]
    (tmp_path / "full.json").write_bytes(exported(tasks, *given))
    converter = Converter(studio_tasks.config(), str(tmp_path), download_resources=False)
    converter.convert_to_json_min(str(tmp_path / "full.json"), str(tmp_path / "min"), is_dir=False)
    ingest(run, (tmp_path / "min" / "result.json").read_bytes())
    assert labels.verdicts(run) == dict(zip(KEYS, VERDICTS, strict=True))
    rows = labels.answers(run).to_pylist()
    assert {(row["annotator"], row["seconds"]) for row in rows} == {("user 1", 2.5)}
    assert [row["note"] for row in rows] == ["", "", "n\nm", ""]


@pytest.mark.parametrize("own", [[], [annotation("unsure", was_cancelled=True)], None])
def test_a_task_without_an_answer(run, tasks, own) -> None:
    empty = annotation("object") | {"result": []}
    given = [[annotation("object")] for _ in range(3)]
    content = exported(tasks, *given, [empty] if own is None else own)
    error = refused(run, content)
    assert "task 103: no verdict on cluster 2 of 'dog'" in error.message
    assert "--answered-only" in error.remedy
    ingest(run, content, answered_only=True)
    assert ("dog", 2) not in labels.verdicts(run)
    ingest(run, content, allow_partial=True)
    assert labels.verdicts(run)["dog", 2] == "unsure"


def test_two_answers_of_one_person_that_differ(run, tasks) -> None:
    given = [[annotation("object")] for _ in range(4)]
    given[1].append(annotation("distractor"))
    error = refused(run, exported(tasks, *given))
    assert "'user 1' answers distractor on cluster 2 of 'cat', but object on task 101" in (
        error.message
    )


def test_answers_stand_while_the_regions_stand(world, run, tasks) -> None:
    renumber(world, "cat", {1: 2, 2: 1})
    given = [[annotation(verdict)] for verdict in VERDICTS]
    ingest(run, exported(tasks, *given))
    expected = {("cat", 2): "object", ("cat", 1): "distractor"}
    assert {key: labels.verdicts(run)[key] for key in expected} == expected
    split(world, "dog", 1, 3)
    error = refused(run, exported(tasks, *given))
    assert "task 102: stale: cluster 1 of 'dog' is " in error.message


def test_names_of_any_kind_and_groups(make_world, two_clusters, tmp_path) -> None:
    groups = {(name, 1): 1 for name in (NASTY, "dog")}
    world = make_world({NASTY: two_clusters(), "dog": two_clusters()}, groups=groups)
    run = world.run()
    tasks = project(run, tmp_path / "out")
    asked = [(task["data"]["class"], task["data"]["cluster"]) for task in tasks]
    assert set(asked) == {(SHARED, 1), (NASTY, 2), ("dog", 2)}
    ingest(run, exported(tasks, *([annotation("object")] for _ in tasks)))
    assert set(labels.verdicts(run)) == {(NASTY, 1), (NASTY, 2), ("dog", 1), ("dog", 2)}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"images": [], "annotations": []}', "no list of tasks"),
        (b"[1]", "task 1 of the file is not"),
        (b'[{"data": {"image": "x.jpg"}, "annotations": []}]', "task 1 of the file is not"),
        (b'[{"data": {"class": "cat", "cluster": [], "membership": "x"}}]', "task 1 of the file"),
        (b'[{"class": "cat", "cluster": 1, "membership": 5}]', "task 1 of the file"),
        (b"[]", "no task about cluster 1 of 'cat'"),
    ],
)  # fmt: skip
def test_a_foreign_file_is_refused_in_a_line(run, content, said) -> None:
    error = refused(run, content)
    assert said in error.message
    assert error.remedy


def test_spoilt_annotations_are_refused(run, tasks) -> None:
    for spoilt in (
        {"result": [{"from_name": "verdict", "value": {}}]},
        {"result": [{"from_name": "verdict", "value": {"choices": [5]}}]},
        {"result": None},
        {"lead_time": "soon"},
    ):
        given = [[annotation("object")] for _ in range(4)]
        given[2][0] |= spoilt
        assert "task 3 of the file is not" in refused(run, exported(tasks, *given)).message
    given = [[annotation("object")] for _ in range(3)]
    error = refused(run, exported(tasks, *given, [annotation("perhaps")]))
    assert "task 103: verdict 'perhaps' is none of" in error.message


def test_the_command_writes_and_takes_it(run, tmp_path, cli) -> None:
    out = tmp_path / "project"
    done = cli("labels", "studio", out, "--run", run, "--tiles", 2, "--address", "local",
               "--cpus", 1, "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"questions": 4, "files": 1}
    tasks = json.loads((out / "tasks-00000.json").read_text())
    assert [(task["data"]["class"], task["data"]["cluster"]) for task in tasks] == KEYS
    (tmp_path / "answers.json").write_bytes(
        exported(tasks, *([annotation(verdict)] for verdict in VERDICTS))
    )
    done = cli("labels", "ingest", "answers.json", "--run", run, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert labels.verdicts(run) == dict(zip(KEYS, VERDICTS, strict=True))
    (tmp_path / "answers.json").write_bytes(b'{"foreign": 1}')
    done = cli("labels", "ingest", "answers.json", "--run", run, cwd=tmp_path)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert "raypipe labels studio" in done.stderr
