"""``senoscope benchmark``: run every system by one protocol, and make the leaderboard of the results."""

from __future__ import annotations

import typer

from senoscope.cli.benchmark import leak_lab, report, robustness, run, speed

app = typer.Typer(
    help="Run systems under one leak-free protocol; report what they really reach.",
    add_completion=False,
    no_args_is_help=True,
)
app.command("run")(run.command)
app.command("protocols")(run.protocols)
app.command("leak-lab")(leak_lab.command)
app.command("report")(report.command)
app.command("speed")(speed.command)
app.command("robustness")(robustness.command)
