"""What answers amount to, on rows made by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raypipe.annotate.csvfile import Clusters
from raypipe.annotate.votes import current, majorities, resolved
from raypipe.tables import LABELS

VERDICTS = st.sampled_from(["object", "distractor", "unsure"])
SHARED_KEYS = [("*", 1), ("*", 2), ("cat", 1), ("cat", 2), ("dog", 1), ("dog", 2)]
VOTES = st.dictionaries(st.tuples(st.sampled_from(SHARED_KEYS), st.sampled_from("ab")), VERDICTS)


@given(VOTES)
def test_verdicts_are_those_of_the_cluster_or_of_its_group(votes) -> None:
    memberships = {key: f"{key[0]}{key[1]}" for key in SHARED_KEYS}
    groups = {key: key[1] for key in SHARED_KEYS if key[0] != "*"}
    clusters = Clusters(memberships, groups)
    log = [{"class": key[0], "cluster": key[1], "annotator": who, "verdict": verdict,
            "membership": memberships[key]} for (key, who), verdict in votes.items()]  # fmt: skip

    def majority(key: tuple[str, int]) -> str | None:
        given = [verdict for (own, _), verdict in votes.items() if own == key]
        return None if not given else given[0] if len(set(given)) == 1 else "unsure"

    expected = {key: majority(key) or majority(("*", key[1])) for key in groups}
    found = resolved(clusters, majorities(current(clusters, LABELS.build(log))))
    assert found == {key: verdict for key, verdict in expected.items() if verdict}
