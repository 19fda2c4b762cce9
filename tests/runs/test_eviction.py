"""Which files are deleted from a full folder: never the last file of another owner."""

from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from transformer.runs.eviction import StoredEntry, paths_to_delete


def held(*entries: tuple[str, str]) -> list[StoredEntry]:
    """Entries of 10 bytes from names and owners (joined by +), the oldest first."""
    return [
        StoredEntry(Path(name), tuple(filter(None, owners.split("+"))), 10, float(age))
        for age, (name, owners) in enumerate(entries)
    ]


def gone(found: list[Path] | None) -> list[str] | None:
    return None if found is None else [path.name for path in found]


def test_ones_own_oldest_go_first() -> None:
    shelf = held(("a", "you"), ("b", "me"), ("c", "me"), ("d", "you"))
    assert gone(paths_to_delete(shelf, "me", most=4, incoming_bytes=1)) == ["b"]
    assert gone(paths_to_delete(shelf, "me", most=3, incoming_bytes=1)) == ["b", "c"]


def test_then_the_oldest_of_the_one_who_holds_most() -> None:
    shelf = held(("a", "ann"), ("b", "bob"), ("c", "bob"), ("d", "bob"))
    assert gone(paths_to_delete(shelf, "me", most=4, incoming_bytes=1)) == ["b"]
    assert gone(paths_to_delete(shelf, "me", most_bytes=25, incoming_bytes=10)) is None
    assert gone(paths_to_delete(shelf, "me", most_bytes=35, incoming_bytes=10)) == ["b", "c"]


def test_never_the_last_of_somebody_else() -> None:
    shelf = held(("a", "ann"), ("b", "bob"), ("c", ""))
    assert paths_to_delete(shelf, "me", most=3, incoming_bytes=1) is None
    assert gone(paths_to_delete(shelf, "ann", most=3, incoming_bytes=1)) == ["a"]
    # A file with two owners counts for both.
    assert (
        paths_to_delete(held(("a", "ann+bob"), ("b", "cleo")), "me", most=2, incoming_bytes=1)
        is None
    )
    assert gone(
        paths_to_delete(held(("a", "bob"), ("b", "ann+bob")), "me", most=2, incoming_bytes=1)
    ) == ["a"]


def test_what_was_just_brought_stays() -> None:
    assert gone(paths_to_delete(held(("a", "me"), ("b", "me")), "me", most=1)) == ["a"]
    assert gone(paths_to_delete(held(("a", "me")), "me", most_bytes=1)) == []


@given(
    st.lists(st.sampled_from(["ann", "bob", "cleo"]), min_size=1, max_size=8),
    st.integers(1, 60),
    st.integers(2, 10),
)
def test_one_visitor_never_empties_the_shelf_of_another(
    others: list[str], brought: int, most: int
) -> None:
    """Every other owner keeps its newest file, whatever one owner uploads."""
    shelf = held(*((f"{place} {name}", name) for place, name in enumerate(others)))
    for number in range(brought):
        way = paths_to_delete(shelf, "attacker", most=max(most, len(set(others))), incoming_bytes=1)
        if way is None:
            continue
        shelf = [one for one in shelf if one.path not in way]
        shelf.append(StoredEntry(Path(f"new {number}"), ("attacker",), 10, 100.0 + number))
        assert {name for one in shelf for name in one.owners} >= set(others)
    newest = {
        name: max(place for place, one in enumerate(others) if one == name) for name in others
    }
    for name, place in newest.items():
        assert Path(f"{place} {name}") in [one.path for one in shelf]


def test_a_thousand_of_one_leave_the_only_one_of_another() -> None:
    draw = Random(3)
    shelf = held(("precious", "student"))
    for number in range(1000):
        owner = draw.choice(["a", "b", "c"])
        way = paths_to_delete(shelf, owner, most=50, incoming_bytes=1)
        assert way is not None
        shelf = [one for one in shelf if one.path not in way]
        shelf.append(StoredEntry(Path(str(number)), (owner,), 10, 10.0 + number))
        assert len(shelf) <= 50
    assert shelf[0].path == Path("precious")
