"""Trials are identified by content, records survive a round trip, and anything else is refused by name."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from benchmark.recorded import record_from_json
from benchmark.spec import SCHEMA, Cost, Evaluation, Point, Record, Trial, canonical

HYPERPARAMETERS = {"peak_lr": 0.032, "weight_decay": 0.1, "batch_size": 8, "decay_kind": "cosine"}


def trial(**changes) -> Trial:
    base = Trial(
        optimizer="adamw",
        rule="adamw@1",
        scale="27k",
        chinchilla_ratio=1.0,
        tokens=532_480,
        steps=520,
        seq_len=128,
        vocab=512,
        hyperparameters=HYPERPARAMETERS,
        seed=0,
        use="tuning",
        corpus="gcide",
        corpus_hash="c0",
        tokenizer_hash="t0",
    )
    return dataclasses.replace(base, **changes)


def record() -> Record:
    cost = Cost(wall_seconds=1.5, state_bytes=10)
    return Record(trial=trial(), status="finished", val_loss=3.5, curve=(Point(10, 20, 0.5, 3.6),), cost=cost)


def test_id_does_not_depend_on_spelling_or_order():
    shuffled = dict(reversed(HYPERPARAMETERS.items()))
    respelled = {**shuffled, "batch_size": 8.0, "weight_decay": np.float64(0.1)}
    assert trial().trial_id == trial(hyperparameters=respelled, chinchilla_ratio=1).trial_id


CHANGES = {
    "optimizer": "lion",
    "rule": "adamw@2",
    "scale": "55k",
    "chinchilla_ratio": 2.0,
    "tokens": 1,
    "steps": 1,
    "seq_len": 64,
    "vocab": 1024,
    "hyperparameters": {**HYPERPARAMETERS, "peak_lr": 0.033},
    "seed": 1,
    "use": "report",
    "corpus": "apidocs",
    "corpus_hash": "c1",
    "tokenizer_hash": "t1",
    "evaluation": Evaluation(split="test"),
    "backend": "torch",
    "precision": "bfloat16",
    "experiment": 0,
    "eval_corpus": "apidocs",
    "eval_corpus_hash": "c1",
    "init_ratios": {"head": 0.5},
}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Trial)])
def test_id_depends_on_every_field(name):
    assert trial(**{name: CHANGES[name]}).trial_id != trial().trial_id


def test_fields_that_say_nothing_are_in_no_id_of_an_older_trial():
    assert trial(eval_corpus="").trial_id == "79536b5d9cc5caf3"
    assert "eval_corpus" not in record().to_json() and "domain_losses" not in record().to_json()


def test_losses_by_domain_round_trip():
    several = dataclasses.replace(record(), domain_losses={"code": 1.5, "web": 3.0})
    assert record_from_json(several.to_json()) == several


def test_record_round_trip():
    assert record_from_json(record().to_json()) == record()


def test_records_keep_the_word_that_their_ids_are_hashes_of():
    stored = json.loads(record().to_json())["trial"]
    assert stored["role"] == "tuning" and "use" not in stored
    assert trial().trial_id == hashlib.sha256(canonical(stored).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "not a record"),
        (lambda text: "", "not a record"),
        (lambda text: "[]", "not a record"),
        (lambda text: text.replace(f'"schema":{SCHEMA}', '"schema":99'), "schema 99"),
        (lambda text: text.replace('"steps":520', '"steps":521'), "it was edited"),
        (lambda text: json.dumps({**json.loads(text), "colour": "red"}), "colour"),
    ],
)
def test_damaged_record_is_refused_with_the_reason(damage, message):
    with pytest.raises(ValueError, match=message):
        record_from_json(damage(record().to_json()))
