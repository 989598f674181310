"""What the data leave open about tied members: covariances, in one Gaussian model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from sktie._linalg import EPS, in_parts, inverse_factors, loose_and_firm
from sktie._typing import FloatArray, IntArray


class Posterior:
    r"""Inverse of the Hessian of tied members, block by block.

    The Hessian is that of ``sum_t f_t(w_t)``, with Hessians ``H_t``, plus the tie::

        1/2 sum_t |w_t - mean|_D^2 + 1/2 |mean|_d^2     (members tied to their mean)
        1/2 sum_t |w_t - fixed|_D^2                     (members tied to a fixed point)

    Its inverse is the covariance of the Laplace approximation.

    Parameters
    ----------
    hessians : array of shape (n_members, n, n)
        ``H_t``, everything that acts on one member alone included, such as decay.
    scale, weight : array of shape (n,)
        The coordinates of the tie, ``D = weight / scale^2``: 0 and inf are legal.
    free_hub : bool
        Whether the members are tied to their mean.
    mean_decay : array of shape (n,)
        ``d``.
    apply : callable
        ``apply(function, items)``, a map.

    Notes
    -----
    With ``B_t = (H_t + D)^-1`` and ``R_t = B_t D``, the part of the mean that member t
    takes over, the mean as an unknown of its own gives::

        cov(w_s, w_t) = [s = t] B_t + R_s S^-1 R_t',    S = sum_t H_t R_t

    A column of R and S is computed from the side on which it keeps its digits, and
    divided by D where that may be 0 (both have it as a factor, which cancels). The
    decay of the mean is the same as ``d / n_members`` more decay of every member and
    that much less tie.
    """

    def __init__(
        self,
        hessians: FloatArray,
        scale: FloatArray,
        weight: FloatArray,
        free_hub: bool,
        mean_decay: FloatArray,
        apply: Callable[..., Any],
    ) -> None:
        self.n_members, self.size = hessians.shape[:2]
        self.free_hub = free_hub
        share = mean_decay / self.n_members if free_hub else np.zeros_like(mean_decay)
        self.hessians = hessians
        self._scale, self._weight = scale, weight
        self._share = share
        self._pull = weight - np.square(scale) * share
        self._moving = np.flatnonzero(scale)
        self._loose: IntArray = np.empty(0, np.intp)
        self._firm: IntArray = np.empty(0, np.intp)
        if free_hub:
            self._loose, self._firm = loose_and_firm(hessians, scale, weight, share)
        parts = list(apply(self._eliminate, in_parts(hessians)))
        #: ``B_t``, each member's covariance given what it is tied to.
        self.own: FloatArray = np.concatenate([own for own, _ in parts])
        self._log_dets = np.concatenate([log_dets for _, log_dets in parts])

    def _eliminate(self, hessians: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return B of some members and log |scale H scale + weight|, where it moves."""
        moving = self._moving
        scale = self._scale[moving]
        every = moving[:, np.newaxis], moving
        all_move = len(moving) == hessians.shape[1]
        systems = hessians if all_move else hessians[:, *every]
        systems = scale[:, np.newaxis] * systems * scale
        np.einsum("tii->ti", systems)[:] += self._weight[moving]
        halves, diagonals = inverse_factors(systems)
        halves = halves * scale
        own = np.swapaxes(halves, 1, 2) @ halves
        if not all_move:
            own, found = np.zeros_like(hessians), own
            own[:, *every] = found
        return own, 2.0 * np.log(diagonals).sum(axis=1)

    @cached_property
    def _columns(self) -> tuple[FloatArray, FloatArray]:
        """Return R with loose columns divided by D, and that divisor."""
        loose, firm = self._loose, self._firm
        divisor = np.ones(self.size)
        divisor[loose] = self._pull[loose] / np.square(self._scale[loose])
        taken = np.empty_like(self.own)
        taken[:, :, loose] = self.own[:, :, loose]
        if len(firm):
            pulled = self.hessians[:, :, firm]
            pulled[:, firm, np.arange(len(firm))] += self._share[firm]
            taken[:, :, firm] = -(self.own @ pulled)
            taken[:, firm, firm] += 1.0
        return taken, divisor

    @cached_property
    def _coupling(self) -> FloatArray:
        """Return S, its columns divided as those of R are."""
        taken, _ = self._columns
        found = (self.hessians @ taken).sum(axis=0)
        found += self._share[:, np.newaxis] * taken.sum(axis=0)
        return np.asarray(found)

    @cached_property
    def _borrowing(self) -> FloatArray:
        """Return ``R_t S^-1`` for every member."""
        taken, _ = self._columns
        # Rows carry the units of the Hessian: equilibrated before they are solved.
        system = self._coupling.T
        scale = 1.0 / np.maximum(np.abs(system).max(axis=0), np.finfo(float).tiny)
        flat = taken.reshape(-1, self.size)
        solved = np.linalg.solve(system * scale, flat.T).T * scale
        return np.asarray(solved.reshape(taken.shape))

    @cached_property
    def following(self) -> FloatArray:
        """``R_t``: how far each member follows the mean, (n_members, n, n)."""
        taken, divisor = self._columns
        return np.asarray(taken * divisor)

    @property
    def is_sound(self) -> bool:
        """Whether rows and penalties determine all parameters.

        A variance times the curvature in that one parameter is at most the condition
        of the features: beyond 1 / `EPS` the rows say nothing.
        """
        try:
            covariances = self.covariances
        except np.linalg.LinAlgError:  # singular to the last digit
            return False
        inflation = np.einsum("tii->ti", covariances) * np.einsum(
            "tii->ti", self.hessians
        )
        return bool((inflation >= 0).all() and inflation.max(initial=0.0) < 1e-2 / EPS)

    @cached_property
    def covariances(self) -> FloatArray:
        """Covariance of every member, (n_members, n, n)."""
        if not self.free_hub:
            return self.own
        found = self.own + self._borrowing @ np.swapaxes(self.following, 1, 2)
        return np.asarray(0.5 * (found + np.swapaxes(found, 1, 2)))

    @cached_property
    def mean_covariance(self) -> FloatArray:
        """Covariance of the members' mean, (n, n)."""
        total = self.own.sum(axis=0)
        if self.free_hub:
            total = total + self._borrowing.sum(axis=0) @ self.following.sum(axis=0).T
        total /= self.n_members**2
        return np.asarray(0.5 * (total + total.T))

    def sandwich(self, meat: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``K^-1 M K^-1`` of every member and of the mean, K the Hessian.

        Parameters
        ----------
        meat : array of shape (n_members, n, n)
            Blocks of M, which has no others: what varies in one member's loss is
            independent of what does in another's.

        Returns
        -------
        members : ndarray of shape (n_members, n, n)
            Diagonal blocks of the sandwich.
        mean : ndarray of shape (n, n)
            That of the members' mean.
        """
        members, reach = self.covariances @ meat @ self.covariances, self.own
        if self.free_hub:
            following = np.swapaxes(self.following, 1, 2)
            said = following @ meat @ self.following
            others = said.sum(axis=0) - said
            members += self._borrowing @ others @ np.swapaxes(self._borrowing, 1, 2)
            reach = reach + self._borrowing.sum(axis=0) @ following
        mean = (reach @ meat @ np.swapaxes(reach, 1, 2)).sum(axis=0)
        mean /= self.n_members**2
        members = 0.5 * (members + np.swapaxes(members, 1, 2))
        return np.asarray(members), np.asarray(0.5 * (mean + mean.T))

    def apply(self, vectors: FloatArray) -> FloatArray:
        """Return the inverse Hessian times vectors, (..., n_members, n)."""
        found = np.einsum("tij,...tj->...ti", self.own, vectors, optimize=True)
        if self.free_hub:
            shared = np.einsum(
                "tji,...tj->...i", self.following, vectors, optimize=True
            )
            found += np.einsum(
                "tij,...j->...ti", self._borrowing, shared, optimize=True
            )
        return np.asarray(found)

    def shares(self, data: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return how much of each estimate is its own data and how much others'.

        Near the minimum the estimate of a member is a weighted mean, with matrices for
        weights, of what the data of each member say, of the fixed point and of the
        zero of the decay. Shares are mean diagonal elements of these weights.

        Parameters
        ----------
        data : array of shape (n_members, n, n)
            Hessians of the losses alone.

        Returns
        -------
        own, others : ndarrays of shape (n_members,)
            Shares in [0, 1]; what is left is that of fixed point and decay.
        """
        own = np.einsum("tij,tji->t", self.covariances, data)
        total = np.einsum("tij,tji->t", self.own, data)
        if self.free_hub:
            said = np.einsum("tji,tjk->ik", self.following, data, optimize=True)
            total = total + np.einsum("tij,ji->t", self._borrowing, said)
        return own / self.size, (total - own) / self.size

    @property
    def log_det(self) -> float:
        """Log-determinant of the Hessian but for terms of the tie alone.

        These are the same for every ``H_t``: see `log_det_of_prior`.
        """
        total = float(self._log_dets.sum())
        if self.free_hub:
            total += float(np.linalg.slogdet(self._coupling)[1])
        return total

    def log_det_of_prior(
        self, decay: FloatArray, alone: FloatArray | None = None
    ) -> float:
        """Return `log_det` for the penalties alone, what is flat left out.

        Parameters
        ----------
        decay : array of shape (n,)
            Decay of every member. Where it and ``mean_decay`` are 0, the prior of the
            mean, or of the member tied to a fixed point, is flat: of density 1.
        alone : array of shape (n, n), optional
            Hessian of what acts on every member alone, decay included, where this is
            no diagonal. What is in it alone must then be held: nothing of it is flat.
        """
        if alone is not None:
            return self._log_det_of_dense_prior(decay, alone)
        scale, weight = self._scale, self._weight
        own = np.square(scale) * decay + weight
        moving = np.zeros(self.size, dtype=bool)
        moving[self._moving] = True
        with np.errstate(divide="ignore"):
            log_own = np.where(moving, np.log(own), 0.0)
        if not self.free_hub:
            flat = moving & (own == 0)
            return float(self.n_members * log_own[~flat].sum())
        # S is sum_t H R with H = decay + share, a column of R divided as in `_columns`.
        member = decay + self._share
        member = np.where(member > 0, member, 1.0)
        loose = np.zeros(self.size, dtype=bool)
        loose[self._loose] = True
        with np.errstate(divide="ignore", invalid="ignore"):
            divided = np.where(loose, np.square(scale) / own, self._pull / own)
            divided = np.where(moving, divided, 1.0)
            log_coupling = np.log(self.n_members * member * divided)
        return float(self.n_members * log_own.sum() + log_coupling.sum())

    def _log_det_of_dense_prior(self, decay: FloatArray, alone: FloatArray) -> float:
        """Return `log_det_of_prior` of what meets, plus that of what stands alone."""
        meets = alone.diagonal() + self._share > 0
        total = 0.0
        for places in (np.flatnonzero(meets), np.flatnonzero(~meets)):
            if not len(places):
                continue
            own = alone[np.ix_(places, places)]
            part = Posterior(
                np.broadcast_to(own, (self.n_members, *own.shape)),
                self._scale[places],
                self._weight[places],
                self.free_hub,
                (self.n_members * self._share)[places],
                map,
            )
            # Terms of the tie alone are left out as `log_det` leaves them out.
            part._loose = np.flatnonzero(np.isin(places, self._loose))
            part._firm = np.flatnonzero(np.isin(places, self._firm))
            if meets[places[0]]:
                total += part.log_det
            else:
                total += part.log_det_of_prior(decay[places])
        return total


def spread(rows: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the covariance of the raw predictions of rows.

    Parameters
    ----------
    rows : array of shape (n_rows, n_coefs)
        Rows, the one of the intercept included.
    covariance : array of shape (n_outputs, n_coefs, n_outputs, n_coefs)
        Covariance of the parameters.

    Returns
    -------
    ndarray of shape (n_rows, n_outputs, n_outputs)
        ``x' covariance x`` for each pair of outputs.
    """
    n_outputs = len(covariance)
    out = np.empty((len(rows), n_outputs, n_outputs))
    for k in range(n_outputs):
        for j in range(k + 1):
            taken = rows @ covariance[k, :, j]
            out[:, k, j] = out[:, j, k] = np.einsum("ij,ij->i", taken, rows)
    return out
