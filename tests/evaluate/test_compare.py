"""Two runs side by side."""

import json

import pytest

from raypipe.errors import InputError
from raypipe.evaluate.compare import compare, open_side, render, same_set
from raypipe.evaluate.shown import METRICS_SHOWN
from raypipe.storage.parts import Parts
from raypipe.storage.run import Plan, Run
from raypipe.tables import METRICS
from tests.evaluate.reports import report
from tests.evaluate.test_report import row


def evaluated(folder, rows, *, target_set="val", **settings):
    """Write a run of which only the evaluation is there."""
    run = Run.at(str(folder))
    plan = Plan(f"evaluate/{target_set}", settings, {})
    Parts(run, plan, METRICS.name).place("s").write_table(METRICS.build(rows))
    numbers = report(2) | {"set": target_set, "questions": len(rows)}
    numbers["rules"] = dict.fromkeys({row["rule"] for row in rows})
    numbers["settings"]["evaluate"] |= settings
    place = run.step(plan.step) / "report.json"
    place.write_bytes(json.dumps(numbers).encode())
    run.finish(plan, {}, {})
    return run


def side(images, name, rule, ious):
    return [row(image, name, rule, iou, iou) for image, iou in zip(images, ious, strict=True)]


@pytest.fixture
def runs(tmp_path):
    """A finds half of the boats, B finds three of four; each has one image more."""
    a = side("abcdx", "boat", "classify", [0.75, 0.75, 0.25, 0.25, 0.75])
    b = side("abcdy", "boat", "classify", [0.75, 0.75, 0.75, 0.25, 0.25])
    dogs = side("abcd", "dog", "classify", [0.75] * 4)
    plain = side("abcd", "boat", "plain", [0.25] * 4)
    return (
        evaluated(tmp_path / "a", a + dogs + plain),
        evaluated(tmp_path / "b", b + dogs, box_iou=0.5, gamma=0.7),
    )


def compared(runs):
    return compare(*(open_side(run, None, None) for run in runs))


def test_only_pairs_that_both_have_count(runs):
    found = compared(runs)
    assert (found["pairs"], found["a"]["only"], found["b"]["only"]) == (8, 1, 1)
    boat = found["per_class"]["boat"]
    assert boat["images"] == 4
    assert (boat["corloc"]["a"], boat["corloc"]["b"]) == (0.5, 0.75)
    assert found["metrics"]["corloc"]["difference"] == 0.125  # the dogs are the same
    assert found["metrics"]["max_box_acc"]["difference"] == 0.125  # pooled: 6 of 8, 7 of 8
    assert found["per_class"]["dog"]["corloc"]["interval"] == (0.0, 0.0)
    assert found["per_class"]["dog"]["corloc"]["p"] == 1.0


def test_what_differs_is_named(runs):
    assert compared(runs)["settings"] == [{"name": "evaluate.gamma", "a": "–", "b": "0.7"}]


def test_a_rule_is_chosen_on_either_side(runs):
    a = open_side(runs[0], "val", "plain")
    found = compare(a, open_side(runs[0], "val", None))
    assert found["per_class"]["boat"]["corloc"]["a"] == 0.0
    assert (found["pairs"], found["b"]["only"]) == (4, 5)
    with pytest.raises(InputError, match="no rule filter") as error:
        open_side(runs[0], "val", "filter")
    assert error.value.remedy == "it has classify, plain"


def test_truth_that_one_side_lacks_judges_neither(tmp_path):
    runs = [
        evaluated(tmp_path / name, [*side("ab", "boat", "classify", [0.75, 0.25]), last])
        for name, last in (("a", row("c", "boat", "classify", 0.75)),
                           ("b", row("c", "boat", "classify", 0.75, 0.75)))
    ]  # fmt: skip
    assert compared(runs)["metrics"]["iou"]["b"] == 0.5


def test_the_command(runs, cli, tmp_path):
    shown = cli("compare", *runs, "--html", "cmp.html", cwd=tmp_path)
    assert shown.returncode == 0
    assert "1 pairs in A alone, 1 in B alone" in shown.stdout
    assert "evaluate.gamma: A –, B 0.7" in shown.stdout
    assert "+0.125" in (tmp_path / "cmp.html").read_text()
    printed = json.loads(cli("compare", *runs, "--json", cwd=tmp_path).stdout)
    assert printed == json.loads(json.dumps(compared(runs)))
    assert set(printed["metrics"]) <= set(METRICS_SHOWN)


def test_the_page_escapes_names(runs):
    found = compared(runs)
    found["per_class"]["boat"]["title"] = "<script>"
    assert "<script>" not in render(found)


def test_no_run_no_evaluation_another_set(runs, tmp_path, cli):
    evaluated(tmp_path / "c", side("ab", "boat", "classify", [1, 1]), target_set="test")
    evaluated(tmp_path / "d", side("pq", "boat", "classify", [1, 1]))
    (tmp_path / "empty").mkdir()
    for other, line, remedy in (
        ("nowhere", "nowhere: there is no such run", "name two run directories"),
        ("empty", "empty: not evaluated", "raypipe evaluate --run"),
        ("c", "is evaluated on val", "name a set that both have with --set"),
        ("d", "no image and class in common", "the same dataset and split"),
    ):
        failed = cli("compare", "a", other, cwd=tmp_path)
        assert failed.returncode == 4
        assert line in failed.stderr.replace("\n", " ")
        assert remedy in failed.stderr
        assert "Traceback" not in failed.stderr


def test_same_set_passes(runs):
    same_set(*(open_side(run, None, None) for run in runs))


def test_several_sets_ask_for_one(runs):
    evaluated(runs[0].root, side("ab", "boat", "classify", [1, 1]), target_set="test")
    with pytest.raises(InputError, match="evaluated on test, val"):
        open_side(runs[0], None, None)
