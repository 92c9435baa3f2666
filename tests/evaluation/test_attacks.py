"""Attacks: the closed form on a linear model, the ball, and a tiny trained network that they mislead."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("pyarrow", reason="needs the [train] extra")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from senoscope.errors import UsageError  # noqa: E402
from senoscope.evaluation.attacks import STEPS, attack, fgsm, pgd  # noqa: E402
from senoscope.evaluation.cases import from_rows  # noqa: E402
from senoscope.evaluation.metrics import point_estimates  # noqa: E402
from senoscope.evaluation.network import TorchNetwork, network_of_bundle  # noqa: E402
from senoscope.imaging.preprocess import Preprocess  # noqa: E402
from senoscope.inference.analyzer import Analyzer  # noqa: E402
from senoscope.inference.bundle import load_bundle  # noqa: E402
from senoscope.models.interface import Outputs, System  # noqa: E402
from senoscope.schema import Record, Sample  # noqa: E402

SIZE = 32
Pixels = np.ndarray[Any, Any]


class Linear(System):
    """Class logits W x, and a lesion map that is the image."""

    def __init__(self, segments: bool = False) -> None:
        super().__init__()
        self.segments = segments
        self.classifier = nn.Linear(SIZE * SIZE, 3)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        if self.segments:
            return Outputs(mask_logits=20 * (image - 0.5))
        return Outputs(class_logits=self.classifier(image.flatten(1)))


def everywhere() -> Tensor:
    return torch.ones(1, 1, SIZE, SIZE)


def sample(image: Pixels, label: str | None, mask: Pixels | None = None, id: str = "a") -> Sample:
    record = Record(id=id, dataset="made", image=Path("x"), modality="US", label=label)
    return Sample(record=record, image=image.astype(np.float32), mask=mask, label=label)


def test_fgsm_on_a_linear_model_has_a_closed_form() -> None:
    """Margin m(x) = (w₁ − w₀)·x: the gradient has the sign of w₁ − w₀, so m grows by ε·‖w₁ − w₀‖₁."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2, SIZE * SIZE, generator=generator)
    image = 0.3 + 0.4 * torch.rand(1, 1, SIZE, SIZE, generator=generator)
    epsilon = 8 / 255

    def loss(values: Tensor) -> Tensor:
        return functional.cross_entropy(values.flatten(1) @ weights.T * 0.01, torch.tensor([0]))

    changed = fgsm(loss, image, epsilon, everywhere())
    direction = (weights[1] - weights[0]).view(1, 1, SIZE, SIZE)
    torch.testing.assert_close(changed, image + epsilon * direction.sign())
    gain = ((changed - image) * direction).sum()
    assert float(gain) == pytest.approx(epsilon * float(direction.abs().sum()), rel=1e-4)
    # On a linear model no point of the ball is worse, so PGD ends in the same corner: ten steps of ε/4 reach it.
    torch.testing.assert_close(pgd(loss, image, epsilon, everywhere(), np.random.default_rng(0)), changed)


def test_pgd_follows_a_hand_written_projection() -> None:
    """A loss whose gradient turns: compared with the same iteration in NumPy, start included."""
    target = np.random.default_rng(1).random((1, 1, 4, 4)).astype(np.float32)
    image, epsilon = np.full((1, 1, 4, 4), 0.02, np.float32), 0.1
    x = np.clip(
        image + np.random.default_rng(5).uniform(-epsilon, epsilon, image.shape).astype(np.float32), 0, 1
    )
    for _ in range(STEPS):
        x = x + np.float32(epsilon / 4) * np.sign(-2 * (x - target * 0.1))
        x = np.clip(np.clip(x, image - np.float32(epsilon), image + np.float32(epsilon)), 0, 1)

    def loss(values: Tensor) -> Tensor:
        return -((values - torch.from_numpy(target) * 0.1) ** 2).sum()

    found = pgd(loss, torch.from_numpy(image), epsilon, torch.ones(1, 1, 4, 4), np.random.default_rng(5))
    np.testing.assert_allclose(found.numpy(), x, atol=1e-6)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_the_ball_the_range_and_the_border_are_kept(name: str) -> None:
    torch.manual_seed(0)
    model, preprocess = Linear().eval(), Preprocess(size=SIZE)
    wide = np.random.default_rng(0).random((20, 40))  # black above and below once prepared
    prepared, frame = preprocess.apply(wide.astype(np.float32))
    image = torch.from_numpy(prepared)[None, None]
    changed = [
        attack(name, 4 / 255, sample(wide, "benign"), preprocess, np.random.default_rng(seed))(
            image, model, frame
        )
        for seed in (0, 0)
    ]
    torch.testing.assert_close(changed[0], changed[1], rtol=0, atol=0)
    moved = (changed[0] - image).abs()
    assert 0 < float(moved.max()) <= 4 / 255 + 1e-6
    assert float(moved[..., : frame.top, :].max()) == 0
    assert 0 <= float(changed[0].min()) <= float(changed[0].max()) <= 1


def test_a_network_without_classes_is_attacked_by_its_mask() -> None:
    """The map is the image: within the lesion brightness falls, outside it rises, and Dice falls."""
    preprocess, mask = Preprocess(size=SIZE), np.zeros((SIZE, SIZE), bool)
    mask[8:20, 8:20] = True
    image = np.where(mask, 0.9, 0.3) + 0.05 * np.random.default_rng(0).random((SIZE, SIZE))
    network = TorchNetwork(Linear(segments=True).eval(), preprocess, min_area=0.0)
    exam = sample(image, None, mask)
    prepared, frame = preprocess.apply(exam.image)
    start = torch.from_numpy(prepared)[None, None]
    change = attack("fgsm", 8 / 255, exam, preprocess, np.random.default_rng(0))
    moved = (change(start, network.model, frame) - start)[0, 0].numpy()
    assert (moved[mask] <= 0).all()
    assert (moved[~mask] >= 0).all()
    assert moved[mask].min() < 0 < moved[~mask].max()
    clean = network.row(exam, lambda values, answer, frame: values)
    worse = network.row(exam, attack("pgd", 200 / 255, exam, preprocess, np.random.default_rng(0)))
    assert clean["dice"] == 1
    assert worse["dice"] < 0.5
    unknown = sample(image, None)
    same = attack("pgd", 8 / 255, unknown, preprocess, np.random.default_rng(0))(start, network.model, frame)
    assert same is start


def test_a_tiny_trained_network_is_misled() -> None:
    """A linear network learns a pattern of ±0.02 whose sign is the class: 1/255 cannot turn it round, 8/255 can."""
    torch.manual_seed(0)
    rng, exams = np.random.default_rng(0), []
    pattern = np.where(rng.random((SIZE, SIZE // 2)) < 0.5, -0.02, 0.02)
    for number in range(40):
        image = np.tile(np.linspace(0.1, 0.9, SIZE), (SIZE, 1))  # a ramp, so that preparing changes little
        image += 0.005 * rng.standard_normal((SIZE, SIZE))
        image[:, SIZE // 4 : -SIZE // 4] += pattern if number % 2 else -pattern
        exams.append(sample(np.clip(image, 0, 1), ("benign", "malignant")[number % 2], id=str(number)))
    preprocess = Preprocess(size=SIZE)
    images = torch.stack([torch.from_numpy(preprocess.apply(exam.image)[0])[None] for exam in exams])
    labels = torch.tensor([1 + number % 2 for number in range(40)])
    model = Linear()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(model(images).class_logits, labels).backward()
        optimizer.step()
    network = TorchNetwork(model.eval(), preprocess)

    def figures(name: str | None, level: int) -> dict[str, float]:
        rows = [
            network.row(
                exam,
                attack(name, level / 255, exam, preprocess, np.random.default_rng(number))
                if name
                else lambda values, answer, frame: values,
            )
            for number, exam in enumerate(exams)
        ]
        return point_estimates(from_rows(rows))

    clean = figures(None, 0)
    assert clean["accuracy"] == clean["auc_benign_malignant"] == 1
    for name in ("fgsm", "pgd"):
        assert figures(name, 1)["accuracy"] == 1
        misled = figures(name, 8)
        assert misled["accuracy"] < 0.1
        assert misled["auc_benign_malignant"] < 0.1


def test_a_network_without_gradient_is_refused() -> None:
    exam, preprocess = sample(np.random.default_rng(0).random((SIZE, SIZE)), "benign"), Preprocess(size=SIZE)
    prepared, frame = preprocess.apply(exam.image)

    def fitted(image: Tensor) -> Outputs:
        return Outputs(class_logits=torch.zeros(1, 3))

    with pytest.raises(UsageError, match="no gradient"):
        attack("fgsm", 0.1, exam, preprocess, np.random.default_rng(0))(
            torch.from_numpy(prepared)[None, None], fitted, frame
        )


def test_the_shipped_bundle_is_rebuilt(fake: ModuleType) -> None:
    """Left as it is, the rebuilt torch network's row is the analyzer's answer, temperature included."""
    bundle = load_bundle("senoscope-us")
    network, image = network_of_bundle(bundle), fake.draw_exam((120, 140, 40, 0.1), size=(240, 300))
    row = network.row(
        sample(image, "malignant", np.zeros((240, 300), bool)), lambda values, answer, frame: values
    )
    expected = Analyzer(bundle).predict(image)
    assert expected.probabilities is not None
    found = [row[f"p_{name}"] for name in expected.classes]
    np.testing.assert_allclose(found, expected.probabilities, atol=1e-3)
    assert row["area_pred"] > 0


def test_a_bundle_of_something_else_is_refused(fake_folder: Path) -> None:
    bundle = load_bundle(fake_folder)  # its weights are no network's
    with pytest.raises(UsageError, match=r"fake-us 0\.0\.1 cannot be rebuilt"):
        network_of_bundle(bundle)
    unknown = SimpleNamespace(card=SimpleNamespace(files={}, system="toy"), title="toy 1")
    with pytest.raises(UsageError, match="attack the training run"):
        network_of_bundle(unknown)  # type: ignore[arg-type]
