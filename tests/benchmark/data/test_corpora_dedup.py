"""Which paragraphs count as repeated."""

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data import dedup
from benchmark.data.dedup import new_paragraphs


def naive(paragraphs: list[str]) -> list[bool]:
    """The rule, word for word: at least half of a paragraph's grams stand in no earlier paragraph, nor earlier
    in it; an exact repeat goes."""
    seen: set[tuple[str, ...]] = set()
    earlier: set[str] = set()
    kept = []
    for paragraph in paragraphs:
        words = re.findall(r"\w+", paragraph.lower()) or [paragraph]
        grams = [tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))]
        new = 0
        for gram in grams:
            new += gram not in seen
            seen.add(gram)
        kept.append(paragraph not in earlier and new >= len(grams) / 2)
        earlier.add(paragraph)
    return kept


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from("ab"), max_size=12).map(" ".join), max_size=12))
def test_agrees_with_the_rule_word_for_word(paragraphs: list[str]) -> None:
    assert new_paragraphs(paragraphs).tolist() == naive(paragraphs)


@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
def test_chunks_do_not_matter(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    paragraphs = [" ".join(draw.choices("abc", k=draw.randint(1, 15))) for _ in range(300)]
    monkeypatch.setattr(dedup, "_CHUNK", chunk)
    kept = new_paragraphs(paragraphs)
    assert kept.tolist() == naive(paragraphs)
    assert 0 < kept.sum() < 300


def test_half_new_stays_and_less_goes() -> None:
    first = "a b c d e f g h"  # 4 grams
    half = "a b c d e f 1 2"  # 2 known, 2 new
    less = "a b c d e f g 3"  # 3 known, 1 new
    assert new_paragraphs([first, half]).tolist() == [True, True]
    assert new_paragraphs([first, less]).tolist() == [True, False]


def test_case_and_punctuation_do_not_make_a_paragraph_new() -> None:
    assert new_paragraphs(["One, two three four five six.", "one two THREE: four five six"]).tolist() == [
        True,
        False,
    ]


def test_short_and_wordless_paragraphs() -> None:
    paragraphs = ["one two", "one", "one two", "* * *", "---", "* * *", "one two three"]
    assert new_paragraphs(paragraphs).tolist() == [True, True, False, True, True, False, True]


def test_nothing() -> None:
    assert new_paragraphs([]).shape == (0,)
    assert new_paragraphs([]).dtype == np.bool_
