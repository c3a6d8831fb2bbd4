"""Folders as people have them: what is read, what is left out, and that it is said."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from benchmark import corpora as command
from benchmark.data.corpora import Corpus, kept, prepare
from benchmark.data.sources import find, local

STORY = "A story of nothing much."


def read(folder: Path) -> tuple[list[str], list[str]]:
    """The texts that are read of a folder, and its notes."""
    source = find(f"local:{folder}")
    return sorted(d.text for d in source.documents() if d.text), source.notes()


LEFT_OUT: list[tuple[str, bytes, str]] = [
    ("._a.txt", b"\0\5\x16\7 of a Mac", "hidden, or of a system"),
    (".hidden.txt", b"x", "hidden, or of a system"),
    (".ipynb_checkpoints/a-checkpoint.txt", b"x", "hidden, or of a system"),
    (".git/description.txt", b"x", "hidden, or of a system"),
    ("__MACOSX/._a.txt", b"x", "hidden, or of a system"),
    ("Thumbs.db", b"\0\1", "hidden, or of a system"),
    ("README.md", b"# The data", "describes the data"),
    ("LICENSE", b"x", "no suffix that says what it is"),
    ("page.pdf", b"%PDF \xff", "another kind of file"),
    ("archive.zip", b"PK\3\4", "another kind of file"),
    ("a.txt~", b"x", "another kind of file"),
    ("latin.txt", b"caf\xe9", "is not UTF-8 text"),
    ("wide.txt", "no mark".encode("utf-16-le"), "holds NUL bytes"),
    ("dataset_info.json", b'{"features": {}}', "has no field 'text' or 'content'"),
    ("tsconfig.json", b"{// loose\n}", "is not JSON that can be read"),
    ("scores.csv", b"id,score\n1,2\n", "has no field 'text' or 'content'"),
    ("no\nend.xml", b"x", "(no\\nend.xml)"),
    (os.fsdecode(b"\xff.xml"), b"x", "another kind of file"),
]


@pytest.mark.parametrize(("name", "content", "why"), LEFT_OUT)
def test_what_is_no_text_is_left_out_and_said(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(STORY)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    found, notes = read(tmp_path)
    assert found == [STORY]
    (note,) = notes
    assert note.startswith("left out 1 file (") and why in note and "\n" not in note
    note.encode()


def test_what_leads_to_another_user_s_folder_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text(STORY)
    (tmp_path / "theirs").symlink_to("/root/x")
    looked = Path.is_dir

    def is_dir(path: Path) -> bool:  # root may look everywhere
        if path.name == "theirs":
            raise PermissionError(13, "Permission denied")
        return looked(path)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    assert read(tmp_path) == ([STORY], ["left out 1 file (theirs): may not be looked at"])


LOOPS = {
    "itself": ("b", "."),
    "its parent": ("x/y", ".."),
    "a link to itself": ("b", "b"),
    "the root's /dev": ("b", "/dev"),
}


@pytest.mark.parametrize("loop", LOOPS)
def test_links_that_lead_round_or_to_devices_end(tmp_path: Path, loop: str) -> None:
    name, target = LOOPS[loop]
    (tmp_path / "a.txt").write_text(STORY)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(target)
    found, notes = read(tmp_path)
    assert found == [STORY] and notes


def write_parquet(path: Path, column: str = "text") -> None:
    parquet.write_table(pa.table({"id": [1, 2], column: [STORY, None]}), path)


READ: list[tuple[str, bytes]] = [
    ("A.TXT", STORY.encode()),
    ("a.md", STORY.encode()),
    ("a.rst", STORY.encode()),
    ("a.utf16.txt", STORY.encode("utf-16")),
    ("a.utf16be.txt", b"\xfe\xff" + STORY.encode("utf-16-be")),
    ("a.utf32.txt", STORY.encode("utf-32")),
    ("a.JSONL", json.dumps({"text": STORY}).encode()),
    ("a.ndjson", json.dumps(STORY).encode()),
    ("b.jsonl", json.dumps({"id": "x", "content": STORY}).encode() + b'\n{"content": null}\n'),
    ("c.jsonl", json.dumps({"text": None, "content": STORY}).encode()),
    ("a.json", json.dumps([{"text": STORY}, {"id": 2}], indent=1).encode()),
    ("b.json", json.dumps([STORY]).encode()),
    ("c.json", json.dumps({"text": STORY}).encode() + b"\n" + json.dumps({"text": ""}).encode()),
    ("a.csv", f'id,text\n1,"{STORY}"\n2,\n'.encode()),
    ("b.csv", f"id;body\n1;{STORY}\n".encode()),
    ("a.tsv", f"id\ttext\n1\t{STORY}\n".encode()),
    ("names, with: blanks/漢 字 é.txt", STORY.encode()),
    (os.fsdecode(b"\xff.txt"), STORY.encode()),
]


@pytest.mark.parametrize(("name", "content"), READ)
def test_kinds_of_text(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path)[0] == [STORY]


def test_parquet_and_the_field_that_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "a.parquet")
    write_parquet(tmp_path / "b.parquet", "content")
    write_parquet(tmp_path / "c.parquet", "words")
    found, notes = read(tmp_path)
    assert found == [STORY, STORY]
    assert "text is in the field 'content' of 1 file (b.parquet)" in notes
    assert "left out 2 rows without text" in notes
    assert any("(c.parquet): has no field" in note and "it has words" in note for note in notes)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"a\.parquet: parquet needs pyarrow"):
        read(tmp_path)


def test_links_are_judged_by_their_own_names_and_each_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshots" / "abc").mkdir(parents=True)
    (tmp_path / "blobs" / "3fa94be1c0").write_text(STORY)
    link = tmp_path / "snapshots" / "abc" / "train.txt"
    link.symlink_to("../../blobs/3fa94be1c0")
    (tmp_path / "snapshots" / "abc" / "again.txt").symlink_to("../../blobs/3fa94be1c0")
    (tmp_path / "snapshots" / "abc" / "gone.txt").symlink_to("nowhere")
    (tmp_path / "snapshots" / "loop").symlink_to("..")
    (tmp_path / "snapshots" / "round.txt").symlink_to("round.txt")
    found, notes = read(tmp_path)
    assert found == [STORY]
    assert any("a folder that was read already" in note for note in notes)
    assert any("the same file as another" in note for note in notes)
    assert any("links to nothing" in note and note.startswith("left out 2 files") for note in notes)
    assert read(link)[0] == [STORY]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "text").symlink_to(tmp_path / "snapshots" / "abc")
    assert read(elsewhere)[0] == [STORY]


@pytest.mark.parametrize("name", ["enwik8", "page.tex", "README.md", ".hidden.txt"])
def test_a_file_that_is_named_itself_is_what_the_user_says(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(STORY)
    assert read(tmp_path / name)[0] == [STORY]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), r"no file there ends in one of \.txt, .*\(it is empty\)"),
        (
            ("a.pdf", ".a.txt"),
            r"left out 1 file \(\.a\.txt\): hidden.*left out 1 file \(a\.pdf\): another kind",
        ),
        (("a.json",), r"has no text: left out 1 file \(a\.json\): is not JSON"),
    ],
)
def test_a_folder_without_text(files: tuple[str, ...], message: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_text("x")
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        read(tmp_path / "pipe.txt")
    (tmp_path / "a.txt").write_text(STORY)
    assert read(tmp_path) == ([STORY], ["left out 1 file (pipe.txt): neither file nor folder"])


def write_folder(folder: Path) -> None:
    """More files than are divided between splits, with repeats and something to leave out."""
    folder.mkdir()
    for number in range(local.WHOLE_FILES + 20):
        words = " ".join(f"w{number * 7 + i * i % 97}" for i in range(60))
        (folder / f"{number}.txt").write_text(f"{words}\n\nThe very same words stand in each of the files.\n")
    (folder / "page.pdf").write_bytes(b"%PDF")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTIMIZER_BENCHMARK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def prepared(folder: Path, said: Callable[[str], object] = lambda _: None) -> Corpus:
    return prepare(f"local:{folder}", 300, progress=False, say=said)


def test_notes_are_said_when_it_is_built_and_kept(cache: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "text")
    said: list[str] = []
    first = prepared(tmp_path / "text", said.append)
    assert said == [
        "corpus local:text: left out 1 file (page.pdf): another kind of file",
        "corpus local:text: dropped 119 of 240 paragraphs, which repeat others",
    ]
    again = prepared(tmp_path / "text", said.append)
    assert len(said) == 2 and again.notes == first.notes == tuple(line.split(": ", 1)[1] for line in said)


def test_identity_is_the_text_and_not_its_place(cache: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "text")
    first = prepared(tmp_path / "text")
    (tmp_path / "text").rename(tmp_path / "moved")
    moved = prepared(tmp_path / "moved")
    assert (moved.corpus_hash, moved.tokenizer_hash) == (first.corpus_hash, first.tokenizer_hash)
    assert moved.name == "local:moved" and moved.folder == first.folder
    for number, path in enumerate(sorted((tmp_path / "moved").glob("*.txt"))):
        path.rename(path.with_name(f"part{number}.TXT"))
    assert prepared(tmp_path / "moved").corpus_hash == first.corpus_hash
    found = kept("local:any", 300, first.corpus_hash, first.tokenizer_hash)
    assert found and found.folder == first.folder and found.name == "local:any"
    assert not kept("local:any", 301, first.corpus_hash, first.tokenizer_hash)
    assert not kept("local:any", 300, "0" * 16, first.tokenizer_hash)


def test_a_change_that_keeps_size_and_time_is_seen(cache: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "text")
    first, file = prepared(tmp_path / "text"), tmp_path / "text" / "3.txt"
    stat = file.stat()
    file.write_text(file.read_text().replace("w", "v"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_size == stat.st_size
    assert prepared(tmp_path / "text").corpus_hash != first.corpus_hash


def test_neither_locale_nor_order_of_creation_counts(cache: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "text")
    (tmp_path / "other").mkdir()
    for path in sorted((tmp_path / "text").iterdir(), reverse=True):
        (tmp_path / "other" / f"É{path.name}").write_bytes(path.read_bytes())
    code = (
        "import sys; from benchmark.data.corpora import prepare\n"
        f"print(prepare('local:{tmp_path}/other', 300, progress=False).corpus_hash)"
    )
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert printed.strip() == prepared(tmp_path / "text").corpus_hash


def test_the_command_says_what_was_left_out(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "text")
    assert command.main([f"local:mine={tmp_path / 'text'}", "--vocab", "300"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("local:mine: corpus ")
    assert "left out 1 file (page.pdf): another kind of file\ndropped 119 of 240 paragraphs" in printed
