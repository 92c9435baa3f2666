"""What there is to run: a job is one system trained and tested on one fold by one protocol, from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from senoscope import models
from senoscope.benchmark.divisions import Division, Roots
from senoscope.benchmark.protocol import Protocol, load_protocol
from senoscope.errors import UsageError


@dataclass(frozen=True)
class Track:
    """How long and how large trainings are; ``None`` is what the system's paper does."""

    name: str
    title: str
    image_size: int | None
    epochs: int | None
    seeds: tuple[int, ...]

    def size(self, system: str) -> int:
        """The side of the square images, in pixels: the track's, or the next larger one that the system takes."""
        facts = models.info(system).facts
        if self.image_size is None:
            return int(facts["native_size"])
        step, least = int(facts.get("size_multiple", 1)), int(facts.get("min_size", 1))
        return -(-max(self.image_size, least) // step) * step

    def gmacs(self, system: str) -> float:
        """Giga multiply-adds for one image, scaled by area from the system's native size; a rough figure."""
        facts = models.info(system).facts
        return float(facts["gmacs"]) * (self.size(system) / int(facts["native_size"])) ** 2

    def length(self, system: str) -> int:
        """Epochs of one training."""
        return self.epochs or int(models.info(system).facts.get("recipe", {}).get("epochs", 30))


TRACKS = {
    track.name: track
    for track in (
        Track("quick", "128 px, 15 epochs, one seed: the same for every system", 128, 15, (0,)),
        Track("full", "each paper's image size and epochs, three seeds", None, None, (0, 1, 2)),
    )
}


@dataclass(frozen=True)
class Job:
    """One training and its test."""

    track: str
    dataset: str
    protocol: str
    system: str
    fold: int
    seed: int
    variant: str = ""
    """The name of other settings than the system's own, such as a pretrained encoder; empty for none."""

    @property
    def label(self) -> str:
        """The system, and the variant of it."""
        return f"{self.system}+{self.variant}" if self.variant else self.system

    @property
    def folder(self) -> Path:
        """Where its files lie below the results' folder."""
        return Path(self.track, self.dataset, self.protocol)

    @property
    def stem(self) -> str:
        """The name of its files, without ending."""
        return f"{self.label}-fold{self.fold}-seed{self.seed}"

    def __str__(self) -> str:
        return f"{self.label} on {self.dataset}, {self.protocol}, fold {self.fold}, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """Jobs, cheapest first, and why some combinations are not among them."""

    jobs: tuple[Job, ...]
    refused: tuple[str, ...]
    divisions: dict[tuple[str, str, int], Division]


def make_plan(
    track: Track,
    systems: Sequence[str],
    datasets: Sequence[str],
    protocols: Sequence[Protocol],
    *,
    folds: Sequence[int] = (),
    seeds: Sequence[int] = (),
    variant: str = "",
    roots: Roots | None = None,
) -> Plan:
    """Every combination that can be run; ``folds`` and ``seeds`` narrow it (all of them if empty).

    ``variant`` names trainings with other settings than the systems' own.

    A system that a protocol cannot take is listed in ``refused``; a dataset that a protocol cannot take raises
    ``UsageError``, as does a fold that is in no division.
    """
    for system in systems:
        models.info(system)  # a wrong name ends here, with the nearest right ones
    wanted_seeds = tuple(seeds) or track.seeds
    divisions = {
        (dataset, protocol.name, seed): protocol.divide(dataset, roots, seed)
        for dataset in datasets
        for protocol in protocols
        for seed in wanted_seeds
    }
    known = sorted({fold for division in divisions.values() for fold in division.test})
    if set(folds) - set(known):
        raise UsageError(
            f"fold {', '.join(str(f) for f in sorted(set(folds) - set(known)))} is in no division",
            expected=f"of {', '.join(map(str, known))}",
        )
    jobs, refused = [], []
    for protocol in protocols:
        for system in systems:
            reason = protocol.refusal(system)
            if reason:
                refused.append(f"{protocol.name}: {reason}")
                continue
            jobs += [
                Job(track.name, dataset, protocol.name, system, fold, seed, variant)
                for dataset in datasets
                for seed in wanted_seeds
                for fold in divisions[dataset, protocol.name, seed].test
                if not folds or fold in folds
            ]
    jobs.sort(key=lambda job: (track.gmacs(job.system) * track.length(job.system), job.system))
    return Plan(tuple(jobs), tuple(refused), divisions)


def sources(job: Job, division: Division, split: Path | None, roots: Roots) -> list[dict[str, Any]]:
    """The recipe's datasets; ``split`` is the path of a split that the protocol made."""
    in_sample = load_protocol(job.protocol).in_sample
    return [
        {
            "name": name,
            "root": roots.get(name),
            "split": None if split is None else str(split),
            "fold": job.fold if name == job.dataset and not in_sample else None,
        }
        for name in division.sources
    ]


def settings(job: Job) -> dict[str, Any]:
    """Keys of the recipe that the track and the protocol decide; the rest is the system's paper's."""
    track, protocol = TRACKS[job.track], load_protocol(job.protocol)
    content: dict[str, Any] = {"image_size": track.size(job.system), "seed": job.seed}
    if track.epochs is not None:  # one length and batch for all, and no early stop
        content |= {"batch": 16, "epochs": track.epochs, "patience": track.epochs}
    return content | protocol.settings(job.system)
