"""The little linear algebra that figures need: symmetric systems of at most some hundred unknowns. Plain Python.

The web server does without numpy, and a campaign compares a dozen policies.
"""

from __future__ import annotations

from collections.abc import Sequence

Vector = list[float]
Matrix = list[list[float]]


def cholesky(matrix: Sequence[Sequence[float]]) -> Matrix:
    """Return lower triangular L with L Lᵀ = `matrix`; raises ValueError when it is not positive definite."""
    size = len(matrix)
    lower: Matrix = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j] - sum(a * b for a, b in zip(lower[i][:j], lower[j][:j], strict=True))
            if i == j:
                if rest <= 0:
                    raise ValueError("The matrix is not positive definite.")
                lower[i][i] = rest**0.5
            else:
                lower[i][j] = rest / lower[j][j]
    return lower


def solve(lower: Matrix, right: Sequence[float]) -> Vector:
    """Return x with L Lᵀ x = `right`."""
    size = len(lower)
    forward: Vector = []
    for i in range(size):
        forward.append((right[i] - sum(a * b for a, b in zip(lower[i], forward, strict=False))) / lower[i][i])
    result = [0.0] * size
    for i in reversed(range(size)):
        rest = forward[i] - sum(lower[k][i] * result[k] for k in range(i + 1, size))
        result[i] = rest / lower[i][i]
    return result


def inverse(matrix: Sequence[Sequence[float]]) -> Matrix:
    """Return the inverse of a symmetric positive definite matrix; raises ValueError for others."""
    lower = cholesky(matrix)
    size = len(lower)
    columns = [solve(lower, [float(i == j) for i in range(size)]) for j in range(size)]
    return [[columns[j][i] for j in range(size)] for i in range(size)]


def times(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> Vector:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]
