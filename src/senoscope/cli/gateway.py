"""``senoscope gateway``: images from a PACS or a device in, results back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from senoscope.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from senoscope.clinic.gateway.config import Config
    from senoscope.clinic.gateway.folders import Folders
    from senoscope.clinic.service.queue import Queue

app = typer.Typer(add_completion=False)
quarantine = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Studies that mix patients: look, release, discard."
)
app.add_typer(quarantine, name="quarantine")

ConfigFile = Annotated[Path | None, typer.Option("--config", help="The gateway's settings, a YAML file.")]
Study = Annotated[str, typer.Argument(help="As 'quarantine list' names it.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Instead of the file's data_dir.")]


@app.callback(invoke_without_command=True)
def gateway(
    context: typer.Context,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    example: Annotated[bool, typer.Option("--example", help="Print a commented configuration.")] = False,
) -> None:
    """Receive images by DICOM, analyse them, and send segmentations and reports back.

    Runs until SIGTERM, then finishes what is under way within 30 s. What was acknowledged is never lost. For research
    use only, not a medical device.
    """
    if example:
        from senoscope.clinic.gateway.config import EXAMPLE

        typer.echo(EXAMPLE.read_text(encoding="utf-8"), nl=False)
    elif context.invoked_subcommand is None:
        _run(_read(config, data_dir))


@app.command("replay")
def replay(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    destination: Annotated[str | None, typer.Option(help="Only what was meant for this destination.")] = None,
) -> None:
    """Try dead letters again; the gateway may be running."""
    settings = _read(config, data_dir)
    from senoscope.clinic.gateway import letters
    from senoscope.clinic.gateway.jobs import send_kind

    names = [known.name for known in settings.destinations]
    if destination is not None and destination not in names:
        raise UsageError(f"there is no destination '{destination}'", expected="one of " + ", ".join(names))
    folders, queue = _open(settings)
    count = queue.replay(send_kind(destination) if destination else None)
    letters.mirror(queue, folders)
    typer.echo(f"{count} dead letter(s) will be tried again")


@app.command("dead-letters")
def dead_letters(config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """List what was given up, and studies in quarantine; exit code 1 if there are any."""
    settings = _read(config, data_dir)
    from senoscope.clinic.gateway import letters
    from senoscope.clinic.gateway.quarantine import quarantined

    folders, queue = _open(settings)
    found = letters.dead_letters(queue)
    for letter in found:
        typer.echo(f"{letter.kind} {letter.key}: {letter.error} ({letter.attempts} attempts)")
    studies = quarantined(queue.engine, folders)
    for study, files in studies.items():
        typer.echo(f"quarantine {study}: {len(files)} object(s) of a study that mixes patients")
    typer.echo(f"{len(found)} dead letter(s), {len(studies)} study(ies) in quarantine")
    raise typer.Exit(int(bool(found or studies)))


@quarantine.command("list")
def list_quarantine(config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Name the studies and their files, to be looked at; exit code 1 if there are any."""
    from senoscope.clinic.gateway.quarantine import quarantined

    folders, queue = _open(_read(config, data_dir))
    studies = quarantined(queue.engine, folders)
    for study, files in studies.items():
        typer.echo("\n  ".join([f"{study}: {len(files)} object(s)", *map(str, files)]))
    typer.echo(f"{len(studies)} study(ies) in quarantine")
    raise typer.Exit(int(bool(studies)))


@quarantine.command("release")
def release(study: Study, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Analyse and send a study after all: you have looked, and it is one patient's."""
    from senoscope.clinic.gateway import quarantine as held

    _, queue = _open(_read(config, data_dir))
    held.release(queue.engine, study)
    typer.echo(f"{study} is released; a running gateway goes on with it, results keep their image's patient")


@quarantine.command("discard")
def discard(study: Study, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Delete a study for good: it is put right at its source, and sent again from there."""
    from senoscope.clinic.gateway import letters
    from senoscope.clinic.gateway import quarantine as held

    folders, queue = _open(_read(config, data_dir))
    held.discard(queue.engine, folders, study)
    letters.mirror(queue, folders)
    typer.echo(f"{study} is deleted")


def _open(settings: Config) -> tuple[Folders, Queue]:
    from senoscope.clinic.gateway.folders import Folders
    from senoscope.clinic.gateway.jobs import make_queue

    folders = Folders(settings.data_dir)
    folders.make()
    return folders, make_queue(settings)


def _read(config: Path | None, data_dir: Path | None) -> Config:
    if config is None:
        raise UsageError(
            "no configuration was named",
            expected="--config FILE",
            fix="print an example with 'senoscope gateway --example'",
        )
    from senoscope.clinic.gateway.config import read_config

    return read_config(config, data_dir=data_dir)


def _run(config: Config) -> None:
    try:
        from senoscope.clinic.gateway import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("senoscope"):
            raise
        raise MissingExtraError(
            f"'senoscope gateway' needs the Python package '{error.name}', which is not installed",
            fix="install Senoscope with its clinic extra: pip install 'senoscope[clinic]'",
        ) from None

    def say(port: int) -> None:
        typer.echo(
            f"Senoscope: DICOM node {config.node.ae_title} at {config.node.host}:{port}. "
            "For research use only, not a medical device."
        )

    run.run(config, say)
