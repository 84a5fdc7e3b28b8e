"""Losses as slow loops, written from each paper's formula."""

import math
from itertools import product

import torch


def unit(vectors: list[list[float]]) -> list[list[float]]:
    return [[value / math.sqrt(sum(v * v for v in vector)) for value in vector] for vector in vectors]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other))


def distances(features: torch.Tensor, normalize: bool, p: float = 2) -> list[list[float]]:
    vectors = unit(features.tolist()) if normalize else features.tolist()
    return [[sum(abs(a - b) ** p for a, b in zip(one, other)) ** (1 / p) for other in vectors] for one in vectors]


def triplets(labels: list[int]) -> list[tuple[int, int, int]]:
    places = range(len(labels))
    return [(a, p, n) for a, p, n in product(places, places, places)
            if a != p and labels[a] == labels[p] and labels[a] != labels[n]]


def mean_of_positive(values: list[float]) -> float:
    positive = [value for value in values if value > 0]
    assert positive, "a batch with nothing to learn proves nothing"
    return sum(positive) / len(positive)


def slow_semi_hard(features: torch.Tensor, labels: list[int], margin: float, normalize: bool, p: float = 2) -> float:
    """Schroff et al. (2015), section 3.2: negatives farther than the positive, but within the margin."""
    d = distances(features, normalize, p)
    return mean_of_positive([margin + d[a][p] - d[a][n] for a, p, n in triplets(labels)
                             if d[a][p] < d[a][n] < d[a][p] + margin])


def slow_batch_hard(features: torch.Tensor, labels: list[int], margin: float, normalize: bool, p: float = 2) -> list[float]:
    """Hermans et al. (2017), equation 5, anchor by anchor: its farthest positive and nearest negative."""
    d = distances(features, normalize, p)
    values = []
    for a, label in enumerate(labels):
        positives = [d[a][p] for p in range(len(labels)) if labels[p] == label and p != a]
        negatives = [d[a][n] for n in range(len(labels)) if labels[n] != label]
        if positives and negatives:
            values.append(max(0, margin + max(positives) - min(negatives)))
    return values


def slow_supcon(features: torch.Tensor, labels: list[int], temperature: float) -> float:
    """Khosla et al. (2020), equation 2 (L_out), averaged over the anchors that have a positive."""
    z = unit(features.tolist())
    similarity = [[dot(one, other) / temperature for other in z] for one in z]
    values = []
    for i, label in enumerate(labels):
        others = [a for a in range(len(labels)) if a != i]
        positives = [p for p in others if labels[p] == label]
        if positives:
            denominator = sum(math.exp(similarity[i][a]) for a in others)
            values.append(-sum(math.log(math.exp(similarity[i][p]) / denominator) for p in positives) / len(positives))
    return sum(values) / len(values)


def slow_arcface(features: torch.Tensor, labels: list[int], proxies: list[list[float]], margin: float,
                 scale: float) -> tuple[float, int]:
    """Deng et al. (2019), equation 3, and how many angles are so wide that the authors' straight line takes over."""
    m, total, n_beyond = math.radians(margin), 0.0, 0
    for x, label in zip(unit(features.tolist()), labels):
        angles = [math.acos(dot(x, proxy)) for proxy in proxies]
        is_beyond = angles[label] > math.pi - m
        own = math.cos(angles[label]) - m * math.sin(m) if is_beyond else math.cos(angles[label] + m)
        others = sum(math.exp(scale * math.cos(angle)) for k, angle in enumerate(angles) if k != label)
        total -= math.log(math.exp(scale * own) / (math.exp(scale * own) + others))
        n_beyond += is_beyond
    return total / len(labels), n_beyond


def slow_multi_similarity(features: torch.Tensor, labels: list[int], alpha: float, beta: float, base: float,
                          epsilon: float) -> float:
    """Wang et al. (2019), equations 7, 8 and 10."""
    z = unit(features.tolist())
    total = 0.0
    for i, label in enumerate(labels):
        positives = [dot(z[i], z[k]) for k in range(len(z)) if labels[k] == label and k != i]
        negatives = [dot(z[i], z[k]) for k in range(len(z)) if labels[k] != label]
        pulled = [s for s in positives if s < max(negatives) + epsilon]
        pushed = [s for s in negatives if positives and s > min(positives) - epsilon]
        total += math.log(1 + sum(math.exp(-alpha * (s - base)) for s in pulled)) / alpha
        total += math.log(1 + sum(math.exp(beta * (s - base)) for s in pushed)) / beta
    return total / len(labels)


def slow_proxy_anchor(features: torch.Tensor, labels: list[int], proxies: list[list[float]], margin: float,
                      alpha: float) -> float:
    """Kim et al. (2020), equation 4."""
    z = unit(features.tolist())
    pulling, pushing = [], []
    for k, proxy in enumerate(proxies):
        own = [math.exp(-alpha * (dot(x, proxy) - margin)) for x, label in zip(z, labels) if label == k]
        others = [math.exp(alpha * (dot(x, proxy) + margin)) for x, label in zip(z, labels) if label != k]
        if own:
            pulling.append(math.log(1 + sum(own)))
        pushing.append(math.log(1 + sum(others)))
    return sum(pulling) / len(pulling) + sum(pushing) / len(pushing)


def slow_sincere(features: torch.Tensor, labels: list[int], temperature: float) -> float:
    """Feeney & Hughes (2023), arXiv:2309.14277: one positive against the negatives, averaged over the anchors
    that have a positive."""
    z = unit(features.tolist())
    share = [[math.exp(dot(one, other) / temperature) for other in z] for one in z]
    values = []
    for i, label in enumerate(labels):
        positives = [p for p in range(len(labels)) if labels[p] == label and p != i]
        negatives = sum(share[i][n] for n in range(len(labels)) if labels[n] != label)
        if positives:
            values.append(-sum(math.log(share[i][p] / (share[i][p] + negatives)) for p in positives) / len(positives))
    return sum(values) / len(values)


def slow_subcenter_arcface(features: torch.Tensor, labels: list[int], centers: list[list[list[float]]], margin: float,
                           scale: float) -> float:
    """Deng et al. (2020): ArcFace with each class's nearest sub-centre; `centers` by class."""
    total = 0.0
    for row, label in zip(features, labels):
        [x] = unit([row.tolist()])
        nearest = [max(of_class, key=lambda center: dot(x, center)) for of_class in centers]
        total += slow_arcface(row[None], [label], nearest, margin, scale)[0]
    return total / len(labels)


def slow_circle(features: torch.Tensor, labels: list[int], margin: float, scale: float) -> float:
    """Sun et al. (2020), with one margin for the optima and the borders, averaged over the anchors that have a positive."""
    z = unit(features.tolist())
    values = []
    for i, label in enumerate(labels):
        positives = [dot(z[i], z[k]) for k in range(len(z)) if labels[k] == label and k != i]
        negatives = [dot(z[i], z[k]) for k in range(len(z)) if labels[k] != label]
        if positives:
            of_negatives = sum(math.exp(scale * max(0, s + margin) * (s - margin)) for s in negatives)
            of_positives = sum(math.exp(-scale * max(0, 1 + margin - s) * (s - 1 + margin)) for s in positives)
            values.append(math.log(1 + of_negatives * of_positives))
    return sum(values) / len(values)


def slow_memory(batches: list[tuple[torch.Tensor, list[int]]], size: int, loss: str, value: float) -> float:
    """Wang et al. (2020), algorithm 1, of the last batch: compared with the newest `size` embeddings, or with itself alone
    where it is larger; `value` is the margin of contrastive or the temperature of supcon."""
    own, labels = unit(batches[-1][0].tolist()), batches[-1][1]
    older = [(x, label) for features, of in batches[:-1] for x, label in zip(unit(features.tolist()), of)]
    n_older = max(0, size - len(own))
    memory = [*(older[-n_older:] if n_older else []), *zip(own, labels)]
    attracted, repelled, values = [], [], []
    for i, (x, label) in enumerate(zip(own, labels)):
        others = [(dot(x, y), of) for place, (y, of) in enumerate(memory) if place != len(memory) - len(own) + i]
        positives = [s for s, of in others if of == label]
        attracted += [1 - s for s in positives]
        repelled += [s - value for s, of in others if of != label and s > value]
        if loss == "supcon" and positives:
            everyone = sum(math.exp(s / value) for s, _ in others)
            values.append(-sum(math.log(math.exp(s / value) / everyone) for s in positives) / len(positives))
    if loss == "supcon":
        return sum(values) / len(values)
    return sum(attracted) / len(attracted) + (sum(repelled) / len(repelled) if repelled else 0.0)
