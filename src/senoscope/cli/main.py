"""The ``senoscope`` command: a table of verbs, each imported only when it is called.

The top level is plain Python rather than a Typer group, because importing Typer and every verb would cost
more than the whole of ``senoscope --help`` may take. Each verb is a Typer command or group of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from senoscope import __version__
from senoscope.errors import SenoscopeError

if TYPE_CHECKING:
    import typer

VERBS: dict[str, str] = {
    "analyze": "Find, outline and score lesions in images, folders or DICOM files, and write a report.",
    "demo": "Simulate a few exams, analyse them with the shipped model and write a report.",
    "serve": "Take images over HTTP, analyse them, and show findings in a browser for review.",
    "datasets": "List, describe, verify and audit datasets.",
    "split": "Make grouped, stratified folds and freeze them in a CSV.",
    "train": "Train a network from a recipe; resumable at any moment.",
    "tune": "Search for better values of a recipe by many trainings; several processes may share it.",
    "evaluate": "Measure a run or a bundle on a dataset, with intervals and a report.",
    "compare": "Compare two systems on the same cases: differences, intervals, p-values.",
    "score": "Score another tool's predictions under a protocol of ours, with a report.",
    "models": "List and describe the systems that can be trained and the shipped model.",
    "benchmark": "Run systems under one leak-free protocol, and make the leaderboard.",
    "dicom": "Analyse DICOM images and write DICOM objects: segmentation, structured report, picture.",
    "gateway": "Receive images from a PACS by DICOM, analyse them, and send the results back.",
    "deidentify": "Copy DICOM files without what identifies the patient, and prove it.",
    "export": "Turn a training run into a bundle that analyses without torch.",
}
"""Every verb and its line of help, in the order a newcomer meets them; ``cli/<verb>.py`` implements it."""

_USAGE = "Usage: senoscope [--help | --version] VERB [ARGUMENTS]..."


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; always ends in ``SystemExit`` (0 ok, 1 failed, 2 misuse, 130 interrupted)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("--help", "-h"):
        print(help_text())
        sys.exit(0 if words else 2)
    if words[0] in ("--version", "-V"):
        print(f"senoscope {__version__}")
        sys.exit(0)
    if words[0] not in VERBS:
        _fail(_unknown(words[0]), code=2)
    try:
        run_verb(words[0], words[1:])
    except SenoscopeError as error:
        _fail(error, code=error.exit_code)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "senoscope":
            raise  # a fault of ours, not a package that the user can add
        _fail(_missing(words[0], error.name), code=1)
    except OSError as error:
        _fail(SenoscopeError(_describe(error)), code=1)
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as end:
        if end.code == 130:  # Typer turns an interrupt into this code, silently
            _interrupted()
        raise
    sys.exit(0)


def verb_app(verb: str) -> typer.Typer:
    """The Typer application of one verb: its ``app`` (a group), or its ``command`` wrapped in one."""
    import typer

    module = import_module(f"senoscope.cli.{verb}")
    app: typer.Typer | None = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False)
        app.command()(module.command)
    return app


def run_verb(verb: str, arguments: Sequence[str]) -> None:
    """Run one verb; raises what the verb raises, and ``SystemExit`` with its exit code."""
    from typer.main import get_command

    get_command(verb_app(verb))(args=list(arguments), prog_name=f"senoscope {verb}")


def help_text() -> str:
    """What ``senoscope --help`` prints."""
    width = max(map(len, [*VERBS, "--version"]))
    verbs = "\n".join(f"  {verb:<{width}}  {line}" for verb, line in VERBS.items())
    return (
        f"{_USAGE}\n\n"
        "Reads breast ultrasound images, finds and outlines lesions, says how suspicious they are,\n"
        "shows why, and says when it does not know. For research use only, not a medical device.\n\n"
        f"Verbs:\n{verbs}\n\n"
        "Options:\n"
        f"  {'--help':<{width}}  Show this text; 'senoscope VERB --help' explains one verb.\n"
        f"  {'--version':<{width}}  Show the version.\n\n"
        "First result: senoscope demo --out demo"
    )


def _unknown(word: str) -> SenoscopeError:
    from difflib import get_close_matches

    close = get_close_matches(word, VERBS, n=1)
    kind = "option" if word.startswith("-") else "verb"
    return SenoscopeError(
        f"unknown {kind} '{word}'",
        expected=f"one of {', '.join(VERBS)}",
        fix=f"did you mean 'senoscope {close[0]}'?" if close else "see 'senoscope --help'",
    )


def _missing(verb: str, package: str) -> SenoscopeError:
    return SenoscopeError(
        f"'senoscope {verb}' needs the Python package '{package}', which is not installed",
        fix="install Senoscope with its training extra: pip install 'senoscope[train]'",
    )


def _describe(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what


def _fail(error: SenoscopeError, *, code: int) -> NoReturn:
    """Print found, expected and fix on stderr, red where a person looks at it, and leave."""
    lines = [f"Error: {error.found.rstrip('.')}."]
    if error.expected:
        lines.append(f"  Expected: {error.expected.rstrip('.')}.")
    if error.fix:
        lines.append(f"  Fix: {error.fix.rstrip('.?') + ('?' if error.fix.endswith('?') else '.')}")
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        lines[0] = f"\x1b[31m{lines[0]}\x1b[0m"
    print("\n".join(lines), file=sys.stderr)
    sys.exit(code)


def _interrupted() -> NoReturn:
    print("Interrupted.", file=sys.stderr)
    sys.exit(130)
