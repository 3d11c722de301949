"""One answer in place of several annotators' on each question.

A merge only appends: it takes the annotators' answers back in the entry that gives the merged one,
so the merged answer is all that counts, until somebody answers again. Undoing that entry restores
them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.annotate import labels, votes
from raypipe.annotate.labels import Ingested
from raypipe.errors import LabelError
from raypipe.storage.run import Run
from raypipe.tables import LABELS

MERGED = "merged"
"""Name of the annotator that merged answers bear."""


def merge(run: Run, *, annotator: str | None = None, name: str = MERGED) -> Ingested:
    """Put one answer in place of all annotators' on each question, groups and overrides included.

    Args:
        run: The run.
        annotator: Whose answers are taken; questions without one are left as they are. By default
            the majority's is taken on every question, and a tie is unsure.
        name: Annotator that the merged answers bear.

    Returns:
        What was recorded; nothing if every question has one answer already, under that name.

    Raises:
        LabelError: If there is no answer, or none of that annotator.
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    answers = labels.answers(run)
    if annotator is not None:
        word = answers.filter(pc.equal(answers["annotator"], annotator))
        if not word.num_rows:
            known = ", ".join(sorted(pc.unique(answers["annotator"]).to_pylist())) or "nobody"
            raise LabelError(
                f"{run}: {annotator} answered none of the clusters", f"those who did: {known}"
            )
        answers = answers.filter(pa.array(_asked_of(answers, word)))
    elif answers.num_rows:
        word = answers
    else:
        raise LabelError(f"{run}: there is no answer to merge", "ingest answers first")
    memberships = labels.clusters_of(run).memberships
    merged = [
        {"class": key[0], "cluster": key[1], "verdict": verdict, "annotator": name, "note": "",
         "membership": memberships[key]}
        for key, verdict in votes.majorities(word).items()
    ]  # fmt: skip
    others = answers.filter(pc.not_equal(answers["annotator"], name))
    rows = pa.concat_tables([votes.withdrawn(others), LABELS.build(merged)])
    return labels.record(run, rows, kind="merge")


def _asked_of(answers: pa.Table, word: pa.Table) -> votes.Bools:
    """Say of each answer whether it is on a question that the word is on."""
    code = votes.codes(pa.concat_tables([word, answers]), ("class", "cluster"))
    return np.isin(code[word.num_rows :], code[: word.num_rows])
