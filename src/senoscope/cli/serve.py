"""``senoscope serve``: the service and its viewer."""

from __future__ import annotations

import logging
from pathlib import Path

import typer

from senoscope.errors import MissingExtraError


def command(
    data_dir: Path = typer.Option(
        Path("senoscope-data"), "--data-dir", help="Where exams, results, tokens and the audit log are kept."
    ),
    port: int = typer.Option(8765, min=0, max=65535, help="Port; 0 takes a free one."),
    host: str = typer.Option(
        "127.0.0.1", help="Address to listen on; any but this machine's own needs a token."
    ),
    database: str | None = typer.Option(
        None, help="postgresql://… instead of a SQLite file in the data folder.", show_default=False
    ),
    workers: int = typer.Option(2, min=1, max=64, help="Worker processes, of one thread each."),
    bundle: str = typer.Option("senoscope-us", help="A shipped bundle's name, or a bundle's folder."),
    allowed_host: list[str] = typer.Option(
        [], "--allowed-host", help="Another name that browsers may use for this server."
    ),
    queue_limit: int = typer.Option(
        64, min=1, max=100_000, help="Images that may wait before uploads are refused."
    ),
    max_upload_mb: int = typer.Option(64, min=1, max=2048, help="Largest upload."),
    max_frames: int = typer.Option(4000, min=1, max=100_000, help="Frames that a loop may have."),
    keep_days: float | None = typer.Option(
        None, min=0.01, help="Erase exams older than this many days.", show_default="for ever"
    ),
    new_token: str | None = typer.Option(
        None, "--new-token", metavar="ROLE", help="Make a token (reader or admin), print it, and leave."
    ),
    token_name: str | None = typer.Option(None, "--token-name", help="Whose token it is."),
    verbose: bool = typer.Option(False, "--verbose", help="Log more; never more of a patient."),
    verify_audit: bool = typer.Option(
        False, "--verify-audit", help="Check the audit log's chain, and leave."
    ),
) -> None:
    """Take images over HTTP, analyse them, and show findings in a browser for review.

    Without tokens only this machine can use it, without login. For research use only, not a medical device.
    """
    try:
        from senoscope.clinic.service import audit, logs, server, settings, tokens
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("senoscope"):
            raise
        raise MissingExtraError(
            f"'senoscope serve' needs the Python package '{error.name}', which is not installed",
            fix="install Senoscope with its clinic extra: pip install 'senoscope[clinic]'",
        ) from None
    folders = settings.open_folders(data_dir)
    if new_token is not None:
        name, token = tokens.new_token(folders.tokens, new_token, token_name)
        typer.echo(f"Token of {name} ({new_token}); it is shown only now:", err=True)
        typer.echo(token)
        return
    if verify_audit:
        whole = audit.verify(folders.audit)
        audit.AuditLog(folders.audit).write(audit.USED, action="R")
        typer.echo(f"{whole.lines} lines, unbroken; last hash {whole.last}")
        return
    logs.configure_logs(logging.DEBUG if verbose else logging.INFO)
    server.serve(
        settings.Settings(
            data_dir=data_dir,
            host=host,
            port=port,
            database=database,
            workers=workers,
            bundle=bundle,
            allowed_hosts=tuple(allowed_host),
            queue_limit=queue_limit,
            max_body=max_upload_mb * 1024**2,
            max_frames=max_frames,
            keep_days=keep_days,
        ),
        lambda bound: typer.echo(
            f"Senoscope: http://{host}:{bound}/  For research use only, not a medical device."
        ),
    )
