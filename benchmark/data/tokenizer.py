"""A tokenizer that somebody else has made, from its tokenizer.json: data, of which nothing is executed."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from benchmark import files, scales

LARGEST = 256 * 2**20  # bytes of a tokenizer.json; those of 256,000 tokens have 20 to 40 million
# what ends a text, by the names that it goes by
ENDS = ("<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "</s>", "<eos>", "<|eos|>", "[EOS]", "[SEP]")


def read(path: str | Path, vocab: int) -> Tokenizer:
    """The tokenizer of a file, without padding, truncation and text that counts as a special token.

    Raises ValueError where it cannot be read, has no end of text, or has more ids than the vocabulary.
    """
    path = Path(path)
    shown = files.name(path)
    try:
        text = files.content(path, LARGEST).decode()
    except UnicodeDecodeError:
        raise ValueError(f"--tokenizer {shown}: not UTF-8; it must be a tokenizer.json") from None
    except ValueError as error:
        raise ValueError(f"--tokenizer {shown}: {error}") from None
    try:
        json.loads(text)
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises Exception itself
        lines = str(error).splitlines() or [type(error).__name__]
        raise ValueError(
            f"--tokenizer {shown}: no tokenizer.json of the library tokenizers ({lines[0]})"
        ) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    fits(max(tokenizer.get_vocab().values(), default=-1), vocab, f"--tokenizer {shown}")
    end_of_text(tokenizer, f"--tokenizer {shown}")
    return tokenizer


def end_of_text(tokenizer: Tokenizer, what: str = "the tokenizer") -> int:
    """The id that follows every document. Raises ValueError where the tokenizer has none of ENDS."""
    known = tokenizer.get_vocab()
    found = next((known[name] for name in ENDS if name in known), None)
    if found is None:
        raise ValueError(f"{what}: it has no token that ends a text; add one of {', '.join(ENDS[:6])}")
    return found


def fits(largest: int, vocab: int, what: str) -> None:
    """Raises ValueError where an id is none of the vocabulary's."""
    if largest < vocab:
        return
    wide = [scale.name for scale in scales.SCALES.values() if scale.vocab > largest]
    remedy = f"choose tasks at {', '.join(wide)}, or another tokenizer" if wide else "choose another tokenizer"
    raise ValueError(
        f"{what}: it has the token id {largest:,}, but the scale's vocabulary is {vocab:,}; {remedy}"
    )
