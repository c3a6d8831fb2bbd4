"""A worker's Python under any path, started as Ray starts it: `bash -c "exec PYTHON ..."`."""

import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.run.workers_python import environment


@pytest.mark.parametrize("folder", ["plain", "it's my clone ü", "a$b (1)"])
def test_a_shell_reads_the_path_as_one_word(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / folder / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho started\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    word = environment().get("py_executable", sys.executable)
    done = subprocess.run(["bash", "-c", f"exec {word} -m worker"], capture_output=True, text=True)
    assert done.stdout == "started\n"
    assert ("py_executable" in environment()) == (folder != "plain")
