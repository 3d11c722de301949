"""Several annotators: how far they agree, and one answer in place of theirs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.annotate import labels
from raypipe.annotate.agreement import agreement, compare
from raypipe.annotate.merge import merge
from raypipe.errors import LabelError
from raypipe.storage.run import Run
from raypipe.tables import LABELS
from tests.annotate.answering import KEYS, add, files, give, withdraw


def table(*answers: tuple[int, str, str]):
    """Rows of question, annotator and verdict."""
    return LABELS.build([
        {"class": "c", "cluster": number, "annotator": who, "verdict": verdict, "note": "",
         "membership": str(number)}
        for number, who, verdict in answers
    ])  # fmt: skip


def test_kappa_of_cohens_definition() -> None:
    # 45 + 15 agreed of 100; the margins 0.6 * 0.7 + 0.4 * 0.3 agree by chance: (0.6 - 0.54) / 0.46
    counts = (("object", "object", 45), ("object", "distractor", 15),
              ("distractor", "object", 25), ("distractor", "distractor", 15))  # fmt: skip
    both = [(one, other) for one, other, count in counts for _ in range(count)]
    rows = [(n, who, verdict) for n, pair in enumerate(both)
            for who, verdict in zip("ab", pair, strict=True)]  # fmt: skip
    found = compare(table(*rows))
    (pair,) = found.pairs
    assert (pair.one, pair.other, pair.questions, pair.agreed) == ("a", "b", 100, 60)
    assert pair.kappa == pytest.approx((0.6 - 0.54) / 0.46)
    assert (found.questions, found.shared, len(found.disputes)) == (100, 100, 40)


def test_alpha_of_krippendorffs_definition() -> None:
    # Two coders, ten units, two values: alpha = 1 - (n - 1) o01 / (n0 n1), Krippendorff (2011),
    # "Computing Krippendorff's Alpha-Reliability", with 3 disagreements, 15 zeros and 5 ones.
    one, other = "0100000000", "1110010000"
    names = {"0": "object", "1": "distractor"}
    rows = [(n, who, names[cell]) for who, cells in (("a", one), ("b", other))
            for n, cell in enumerate(cells)]  # fmt: skip
    assert compare(table(*rows)).alpha == pytest.approx(1 - 19 * 3 / (15 * 5))


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [(1, "a", "object")],
        [(1, "a", "object"), (2, "b", "object")],
        [(1, "a", "object"), (1, "b", "object")],
        [(1, "a", "object"), (1, "b", "object"), (2, "a", "unsure")],
    ],
    ids=["nothing", "one", "no overlap", "one verdict", "one verdict where shared"],
)
def test_where_it_says_nothing_there_is_no_number(answers) -> None:
    found = compare(table(*answers))
    assert found.alpha is None
    assert [pair.kappa for pair in found.pairs] == [None] * len(found.pairs)
    assert found.disputes == ()


def test_disputes_name_the_sides_the_closest_first() -> None:
    same = [(3, "a", "object"), (3, "b", "object")]
    rows = [(1, "a", "object"), (1, "b", "object"), (1, "c", "distractor"),
            (2, "a", "unsure"), (2, "b", "object"), *same]  # fmt: skip
    first, second = compare(table(*rows)).disputes
    assert (first.cluster, first.answers) == (2, {"object": ["b"], "unsure": ["a"]})
    assert (second.cluster, second.answers) == (1, {"object": ["a", "b"], "distractor": ["c"]})


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from("abc"),
                          st.sampled_from(["object", "distractor", "unsure"])),
                unique_by=lambda row: row[:2]))  # fmt: skip
def test_measures_are_bounded_or_absent(rows) -> None:
    found = compare(table(*rows))
    assert sum(found.annotators.values()) == len(rows)
    for value in (found.alpha, *(pair.kappa for pair in found.pairs)):
        assert value is None or -1 <= value <= 1
    votes = {n: {verdict for number, _, verdict in rows if number == n} for n, _, _ in rows}
    assert len(found.disputes) == sum(len(own) > 1 for own in votes.values())


def test_withdrawn_answers_do_not_count(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    add(run, "d", "d", "u", "o", who="bob")
    assert len(agreement(run).disputes) == 1
    withdraw(run, KEYS[0], "bob")
    assert agreement(run).disputes == ()
    assert agreement(run).annotators == {"ann": 4, "bob": 3}


def three(run: Run) -> None:
    add(run, "o", "o", "o", "u", who="ann")
    add(run, "o", "d", "d", "u", who="bob")
    add(run, "d", "u", "d", "u", who="eve")


MERGED = dict(zip(KEYS, ("object", "unsure", "distractor", "unsure"), strict=True))


def test_the_majority_is_what_counts_after_a_merge(run: Run) -> None:
    three(run)
    done = merge(run)
    assert (done.object, done.distractor, done.unsure, done.withdrawn) == (1, 1, 2, 12)
    assert labels.verdicts(run) == MERGED
    assert set(labels.answers(run)["annotator"].to_pylist()) == {"merged"}
    assert labels.status(run).answered == 4
    before = files(run)
    assert merge(run).file == ""
    assert files(run) == before


def test_one_annotators_word_leaves_other_questions_alone(run: Run) -> None:
    three(run)
    withdraw(run, KEYS[3], "eve")
    merge(run, annotator="eve", name="head")
    assert labels.verdicts(run) == dict(
        zip(KEYS, ("distractor", "unsure", "distractor", "unsure"), strict=True)
    )
    rows = labels.answers(run).to_pylist()
    assert [row["annotator"] for row in rows] == ["head", "head", "head", "ann", "bob"]


def test_ones_own_name_may_be_that_of_the_merge(run: Run) -> None:
    three(run)
    merge(run, annotator="bob", name="bob")
    assert set(labels.answers(run)["annotator"].to_pylist()) == {"bob"}
    assert labels.verdicts(run)["cat", 2] == "distractor"


def test_answers_after_a_merge_stand_beside_it(run: Run) -> None:
    three(run)
    merge(run)
    give(run, {KEYS[0]: "d"}, "ann", partial=True)
    assert labels.verdicts(run)[KEYS[0]] == "unsure"
    merge(run, annotator="ann")
    assert labels.verdicts(run)[KEYS[0]] == "distractor"
    assert labels.verdicts(run)[KEYS[2]] == "distractor"


def test_groups_and_overrides_are_merged_alike(shared) -> None:
    run = shared.run()
    give(run, {("*", 1): "o", ("*", 2): "d", ("cat", 2): "o"}, "ann")
    give(run, {("*", 1): "o", ("*", 2): "d", ("cat", 2): "o"}, "bob")
    before = labels.verdicts(run)
    assert merge(run).answers == 3 + 6
    assert labels.verdicts(run) == before


def test_there_must_be_something_to_merge(run: Run) -> None:
    with pytest.raises(LabelError, match="no answer to merge"):
        merge(run)
    three(run)
    with pytest.raises(LabelError, match="zoe answered none") as caught:
        merge(run, annotator="zoe")
    assert caught.value.remedy == "those who did: ann, bob, eve"
