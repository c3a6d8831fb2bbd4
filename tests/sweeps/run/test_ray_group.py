"""A trial on several nodes: what members say, and what becomes of it. Real nodes are in test_cluster.py."""

from typing import Any

import pytest
from ray.exceptions import RayActorError

from sweeps.run import ray_group
from sweeps.run.ray_group import WAITING, Group
from sweeps.run.worker import Job

JOB = Job((), {}, "", "folder", "mark", 0.0, devices=8)
WELL = [("", None), ("", None)]


class Told(Group):
    """A group whose members say what a test has written down."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(nodes=2, gpus=4)
        self.answers, self.asked = {"join": WELL, "prepare": WELL, **answers}, []
        self.ended = False

    def _start(self) -> str:
        self.members = [object(), object()]
        return "127.0.0.1:1"

    def _ask(self, method: str, words: list[tuple]) -> list[ray_group.Answer]:
        self.asked.append((method, words))
        if isinstance(answers := self.answers[method], Exception):
            raise answers
        return answers

    def end(self) -> None:
        self.ended, self.members = True, []


@pytest.mark.parametrize(
    ("answers", "found", "ended"),
    [
        ({"train": [("", ["first"]), ("", ["second"])]}, {"records": ["first"]}, False),
        # its exception is the reason, the others wait for it in an exchange
        ({"train": [(WAITING, None), ("failed", ["why"])]}, {"records": ["why"]}, True),
        ({"train": [("failed", ["first"]), ("failed", ["second"])]}, {"records": ["first"]}, True),
        ({"train": [("", ["first"]), ("failed", ["late"])]}, {"records": ["first"]}, True),
        ({"train": [(WAITING, None), ("error", "no mine.py")]}, {"error": "no mine.py"}, True),
        # the death of one makes the others fail, which is no fault of the trial's
        ({"train": [("failed", ["why"]), ("died", None)]}, {"died": ray_group.DIED}, True),
        ({"train": [("died", None), (WAITING, None)]}, {"died": ray_group.DIED}, True),
        ({"train": [("died", None), ("error", "no disk")]}, {"error": "no disk"}, True),
        ({"prepare": [("", None), ("error", "no GPU")]}, {"error": "no GPU"}, True),
        ({"join": [(WAITING, None), ("error", "nobody came")]}, {"error": "nobody came"}, True),
        ({"join": RayActorError()}, {"died": ray_group.DIED}, True),
    ],
)
def test_what_members_say_is_one_answer_and_who_is_not_to_be_trusted_is_ended(
    monkeypatch, answers, found, ended
):
    saved = []
    monkeypatch.setattr(ray_group, "record_from_json", lambda text: text)
    monkeypatch.setattr(ray_group.worker, "keep", lambda job, records: saved.extend(records))
    group = Told(**answers)
    assert group.work(JOB) == found and group.ended == ended
    assert saved == found.get("records", []), "a member saves nothing: another may have died"
    assert all(job.nodes == 2 for method, words in group.asked if method != "join" for (job,) in words)


def test_members_join_once_and_again_after_one_has_died(monkeypatch):
    monkeypatch.setattr(ray_group, "record_from_json", lambda text: text)
    monkeypatch.setattr(ray_group.worker, "keep", lambda job, records: None)
    group = Told(train=[("", ["a"]), ("", ["a"])])
    group.work(JOB)
    group.work(JOB)
    assert [method for method, _ in group.asked] == ["join", "prepare", "train", "prepare", "train"]
    assert group.asked[0][1] == [("127.0.0.1:1", 2, 0), ("127.0.0.1:1", 2, 1)]
    group.answers["train"] = RayActorError()
    group.work(JOB)
    group.answers["train"] = [("", ["a"]), ("", ["a"])]
    assert group.work(JOB) == {"records": ["a"]} and group.asked[-3][0] == "join"
