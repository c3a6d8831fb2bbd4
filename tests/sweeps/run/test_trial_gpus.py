"""Several GPUs for one trial: what is refused and in what words, what Ray is asked for, and the price."""

import pytest

from benchmark import resources
from sweeps.run import ray_tune, trial_gpus
from sweeps.run.calibrate import Speed
from sweeps.run.options import parser


@pytest.mark.parametrize(
    ("words", "gpus", "said"),
    [
        ("--gpus-per-trial 2", 0, "--gpus-per-trial 2, but this machine has no GPU; leave it out"),
        ("--gpus-per-trial 2", 1, "--gpus-per-trial 2, but this machine has 1 GPU; leave it out"),
        ("--gpus-per-trial 8 --executor serial", 4, "but this machine has 4 GPUs; give at most 4"),
        (
            "--gpus-per-trial 2 --backend torch",
            8,
            "a torch trial takes one GPU; leave it out, or use --backend jax",
        ),
        ("--gpus-per-trial 2 --pack 4", 8, "--pack puts several trials on one GPU"),
        ("--gpus-per-trial 2 --slots-per-gpu 4", 8, "--slots-per-gpu puts several trials on one GPU"),
        ("--gpus-per-trial 8", 8, ""),
        ("--gpus-per-trial 8 --dry-run", 0, ""),  # a price may be another machine's
        ("--gpus-per-trial 1 --pack 4 --backend torch", 0, ""),
    ],
)
def test_a_trial_gets_the_gpus_that_there_are_or_one_line(monkeypatch, words, gpus, said):
    monkeypatch.setattr(resources, "gpus", lambda: gpus)
    args = parser().parse_args(["smoke", *words.split()])
    if not said:
        trial_gpus.check(args, cluster="")
        return
    with pytest.raises(ValueError, match=said) as refused:
        trial_gpus.check(args, cluster="")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("nodes", "count"), [([8], 8), ([2, 4], 4), ([8, 8], 2)])
def test_ray_is_asked_for_them_on_one_node(monkeypatch, nodes, count):
    alive = [{"Alive": True, "Resources": {"GPU": float(gpus)}} for gpus in nodes]
    monkeypatch.setattr(ray_tune.ray, "nodes", lambda: [*alive, {"Alive": False, "Resources": {"GPU": 16.0}}])
    monkeypatch.setattr(ray_tune.ray, "cluster_resources", lambda: {"CPU": 64.0, "GPU": float(sum(nodes))})
    assert ray_tune._slot(1, count) == {"cpu": 1, "gpu": count}
    with pytest.raises(ValueError, match=f"has {max(nodes)} GPUs; give at most {max(nodes)}"):
        ray_tune._slot(1, max(nodes) + 1)


def test_as_many_trials_at_once_as_have_their_gpus_and_each_is_faster():
    assert [trial_gpus.slots(8, 1, count) for count in (1, 2, 3, 8)] == [8, 4, 2, 1]
    sped = trial_gpus.sped(Speed({"130m": 1e14}, "stated"), 8)
    assert sped.by_scale == {"130m": 8e14} and "times 8" in sped.basis
