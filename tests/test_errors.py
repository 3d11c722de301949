"""Errors cross borders between processes and stay what they are."""

from __future__ import annotations

import pickle

import pytest

from raypipe import errors
from raypipe.errors import RaypipeError, from_json

KINDS = [kind for kind in vars(errors).values()
         if isinstance(kind, type) and issubclass(kind, RaypipeError)]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_a_pickle_and_a_table(kind) -> None:
    error = kind('ä: what is\n"wrong"', "what to do")
    for found in (pickle.loads(pickle.dumps(error)), from_json(error.to_json())):
        assert type(found) is kind
        assert (found.message, found.remedy) == (error.message, error.remedy)
        assert str(found) == error.message


def test_every_kind_of_mistake_has_its_exit_code() -> None:
    assert {kind.exit_code for kind in KINDS} == {1, 2, 3, 4, 5, 6}
