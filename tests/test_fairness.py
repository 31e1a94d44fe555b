"""Whose turn it is: fair between owners, by priority within one, never above a bound."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from studium.jobs.worker.choice import Bounds, Candidate, Load, choose

OWNERS = ("ana", "ben", "cleo", "dee")
LAUNCHERS = ("sandbox", "container")


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    return [
        Candidate(
            f"job-{number}",
            draw(st.sampled_from(OWNERS)),
            draw(st.sampled_from(LAUNCHERS)),
            draw(st.integers(-2, 2)),
            f"2025-09-01T00:00:{draw(st.integers(0, 59)):02}",
            draw(st.integers(0, 4)),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


counts = st.integers(0, 4)
loads = st.builds(
    Load,
    st.dictionaries(st.sampled_from(OWNERS), counts),
    st.dictionaries(st.sampled_from(LAUNCHERS), counts),
    st.dictionaries(st.sampled_from(OWNERS), st.floats(0, 100)),
)
bounds_of = st.builds(Bounds, counts, st.dictionaries(st.sampled_from(LAUNCHERS), counts))


def left_over(
    waiting: list[Candidate], chosen: Counter[str], load: Load, bounds: Bounds
) -> dict[str, int]:
    """Owners who could have used one more slot, and what runs for them now."""
    by_job = {one.job: one for one in waiting}
    owners, launchers = Counter(load.owners), Counter(load.launchers)
    for job, count in chosen.items():
        owners[by_job[job].owner] += count
        launchers[by_job[job].launcher] += count
    return {
        one.owner: owners[one.owner]
        for one in waiting
        if chosen[one.job] < one.room
        and (not bounds.owner or owners[one.owner] < bounds.owner)
        and (
            not bounds.launchers.get(one.launcher)
            or launchers[one.launcher] < bounds.launchers[one.launcher]
        )
    }


@given(candidates(), loads, bounds_of, st.integers(0, 20))
def test_bounds_hold_and_no_slot_stays_empty(
    waiting: list[Candidate], load: Load, bounds: Bounds, free: int
) -> None:
    chosen = Counter(choose(waiting, load, bounds, free))
    by_job = {one.job: one for one in waiting}
    assert chosen.total() <= free
    owners: Counter[str] = Counter()
    launchers: Counter[str] = Counter()
    for job, count in chosen.items():
        assert count <= by_job[job].room
        owners[by_job[job].owner] += count
        launchers[by_job[job].launcher] += count
    for owner, count in owners.items():
        assert not bounds.owner or count + load.owners.get(owner, 0) <= bounds.owner
    for launcher, count in launchers.items():
        bound = bounds.launchers.get(launcher)
        assert not bound or count + load.launchers.get(launcher, 0) <= bound
    if chosen.total() < free:
        assert not left_over(waiting, chosen, load, bounds)


@given(candidates(), loads, bounds_of, st.integers(0, 20))
def test_nobody_is_served_while_less_runs_for_another_who_waits(
    waiting: list[Candidate], load: Load, bounds: Bounds, free: int
) -> None:
    order = choose(waiting, load, bounds, free)
    by_job = {one.job: one for one in waiting}
    for number, job in enumerate(order):
        before = Counter(order[:number])
        behind = left_over(waiting, before, load, bounds)
        assert behind[by_job[job].owner] == min(behind.values())
    assert order == choose(list(reversed(waiting)), load, bounds, free), "order must not matter"


@given(candidates(), loads, st.integers(0, 20))
def test_within_an_owner_by_priority_then_by_time(
    waiting: list[Candidate], load: Load, free: int
) -> None:
    chosen = Counter(choose(waiting, load, Bounds(), free))
    for one in waiting:
        for other in waiting:
            if one.owner == other.owner and chosen[other.job]:
                earlier = (-one.priority, one.since, one.job) < (
                    -other.priority, other.since, other.job
                )  # fmt: skip
                assert not earlier or chosen[one.job] == one.room


@given(st.lists(st.tuples(st.sampled_from(OWNERS), st.integers(1, 6)), min_size=1, max_size=10))
def test_one_slot_goes_round(jobs: list[tuple[str, int]]) -> None:
    """With one slot, between two turns of an owner who waits no other has more than one."""
    room = {f"job-{number}": units for number, (_, units) in enumerate(jobs)}
    served: dict[str, float] = {}
    turns: list[str] = []
    while any(room.values()):
        waiting = [
            Candidate(f"job-{n}", owner, "sandbox", 0, f"{n:02}", room[f"job-{n}"])
            for n, (owner, _) in enumerate(jobs)
        ]
        (job,) = choose(waiting, Load(served=served), Bounds(), 1)
        room[job] -= 1
        owner = jobs[int(job.removeprefix("job-"))][0]
        turns.append(owner)
        served[owner] = len(turns)
    total = Counter[str]()
    for owner, units in jobs:
        total[owner] += units
    assert Counter(turns) == total
    for owner in total:
        at = [number for number, turn in enumerate(turns) if turn == owner]
        for first, second in zip([-1, *at], at, strict=False):
            between = Counter(turns[first + 1 : second])
            assert all(count <= 1 for count in between.values())
