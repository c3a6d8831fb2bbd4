"""The console script, and folders that hold packages of our names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps import command
from sweeps.__main__ import main as sweep

ROOT = Path(__file__).parents[2]
SCRIPT = "import sys\nfrom sweeps.command import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A user's project, with an `optimizers` and a `benchmark` of its own, none of them ours."""
    folder = tmp_path / "project"
    for name in ("optimizers", "benchmark"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise RuntimeError('a package of the user was imported')")
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("module", ["sweeps", "benchmark.report"])
@pytest.mark.parametrize("decoy", ["optimizers", "benchmark"])
def test_a_folder_with_packages_of_our_names_is_one_clear_line(tmp_path, module, decoy):
    (tmp_path / decoy).mkdir()
    (tmp_path / decoy / "__init__.py").write_text("")
    done = run(tmp_path, "-m", module, *(["smoke", "--dry-run"] if module == "sweeps" else []))
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 1, done.stderr
    if (module, decoy) == ("benchmark.report", "benchmark"):
        assert "No module named benchmark.report" in lines[0]  # Python's own: nothing of ours was found
    else:
        assert str(tmp_path / decoy) in lines[0] and "run `optimizer-benchmark" in lines[0]


def test_a_module_of_our_name_is_named_too(tmp_path):
    (tmp_path / "optimizers.py").write_text("")
    done = run(tmp_path, "-m", "sweeps", "smoke", "--dry-run")
    assert str(tmp_path / "optimizers.py") in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_console_script_works_in_any_folder(elsewhere, tmp_path):
    """The sweep's price is worked out in other processes, which must not see the user's packages either."""
    script = tmp_path / "optimizer-benchmark"
    script.write_text(SCRIPT)
    words = ["sweep", "smoke", "--dry-run", "--executor", "serial"]
    priced = run(elsewhere, str(script), *words)
    assert priced.returncode == 0 and "Sweep smoke: adamw, lion" in priced.stdout, priced.stderr
    built = run(elsewhere, str(script), "report", "--results", "nowhere")
    assert built.returncode == 1 and built.stderr.startswith("error: ") and "nowhere" in built.stderr


@pytest.mark.parametrize("name", command.COMMANDS)
def test_every_command_helps_under_its_name(name, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: optimizer-benchmark {name} ")


def test_what_commands_there_are(capsys):
    assert command.main([]) == command.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"\n  {name} " in told for name in command.COMMANDS)
    assert command.main(["swep"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "optimizer-benchmark: unknown command 'swep' (did you mean 'sweep'?);"
        " choose from sweep, report, check, published\n"
    )


def test_a_command_is_handed_its_own_words(capsys):
    assert command.main(["sweep", "quik"]) == sweep(["quik"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == second and "unknown sweep 'quik'" in first
