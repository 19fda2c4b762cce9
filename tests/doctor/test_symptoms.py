"""A sentence that someone would write leads to the faults behind it."""

import pytest

from transformer.doctor.symptoms import TESTS, suspects
from transformer.faults import FAULTS


@pytest.mark.parametrize("name", FAULTS)
def test_a_faults_own_symptoms_lead_to_it(name: str) -> None:
    for sentence in FAULTS[name].symptoms:
        found = [suspect.fault.name for suspect in suspects(sentence)]
        same = [other.name for other in FAULTS.values() if sentence in other.symptoms]
        assert name in found[: max(5, len(same))], (sentence, found)


def test_every_family_has_a_test_of_ten_seconds() -> None:
    assert {fault.family for fault in FAULTS.values()} <= TESTS.keys()


def test_words_that_describe_no_fault_lead_nowhere() -> None:
    assert not suspects("My cat sat on the keyboard")
