"""Who is there: all wait for the slowest to start, and for one that replaces a killed one, but not for ever."""

from sweeps.run import barrier as barrier_module
from sweeps.run.barrier import Barrier


def test_nobody_begins_before_all_are_there():
    barrier = Barrier(2)
    assert not barrier.arrive("a", "t1") and not barrier.arrive("a", "t1")
    assert barrier.arrive("b", "t2") and barrier.arrive("a", "t1")


def test_a_killed_worker_s_replacement_is_waited_for():
    barrier = Barrier(2)
    barrier.arrive("a", "t1")
    barrier.arrive("b", "t2")
    barrier.lost("t2")
    assert not barrier.arrive("a", "t3")
    assert barrier.arrive("c", "t4") and barrier.arrive("a", "t3")


def test_one_killed_before_it_was_there_is_not_counted_twice():
    barrier = Barrier(2)
    barrier.arrive("a", "t1")
    barrier.lost("t2")
    assert barrier.arrive("b", "t3") and barrier.arrive("a", "t1")


def test_one_that_does_not_come_is_given_up():
    barrier = Barrier(3)
    barrier.arrive("a", "t1")
    barrier.arrive("b", "t2")
    barrier.settle()
    assert barrier.arrive("a", "t1")
    barrier.lost("t1")
    assert not barrier.arrive("b", "t3") and barrier.arrive("c", "t4")


def test_workers_that_ask_are_told_to_end_and_are_gone_when_they_ask_no_more(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(barrier_module.time, "monotonic", lambda: now[0])
    barrier = Barrier(2)
    assert not barrier.hear("a") and not barrier.hear("b") and barrier.there() == 2
    barrier.stop()
    assert barrier.hear("a")
    now[0] += barrier_module.SILENT_SECONDS
    assert barrier.there() == 0
    barrier.hear("b")  # as long as it saves
    assert barrier.there() == 1
