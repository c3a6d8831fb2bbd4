"""Planning within hours: the most that fits, the same for all, and remembered."""

import dataclasses
import json

import pytest

import sweeps
from sweeps.run import time_limit
from sweeps.run.calibrate import Speed
from sweeps.run.driver import Driver
from sweeps.run.price import price
from sweeps.search.contestants import contestants
from sweeps.search.sweep import Sweep, stage

SPEED = Speed({"27k": 4e10, "55k": 4e10, "100k": 4e10, "220k": 4e10}, "stated")


@pytest.fixture(scope="module")
def micro() -> Sweep:
    return dataclasses.replace(sweeps.get("micro"), contestants=contestants(("adamw", "lion", "muon")))


def hours(sweep: Sweep, workers: int = 2, speed: Speed = SPEED) -> float:
    """What the dry run says that all of a sweep takes, with the report seeds of its last look."""
    sweep = dataclasses.replace(
        sweep, protocol=dataclasses.replace(sweep.protocol, looks=sweep.protocol.looks[-1:])
    )
    return sum(line.worker_seconds for line in price(sweep, {}, speed)) / workers / 3600


@pytest.fixture(scope="module")
def enough(micro) -> float:
    """Hours that pay for some of the tuning."""
    return 0.93 * hours(micro)


def test_the_largest_number_of_trials_that_fits_is_chosen(micro, enough, tmp_path):
    fitted, line = time_limit.within(micro, enough, 2, lambda: SPEED, tmp_path)
    trials = fitted.protocol.max_trials
    assert trials is not None and time_limit.LEAST < trials < 40
    assert hours(fitted) <= enough < hours(time_limit.capped(micro, enough, trials + 1))
    assert [s.budget for s in fitted.stages] == [min(s.budget, trials) for s in micro.stages]
    assert f"at most {trials} tuning trials" in line
    assert fitted.name == f"micro-{enough:g}h"


def test_what_fits_anyway_is_not_cut_and_not_enlarged(micro, tmp_path):
    fitted, _ = time_limit.within(micro, 1e6, 2, lambda: SPEED, tmp_path)
    assert [s.budget for s in fitted.stages] == [s.budget for s in micro.stages]


def test_twice_the_workers_need_half_the_hours(micro, enough, tmp_path):
    one, _ = time_limit.within(micro, enough, 2, lambda: SPEED, tmp_path)
    two, _ = time_limit.within(micro, enough / 2, 4, lambda: SPEED, tmp_path)
    assert one.protocol.max_trials == two.protocol.max_trials


def test_a_resumed_sweep_plans_as_it_did_whatever_is_timed_now(micro, enough, tmp_path):
    first, _ = time_limit.within(micro, enough, 2, lambda: SPEED, tmp_path)
    driver = Driver(first, tmp_path)
    driver.write_manifest()
    driver.close()
    faster = Speed({name: 1.5 * rate for name, rate in SPEED.by_scale.items()}, "another day")
    again, line = time_limit.within(micro, enough, 2, lambda: faster, tmp_path)
    assert again == first and "as when it was started" in line
    afresh, _ = time_limit.within(micro, enough, 2, lambda: faster, tmp_path / "elsewhere")
    assert afresh.protocol.max_trials > first.protocol.max_trials  # or this test would show nothing
    fewer = dataclasses.replace(micro, contestants=micro.contestants[:2])
    assert time_limit.within(fewer, enough, 2, lambda: SPEED, tmp_path)[0].protocol.max_trials > trials_of(
        first
    )


def trials_of(sweep: Sweep) -> int:
    assert sweep.protocol.max_trials is not None
    return sweep.protocol.max_trials


def test_the_manifest_says_what_was_chosen(micro, enough, tmp_path):
    fitted, _ = time_limit.within(micro, enough, 2, lambda: SPEED, tmp_path)
    driver = Driver(fitted, tmp_path)
    driver.write_manifest()
    driver.close()
    manifest = json.loads((tmp_path / fitted.name / "sweep.json").read_text())
    assert manifest["name"] == fitted.name
    assert manifest["protocol"]["max_hours"] == enough
    assert manifest["protocol"]["max_trials"] == trials_of(fitted)
    assert max(task["budget"] for task in manifest["tasks"]) == trials_of(fitted)


def test_a_damaged_manifest_is_no_memory(micro, enough, tmp_path):
    fitted, _ = time_limit.within(micro, enough, 2, lambda: SPEED, tmp_path)
    (tmp_path / fitted.name).mkdir()
    for text in ("", "{}", '{"protocol": {"max_trials": "x"}}', "[]"):
        (tmp_path / fitted.name / "sweep.json").write_text(text)
        assert time_limit.within(micro, enough, 2, lambda: SPEED, tmp_path)[0] == fitted


def test_too_few_hours_are_one_line_that_says_what_to_do(micro, tmp_path):
    least = hours(time_limit.capped(micro, 1, time_limit.LEAST))
    with pytest.raises(ValueError) as caught:
        time_limit.within(micro, least * 0.99, 2, lambda: SPEED, tmp_path)
    message = str(caught.value)
    assert (
        f"even {time_limit.LEAST} tuning trials per optimizer and task need about {least:.2g} hours" in message
    )
    assert "--tasks (" in message and "--optimizers (" in message and "\n" not in message
    assert (
        time_limit.within(micro, least * 1.001, 2, lambda: SPEED, tmp_path)[0].protocol.max_trials
        == time_limit.LEAST
    )


def test_every_optimizer_gets_the_chosen_number(finish, valley, pair):
    stages = (stage("27k-1x", "I", 20), stage("27k-2x", "baseline", 8, start="winner", after=("27k-1x",)))
    done, _ = finish(time_limit.capped(Sweep("s", "", stages, contestants=pair), 1, 12), valley)
    spent = {name: sum(cell["spent"].values()) for name, cell in done.cells.items()}
    assert spent == {
        **{f"{name}/27k-1x{search}": 6 for name in ("adamw", "lion") for search in ("", "#1")},
        **{f"adamw/27k-2x{search}": 4 for search in ("", "#1")},
    }
