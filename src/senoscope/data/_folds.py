"""Clusters that must stay together, and their fair distribution over folds."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def components(keys: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """Indices that share a key, directly or through others; an item without keys stands alone."""
    numbers: dict[Hashable, int] = {}
    edges = [(i, numbers.setdefault(key, len(numbers))) for i, own in enumerate(keys) for key in own]
    n = len(keys)
    rows, columns = (np.array([edge[k] for edge in edges], dtype=np.intp) for k in (0, 1))
    size = n + len(numbers)
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (rows, columns + n)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][:n]
    clusters: dict[int, list[int]] = {}
    for i, label in enumerate(labels):
        clusters.setdefault(int(label), []).append(i)
    return list(clusters.values())


def assign(
    clusters: Sequence[Sequence[int]], labels: Sequence[str], shares: Sequence[float], seed: Sequence[int]
) -> list[int]:
    """The fold (0-based) of each item: largest cluster first, each to where it keeps the classes most even.

    ``shares`` are the folds' wanted parts of the whole. The choice minimises the sum over classes and folds of
    count² / (share × class total), which is least when every fold holds its share of every class.
    """
    kinds = sorted(set(labels))
    counts = np.array([[sum(labels[i] == kind for i in cluster) for kind in kinds] for cluster in clusters])
    wanted = np.outer(shares, counts.sum(axis=0))
    held = np.zeros_like(wanted)
    fold_of = [0] * len(labels)
    shuffled = np.random.default_rng(list(seed)).permutation(len(clusters))
    for c in sorted(shuffled, key=lambda c: -len(clusters[c])):
        growth = ((2 * held + counts[c]) * counts[c] / wanted).sum(axis=1)
        # Equal growth is common at first; the emptier fold wins, then the lower number.
        fold = int(np.lexsort((held.sum(axis=1) / shares, growth.round(9)))[0])
        held[fold] += counts[c]
        for i in clusters[c]:
            fold_of[i] = fold
    return fold_of
