"""The support vector machine as tensors gives what scikit-learn gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from senoscope.models.blocks.svm import LinearSVM


def blobs(count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features N×5 on scales from 0.1 to 1000, noisily apart by class, and labels."""
    generator = np.random.default_rng(5)
    labels = np.arange(count) % classes
    features = generator.normal(size=(count, 5))
    features[:, :classes] += 1.5 * np.eye(classes)[labels]
    return (features * [0.1, 1, 10, 100, 1000]).astype(np.float32), labels


def reference(features: np.ndarray, labels: np.ndarray) -> tuple[StandardScaler, CalibratedClassifierCV]:
    scaler = StandardScaler().fit(features)
    machine = CalibratedClassifierCV(LinearSVC(max_iter=10_000, random_state=0), ensemble=False, cv=5)
    return scaler, machine.fit(scaler.transform(features), labels)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_probabilities_are_scikit_learns(classes: int) -> None:
    features, labels = blobs(120, classes)
    svm = LinearSVM(5, classes)
    svm.fit(features, labels, seed=0)
    scaler, machine = reference(features, labels)
    wanted = machine.predict_proba(scaler.transform(features))
    found = svm(torch.from_numpy(features)).softmax(1).numpy()
    assert np.ptp(wanted) > 0.5, "machines that decide"
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_decision_values_are_scikit_learns() -> None:
    features, labels = blobs(120, 3)
    svm = LinearSVM(5, 3)
    svm.fit(features, labels, seed=0)
    scaler = StandardScaler().fit(features)
    machine = LinearSVC(max_iter=10_000, random_state=0).fit(scaler.transform(features), labels)
    wanted = machine.decision_function(scaler.transform(features))
    np.testing.assert_allclose(svm.decision(torch.from_numpy(features)).numpy(), wanted, atol=1e-4)


def test_a_class_that_never_occurs_gets_no_probability() -> None:
    features, labels = blobs(80, 2)
    labels = labels * 2
    svm = LinearSVM(5, 3)
    svm.fit(features, labels, seed=0)
    scaler, machine = reference(features, labels)
    found = svm(torch.from_numpy(features)).softmax(1).numpy()
    assert found[:, 1].max() < 1e-6
    np.testing.assert_allclose(found[:, [0, 2]], machine.predict_proba(scaler.transform(features)), atol=1e-5)


def test_fitting_undoes_an_earlier_shift() -> None:
    features, labels = blobs(60, 3)
    svm = LinearSVM(5, 3)
    svm.fit(features, labels, seed=0)
    before = svm(torch.from_numpy(features))
    svm.shift += 2
    svm.fit(features, labels, seed=0)
    torch.testing.assert_close(svm(torch.from_numpy(features)), before)
