"""A byte-level BPE trained on a sample of the training documents, and text as token ids."""

import json
import re
from collections.abc import Iterable, Iterator

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"  # id 0; follows every document
SMALLEST_VOCAB = 257  # every byte and the end of text
BATCH = 256  # texts encoded at once


def train(texts: Iterable[str], vocab: int) -> Tokenizer:
    """Train a tokenizer of at most `vocab` tokens (fewer where the text has no more pairs to merge)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.encode_special_tokens = True  # "<|endoftext|>" inside a document is text like any other
    return tokenizer


def sample(texts: Iterable[str], vocab: int) -> Iterator[str]:
    """The first texts, as many as a vocabulary of this size is trained on."""
    room = max(5_000_000, 1000 * vocab)  # characters: a hundredfold more changes few merges and takes longer
    for text in texts:
        if room <= 0:
            return
        yield text
        room -= len(text)


def encode(tokenizer: Tokenizer, texts: list[str], end: int = 0) -> list[int]:
    """The token ids of the texts one after the other, an end of text after each."""
    ids: list[int] = []
    for own in each(tokenizer, texts, end):
        ids += own
    return ids


def each(tokenizer: Tokenizer, texts: list[str], end: int = 0) -> Iterator[list[int]]:
    """The token ids of each text, with the end of text."""
    for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
        yield [*encoding.ids, end]


def token_bytes(tokenizer: Tokenizer, vocab: int, end: int = 0) -> np.ndarray:
    """Bytes that each token stands for, [vocab]; 0 for the end of text, other special tokens and unused ids."""
    described = json.loads(tokenizer.to_str())
    byte_level = "ByteLevel" in json.dumps(described.get("decoder"))
    lengths = np.zeros(vocab, np.int32)
    for token, index in tokenizer.get_vocab().items():
        # in a byte-level vocabulary one character stands for one byte
        lengths[index] = len(token) if byte_level else _length(token)
    for added in described.get("added_tokens", []):
        if added.get("special"):
            lengths[added["id"]] = 0
    lengths[end] = 0
    return lengths


def _length(token: str) -> int:
    """Bytes of a token as vocabularies of SentencePiece's kind write it."""
    if re.fullmatch(r"<0x[0-9A-F]{2}>", token):
        return 1
    return len(token.replace("\u2581", " ").removeprefix("##").encode())
