"""Largest-Triangle-Three-Buckets. In: many points. Out: a few of them that look the same. Pure; makes none up.

S. Steinarsson, "Downsampling Time Series for Visual Representation", University of Iceland, 2013, section 4.2.
"""

import numpy as np
from numpy.typing import NDArray

LEAST_POINTS = 3


def thin(times: NDArray[np.int64], values: NDArray[np.float64], points: int) -> NDArray[np.intp]:
    """Return the ascending positions of `points` of the points (all, if there are no more), the ends among them.

    Times ascend. Raises ValueError for fewer than three points.
    """
    if points < LEAST_POINTS:
        raise ValueError(f"{points} points are too few")
    count = len(times)
    if count <= points:
        return np.arange(count)
    x = (times - times[0]).astype(np.float64)
    y = _scaled(values)
    edges = np.linspace(1, count - 1, points - 1).astype(np.intp)  # of points - 2 buckets between the ends
    sizes = np.diff(edges)
    centre_x = np.append(np.add.reduceat(x[:-1], edges[:-1]) / sizes, x[-1])
    centre_y = np.append(np.add.reduceat(y[:-1], edges[:-1]) / sizes, y[-1])
    return _largest(x, y, edges, centre_x, centre_y)


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep areas finite: the largest triangle stays the largest whatever the unit of an axis."""
    largest = float(np.abs(values).max())
    return values / largest if largest > 0 else values


def _largest(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    edges: NDArray[np.intp],
    centre_x: NDArray[np.float64],
    centre_y: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Of each bucket pick the point that spans the largest triangle with the one picked before and the next centre."""
    picked = np.empty(len(edges) + 1, np.intp)
    picked[0] = at = 0
    ends = edges.tolist()
    for bucket in range(len(ends) - 1):
        start, end = ends[bucket], ends[bucket + 1]
        ax, ay = x[at], y[at]
        dx, dy = ax - centre_x[bucket + 1], centre_y[bucket + 1] - ay
        areas = np.abs(dx * (y[start:end] - ay) - (ax - x[start:end]) * dy)
        picked[bucket + 1] = at = start + int(areas.argmax())
    picked[-1] = len(x) - 1
    return picked
