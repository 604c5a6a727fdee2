"""Each line of the list of triggers is covered by a test."""

from pathlib import Path

import pytest

from tests.mutations import survivors


@pytest.mark.long
def test_every_mutation_is_noticed(migrated: Path) -> None:
    number, survived = survivors(migrated)

    assert number > 100
    assert survived == []
