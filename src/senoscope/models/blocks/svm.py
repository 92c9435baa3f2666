"""A linear support vector machine with probabilities, as tensors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


class LinearSVM(nn.Module):
    """One linear machine per class against the rest (Cortes & Vapnik 1995) on standardised features.

    A class's decision value becomes its probability by Platt's sigmoid (Platt 1999), fitted to decision values of
    cross-validation; the probabilities are then made to sum to 1. The logits are the logarithms of Platt's
    probabilities, so their softmax is just that.
    """

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor
    slope: Tensor
    offset: Tensor
    shift: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("weight", torch.zeros(classes, features))
        self.register_buffer("bias", torch.zeros(classes))
        self.register_buffer("slope", torch.ones(classes))
        self.register_buffer("offset", torch.zeros(classes))
        self.register_buffer("shift", torch.zeros(classes))

    def decision(self, features: Tensor) -> Tensor:
        """Features N×F to each machine's decision value N×C, positive where it says yes."""
        return functional.linear((features - self.mean) / self.std, self.weight, self.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features N×F to class logits N×C."""
        return functional.logsigmoid(self.slope * self.decision(features) + self.offset) + self.shift

    @torch.no_grad()
    def fit(
        self, features: NDArray[np.float32], labels: NDArray[np.int64], seed: int, penalty: float = 1.0
    ) -> None:
        """Fit to features N×F and labels N, of which every class that occurs has at least two.

        A class that does not occur is answered with a probability of next to nothing.
        """
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import LinearSVC

        scaler = StandardScaler().fit(features)
        machine = LinearSVC(C=penalty, max_iter=10_000, random_state=seed)
        parts = int(min(5, np.unique(labels, return_counts=True)[1].min()))
        platt = CalibratedClassifierCV(machine, ensemble=False, cv=parts)
        platt.fit(scaler.transform(features), labels)
        (fitted,) = platt.calibrated_classifiers_
        weight, bias = fitted.estimator.coef_, fitted.estimator.intercept_
        slope = np.array([-sigmoid.a_ for sigmoid in fitted.calibrators])
        offset = np.array([-sigmoid.b_ for sigmoid in fitted.calibrators])
        if len(weight) == 1:  # of two classes scikit-learn keeps the second's machine only
            weight, bias = np.concatenate([-weight, weight]), np.concatenate([-bias, bias])
            slope, offset = slope.repeat(2), np.concatenate([-offset, offset])
        self.mean.copy_(torch.from_numpy(scaler.mean_))
        self.std.copy_(torch.from_numpy(scaler.scale_))
        for buffer, rest in ((self.weight, 0.0), (self.bias, 0.0), (self.slope, 0.0), (self.offset, -20.0)):
            buffer.fill_(rest)
        self.shift.zero_()
        pairs = ((self.weight, weight), (self.bias, bias), (self.slope, slope), (self.offset, offset))
        for buffer, values in pairs:
            buffer[torch.from_numpy(platt.classes_).to(buffer.device)] = torch.as_tensor(values).to(buffer)
