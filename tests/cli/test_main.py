"""The command line's own promises: quick help, exit codes, one clear message, nothing imported too early."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from senoscope import __version__
from senoscope.cli import main as cli
from senoscope.errors import ImageError, UsageError


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "senoscope", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., None]], None]:
    """Register a function as the verb ``probe``."""

    def register(command: Callable[..., None]) -> None:
        module = ModuleType("senoscope.cli.probe")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "senoscope.cli.probe", module)
        monkeypatch.setitem(cli.VERBS, "probe", "A probe.")

    return register


def leave(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    return int(end.value.code or 0)


def test_help_is_quick_and_lists_every_verb() -> None:
    """Processor time, so that a busy machine does not fail it; benchmarks/cli_help.py measures the wall clock."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = run("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert result.returncode == 0
    assert all(f"\n  {name} " in result.stdout for name in cli.VERBS)
    assert statistics.median(seconds) < 0.3, seconds


def test_help_imports_no_heavy_package() -> None:
    code = (
        "import sys\nfrom senoscope.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted({'torch', 'numpy', 'typer', 'rich', 'pydantic'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("[]\n")


def test_no_argument_shows_help_as_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave() == 2
    assert "Verbs:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--version") == 0
    assert capsys.readouterr().out == f"senoscope {__version__}\n"


def test_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("analyse", "x.png") == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert "unknown verb 'analyse'" in caught.err
    assert "did you mean 'senoscope analyze'?" in caught.err


def test_word_like_no_verb_points_to_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("xyzzy") == 2
    assert "see 'senoscope --help'" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "code"), [(ImageError, 1), (UsageError, 2)])
def test_errors_are_one_message_without_traceback(
    verb: Callable[[Callable[..., None]], None],
    capsys: pytest.CaptureFixture[str],
    kind: type[ImageError],
    code: int,
) -> None:
    def command() -> None:
        raise kind("a.png is empty", expected="a picture.", fix="export it again")

    verb(command)
    assert leave("probe") == code
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err == "Error: a.png is empty.\n  Expected: a picture.\n  Fix: export it again.\n"


def test_a_file_that_cannot_be_written_is_named(
    verb: Callable[[Callable[..., None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise PermissionError(13, "Permission denied", "out/report.html")

    verb(command)
    assert leave("probe") == 1
    assert capsys.readouterr().err == "Error: out/report.html: Permission denied.\n"


def test_a_missing_extra_says_what_to_install(
    verb: Callable[[Callable[..., None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    verb(command)
    assert leave("probe") == 1
    message = capsys.readouterr().err
    assert "'torch'" in message
    assert "senoscope[train]" in message


def test_a_fault_of_ours_is_not_blamed_on_the_user(verb: Callable[[Callable[..., None]], None]) -> None:
    def command() -> None:
        raise ModuleNotFoundError("No module named 'senoscope.gone'", name="senoscope.gone")

    verb(command)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["probe"])


def test_interrupt_exits_130(
    verb: Callable[[Callable[..., None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise KeyboardInterrupt

    verb(command)
    assert leave("probe") == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


def test_wrong_option_is_misuse(verb: Callable[[Callable[..., None]], None]) -> None:
    def command(count: int = 1) -> None:
        raise AssertionError(f"must not run with {count}")

    verb(command)
    assert leave("probe", "--count", "many") == 2
    assert leave("probe", "--cuont", "2") == 2


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_verb_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(name, "--help") == 0
    shown = capsys.readouterr().out
    assert f"senoscope {name}" in shown
    assert len(shown.split()) > 20
