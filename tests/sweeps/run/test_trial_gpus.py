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


@pytest.mark.parametrize(
    ("nodes", "count", "parts", "at_once"),
    [
        ([8], 8, 1, 1),
        ([2, 4], 4, 1, 1),
        ([8, 8], 2, 1, 8),
        ([8, 8], 16, 2, 1),
        ([8, 4, 8, 2], 16, 2, 1),
        ([8, 8, 8, 8, 8], 16, 2, 2),
        ([4, 4, 4], 6, 2, 1),  # three of two nodes, not two of all three
        ([1, 1, 1, 1], 4, 4, 1),
        ([16, 8], 16, 1, 1),
    ],
)
def test_ray_is_asked_for_them_on_as_few_nodes_as_have_equal_parts(monkeypatch, nodes, count, parts, at_once):
    has_nodes(monkeypatch, nodes)
    slot = ray_tune._slot(1, count)
    assert slot == {"cpu": 1, "gpu": count // parts}
    assert ray_tune._count(slot, parts) == at_once
    if parts > 1:
        asked = ray_tune._on_nodes(parts, slot)
        assert asked.strategy == "STRICT_SPREAD" and asked.head_bundle_is_empty
        assert asked.bundles == [{"CPU": 1.0, "GPU": count / parts}] * parts


@pytest.mark.parametrize(
    ("nodes", "count", "remedy"),
    [
        ([8, 8], 17, "give 16"),
        ([8, 8], 9, "give 16"),
        ([2, 4], 5, "give 4"),
        ([8, 4, 2], 14, "give 8"),
        ([1], 2, "leave it out"),
        ([0, 0], 2, "leave it out"),
        ([], 2, "leave it out"),
    ],
)
def test_what_the_nodes_cannot_give_is_one_line_whose_remedy_works(monkeypatch, nodes, count, remedy):
    has_nodes(monkeypatch, nodes)
    with pytest.raises(ValueError, match=remedy) as refused:
        ray_tune._slot(1, count)
    assert "\n" not in str(refused.value)
    if remedy.startswith("give"):
        assert ray_tune._slot(1, int(remedy.split()[1]))


def has_nodes(monkeypatch, nodes):
    alive = [{"Alive": True, "Resources": {"CPU": 64.0, "GPU": float(gpus)}} for gpus in nodes]
    monkeypatch.setattr(ray_tune.ray, "nodes", lambda: [*alive, {"Alive": False, "Resources": {"GPU": 16.0}}])
    monkeypatch.setattr(ray_tune.ray, "cluster_resources", lambda: {"CPU": 64.0, "GPU": float(sum(nodes))})


def test_as_many_trials_at_once_as_have_their_gpus_and_each_is_faster():
    assert [trial_gpus.slots(8, 1, count) for count in (1, 2, 3, 8)] == [8, 4, 2, 1]
    sped = trial_gpus.sped(Speed({"130m": 1e14}, "stated"), 8)
    assert sped.by_scale == {"130m": 8e14} and "times 8" in sped.basis
