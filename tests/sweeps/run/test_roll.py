"""Who is there: all wait for the slowest to start, and for one that replaces a killed one, but not for ever."""

from sweeps.run.roll import Roll


def test_nobody_begins_before_all_are_there():
    roll = Roll(2)
    assert not roll.report("a", "t1") and not roll.report("a", "t1")
    assert roll.report("b", "t2") and roll.report("a", "t1")


def test_a_killed_worker_s_replacement_is_waited_for():
    roll = Roll(2)
    roll.report("a", "t1")
    roll.report("b", "t2")
    roll.lost("t2")
    assert not roll.report("a", "t3")
    assert roll.report("c", "t4") and roll.report("a", "t3")


def test_one_killed_before_it_was_there_is_not_counted_twice():
    roll = Roll(2)
    roll.report("a", "t1")
    roll.lost("t2")
    assert roll.report("b", "t3") and roll.report("a", "t1")


def test_one_that_does_not_come_is_given_up():
    roll = Roll(3)
    roll.report("a", "t1")
    roll.report("b", "t2")
    roll.settle()
    assert roll.report("a", "t1")
    roll.lost("t1")
    assert not roll.report("b", "t3") and roll.report("c", "t4")
