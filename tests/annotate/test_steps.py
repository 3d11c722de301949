"""What the pipeline and the command line make of answers on groups."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from raypipe.annotate import labels
from raypipe.annotate.simulate import simulate
from raypipe.cli.app import app
from raypipe.config import Settings, SimulateConfig
from raypipe.errors import InputError
from raypipe.pipeline import Pipeline


@pytest.fixture
def answered(shared):
    """A run whose groups are answered, and cluster 2 of the cats otherwise."""
    shared.boxes = [("image0", "cat", 0.0, 0.0, 10.0, 60.0)]
    run = shared.run()
    labels.record(run, simulate(run, SimulateConfig()))
    membership = labels.clusters_of(run).memberships["cat", 2]
    line = f"class,cluster,verdict,membership\ncat,2,o,{membership}\n"
    labels.ingest(run, line.encode(), source="x", allow_partial=True)
    return run


def test_refinement_gets_verdicts_on_clusters_and_counts_questions(answered) -> None:
    pipeline = Pipeline(answered, Settings())
    verdicts = pipeline.verdicts()
    assert len(verdicts) == 6
    assert (verdicts["cat", 2], verdicts["dog", 2]) == ("object", "distractor")
    assert pipeline._asked() == {"questions": {"*": 2, "cat": 1}, "seconds": {}}


def test_without_answers_there_are_no_verdicts(shared) -> None:
    with pytest.raises(InputError, match="no labels yet"):
        Pipeline(shared.run(), Settings()).verdicts()


def test_status_counts_questions_and_shows_overrides(answered) -> None:
    result = CliRunner(env={"COLUMNS": "120"}).invoke(
        app, ["labels", "status", "--run", str(answered)]
    )
    assert result.exit_code == 0, result.output
    assert "2 of 2 questions answered" in result.output
    assert "overrides" in result.output
    printed = CliRunner().invoke(app, ["labels", "status", "--run", str(answered), "--json"])
    found = {item["name"]: item for item in json.loads(printed.stdout)["classes"]}
    assert (found["cat"]["overrides"], found["cat"]["questions"]) == (1, 0)
    assert (found["*"]["questions"], found["*"]["missing"]) == (2, [])


def test_status_without_groups_has_no_such_column(run) -> None:
    result = CliRunner().invoke(app, ["labels", "status", "--run", str(run)])
    assert "overrides" not in result.output
    assert "0 of 4 questions answered" in result.output
