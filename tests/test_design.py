"""Tests of sktie._design."""

import os
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sktie import _design
from sktie._design import Design, group_rows, sample_cells

N_COLUMNS = 4
#: Rows of each domain; the fourth domain is empty, and blocks cut the others.
SIZES = np.array([300, 1, 270, 0, 400])
N_ROWS, N_DOMAINS = SIZES.sum(), len(SIZES)

CONTAINERS = {
    "dense": np.asarray,
    "fortran": np.asfortranarray,
    "csr_array": sp.csr_array,
    "csr_matrix": sp.csr_matrix,
}
containers = pytest.mark.parametrize(
    "container", CONTAINERS.values(), ids=list(CONTAINERS.keys())
)
shuffles = pytest.mark.parametrize("shuffled", [False, True], ids=["sorted", "mixed"])
skips = pytest.mark.parametrize("skip", [None, 0, 2, N_COLUMNS - 1])
intercepts = pytest.mark.parametrize("fit_intercept", [True, False])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 128 rows and several lanes, on data of test size."""
    monkeypatch.setattr(_design, "BLOCK_BYTES", 1)
    monkeypatch.setattr(_design, "LANE_ENTRIES", 500)


def data(shuffled=False, dtype=np.float64):
    """A table with zeros, and the domain of each row."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, N_COLUMNS)) * (rng.random((N_ROWS, N_COLUMNS)) < 0.6)
    domain = np.repeat(np.arange(N_DOMAINS), SIZES)
    return X.astype(dtype), rng.permutation(domain) if shuffled else domain


def make(X, domain, container=np.asarray, **settings):
    order, bounds = group_rows(domain, N_DOMAINS)
    return Design(container(X), bounds, order=order, **settings)


def augmented(X, skip, fit_intercept):
    """The features of every row, then a one for the intercept."""
    features = X if skip is None else np.delete(X, skip, axis=1)
    return np.hstack([features, np.ones((len(X), 1))]) if fit_intercept else features


def blocks(design):
    return [block for lane in design.lanes for block in lane]


# Blocks and lanes


@containers
@shuffles
def test_lanes_cover_every_row_once_and_know_its_domain(container, shuffled):
    X, domain = data(shuffled)
    design = make(X, domain, container)
    order = np.arange(N_ROWS) if design.order is None else design.order
    places = []
    for block in blocks(design):
        at = block.start
        for part in block.segments:
            assert block.start + part.start == at
            at = block.start + part.stop
            own = order[block.start + part.start : at]
            assert len(own) > 0
            assert set(domain[own]) == {part.domain}
        assert at == block.stop
        places.extend(range(block.start, block.stop))
    assert places == list(range(N_ROWS))
    assert len(design.lanes) == design.n_lanes > 1


@shuffles
@pytest.mark.parametrize("n_outputs", [1, 4])
def test_domain_blocks_cover_every_row_once_domain_by_domain(
    shuffled, n_outputs, monkeypatch
):
    monkeypatch.setattr(_design, "PIECE_WORK", 100 * (5 * n_outputs) ** 2)
    monkeypatch.setattr(_design, "PIECE_ROWS", 1)
    design = make(*data(shuffled))
    places = []
    for domain, pieces in design.domain_blocks(n_outputs):
        for block in pieces:
            (part,) = block.segments
            assert (part.domain, part.start) == (domain, 0)
            assert part.stop == block.stop - block.start
            assert design.bounds[domain] <= block.start
            assert block.stop <= design.bounds[domain + 1]
            places.extend(range(block.start, block.stop))
    assert places == list(range(N_ROWS))
    pieces = np.array([domain for domain, _ in design.domain_blocks(n_outputs)])
    # A piece has at least 100 rows.
    assert np.bincount(pieces).tolist() == [3, 1, 2, 1, 4]


def test_few_rows_are_one_piece_however_much_work_they_are(monkeypatch):
    monkeypatch.setattr(_design, "PIECE_ROWS", 200)
    design = make(*data())
    pieces = np.array([domain for domain, _ in design.domain_blocks(1000)])
    expected = [max(1, min(size // 200, _design.MAX_LANES)) for size in SIZES]
    assert np.bincount(pieces).tolist() == expected


def test_blocks_fit_the_cache(monkeypatch):
    monkeypatch.setattr(_design, "BLOCK_BYTES", 1 << 15)
    X = np.zeros((5000, 8))
    design = Design(X, np.array([0, 5000]))
    sizes = [X[b.start : b.stop].nbytes for b in blocks(design)]
    assert max(sizes) == 1 << 15
    narrow = Design(np.zeros((5000, 1)), np.array([0, 5000]))
    assert max(b.stop - b.start for b in blocks(narrow)) == 4096
    wide = Design(np.zeros((5000, 100)), np.array([0, 5000]))
    assert max(b.stop - b.start for b in blocks(wide)) == 128


@pytest.mark.parametrize(
    ("n_rows", "expected"), [(1, 1), (124, 1), (250, 2), (999, 7), (100_000, 8)]
)
def test_lanes_grow_with_the_entries(n_rows, expected):
    design = Design(np.zeros((n_rows, 4)), np.array([0, n_rows]))
    assert design.n_lanes == expected
    assert len(design.lanes) <= expected


def test_sparse_lanes_count_stored_entries_alone():
    X = np.zeros((1000, 4))
    X[:, 0] = 1
    bounds = np.array([0, 1000])
    assert Design(sp.csr_array(X), bounds).n_lanes == 2
    assert Design(X, bounds).n_lanes == 8
    half = Design(sp.csr_array(X), np.array([0, 500]), order=np.arange(500) * 2)
    assert half.entries == 500


def test_lanes_do_not_depend_on_the_machine(monkeypatch):
    seen = []
    for cores in (1, 64):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        monkeypatch.setattr(
            os, "sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False
        )
        monkeypatch.setenv("OMP_NUM_THREADS", str(cores))
        design = make(*data())
        seen.append((design.lanes, design.domain_blocks(2)))
    assert seen[0] == seen[1]


@containers
def test_gathered_blocks_of_small_data_are_kept(container, monkeypatch):
    design = make(*data(shuffled=True), container)
    block = blocks(design)[0]
    assert design.rows(block) is design.rows(block)
    monkeypatch.setattr(_design, "KEPT_BYTES", 100)
    large = make(*data(shuffled=True), container)
    assert large.rows(block) is not large.rows(block)


# Rows and their products


@containers
@shuffles
@skips
@intercepts
def test_raw_and_accumulate_are_those_of_the_naive_loop(
    container, shuffled, skip, fit_intercept
):
    X, domain = data(shuffled)
    design = make(X, domain, container, skip=skip, fit_intercept=fit_intercept)
    table = augmented(X, skip, fit_intercept)
    assert design.n_coefs == table.shape[1]
    rng = np.random.default_rng(1)
    members = rng.normal(size=(N_DOMAINS, 3, design.n_coefs))
    residual = rng.normal(size=(N_ROWS, 3))
    expected = np.stack(
        [members[t] @ row for row, t in zip(table, domain, strict=True)]
    )
    gradient = np.zeros_like(members)
    for row, t, g in zip(table, domain, residual, strict=True):
        gradient[t] += np.outer(g, row)

    order = np.arange(N_ROWS) if design.order is None else design.order
    slopes, offsets = design.widen(members)
    into = np.zeros((N_DOMAINS, 3, N_COLUMNS))
    into_offsets = np.zeros((N_DOMAINS, 3)) if fit_intercept else None
    for block in blocks(design):
        own = order[block.start : block.stop]
        rows = design.rows(block)
        raw = design.raw(block, rows, slopes, offsets)
        assert_allclose(raw, expected[own], atol=1e-13)
        # Only the domains from `first` on have a place in a lane's gradient.
        first = block.segments[0].domain
        part = None if into_offsets is None else into_offsets[first:]
        design.accumulate(block, rows, residual[own], into[first:], part, first)
    assert_allclose(design.narrow(into, into_offsets), gradient, atol=1e-11)
    # The two are adjoint: <raw(W), g> = <W, accumulate(g)>.
    assert_allclose(np.vdot(expected, residual), np.vdot(members, gradient))


@containers
@shuffles
@skips
@intercepts
def test_dense_rows_are_features_then_ones(container, shuffled, skip, fit_intercept):
    X, domain = data(shuffled)
    design = make(X, domain, container, skip=skip, fit_intercept=fit_intercept)
    table = augmented(X, skip, fit_intercept)
    order = np.arange(N_ROWS) if design.order is None else design.order
    for block in blocks(design):
        rows = design.dense_rows(block)
        assert_array_equal(rows, table[order[block.start : block.stop]])
        assert not np.shares_memory(rows, X)
        assert rows.flags.c_contiguous


@containers
@shuffles
@skips
def test_predict_keeps_the_order_of_the_rows(container, shuffled, skip):
    X, domain = data(shuffled)
    design = make(X, domain, container, skip=skip)
    members = np.random.default_rng(1).normal(size=(N_DOMAINS, 2, design.n_coefs))
    table = augmented(X, skip, True)
    expected = np.einsum("nkp,np->nk", members[domain], table)
    assert_allclose(design.predict(members), expected, atol=1e-13)


@containers
@shuffles
def test_data_are_never_written_to(container, shuffled):
    X, domain = data(shuffled)
    design = make(X, domain, container, skip=1)
    stored = design.X.data if design.is_sparse else design.X
    before = stored.copy()
    if design.is_sparse:
        for part in (design.X.data, design.X.indices, design.X.indptr):
            part.flags.writeable = False
    else:
        design.X.flags.writeable = False
    members = np.ones((N_DOMAINS, 1, design.n_coefs))
    design.predict(members)
    for block in blocks(design):
        with pytest.raises(ValueError, match="read-only"):
            design.dense_rows(block)[:] = -1
    assert_array_equal(stored, before)


@containers
@shuffles
@pytest.mark.parametrize("kept_bytes", [0, 1 << 24])
def test_dense_rows_are_kept_where_they_are_few(
    container, shuffled, kept_bytes, monkeypatch
):
    monkeypatch.setattr(_design, "KEPT_BYTES", kept_bytes)
    X, domain = data(shuffled)
    design = make(X, domain, container, skip=1)
    for block in blocks(design):
        rows = design.dense_rows(block)
        again = design.dense_rows(block)
        assert (again is rows) == (kept_bytes > 0 and not design.is_sparse)
        assert_array_equal(again, rows)
        assert not np.shares_memory(rows, X)


def test_ordered_dense_blocks_are_views():
    X, domain = data()
    design = make(X, domain)
    assert design.order is None
    assert len(blocks(design)) > 1
    for block in blocks(design):
        rows = design.rows(block)
        assert np.shares_memory(rows, X)
        assert_array_equal(rows, X[block.start : block.stop])


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix])
def test_ordered_sparse_blocks_share_the_entries(container):
    X, domain = data()
    design = make(X, domain, container)
    assert len(blocks(design)) > 1
    for block in blocks(design):
        rows = design.rows(block)
        assert np.shares_memory(rows.data, design.X.data)
        assert np.shares_memory(rows.indices, design.X.indices)
        assert_array_equal(rows.toarray(), X[block.start : block.stop])


@containers
def test_a_block_of_all_rows_is_the_data(container):
    X, _ = data()
    whole = Design(container(X[:100]), np.array([0, 100]))
    (block,) = blocks(whole)
    rows = whole.rows(block)
    assert rows is whole.X or np.shares_memory(rows, whole.X)


@containers
def test_float32_stays_float32(container):
    X, domain = data(shuffled=True, dtype=np.float32)
    design = make(X, domain, container, skip=1)
    members = np.random.default_rng(1).normal(size=(N_DOMAINS, 2, design.n_coefs))
    slopes, offsets = design.widen(members)
    assert slopes.dtype == offsets.dtype == design.dtype == np.float32
    block = blocks(design)[0]
    assert design.raw(block, design.rows(block), slopes, offsets).dtype == np.float32
    assert design.dense_rows(block).dtype == np.float32
    assert design.predict(members).dtype == np.float32


@skips
@intercepts
def test_widen_gives_the_skipped_column_the_coefficient_zero(skip, fit_intercept):
    design = make(*data(), skip=skip, fit_intercept=fit_intercept)
    coefs = np.random.default_rng(2).normal(size=(3, 2, design.n_coefs))
    slopes, offsets = design.widen(coefs)
    assert slopes.shape == (3, 2, N_COLUMNS)
    assert (offsets is None) is not fit_intercept
    if skip is not None:
        assert_array_equal(slopes[..., skip], 0)
    assert_array_equal(design.narrow(slopes, offsets), coefs)


# Samples and groups


@containers
@shuffles
def test_sample_holds_the_rows_at_the_chosen_places(container, shuffled):
    X, domain = data(shuffled)
    design = make(X, domain, container, skip=2)
    chosen = np.sort(np.random.default_rng(1).choice(N_ROWS, 77, replace=False))
    sample = design.sample(chosen)
    order = np.arange(N_ROWS) if design.order is None else design.order
    assert (sample.n_rows, sample.skip, sample.fit_intercept) == (77, 2, True)
    table = augmented(X, 2, True)[order[chosen]]
    assert_array_equal(np.vstack([sample.dense_rows(b) for b in blocks(sample)]), table)
    for block in blocks(sample):
        for part in block.segments:
            own = order[chosen[block.start + part.start : block.start + part.stop]]
            assert set(domain[own]) == {part.domain}


@pytest.mark.parametrize("pattern", ["random", "every 32nd", "sorted", "rare"])
def test_sampled_cells_keep_their_weight_whatever_the_order(pattern):
    place = np.arange(20_000)
    cell = {
        "random": np.random.default_rng(0).integers(3, size=20_000),
        "every 32nd": (place % 32 == 0) * 2,
        "sorted": place // 7_000,
        "rare": (place == 4_321) + 2 * (place % 1_000 == 7),
    }[pattern]
    chosen, stands_for = sample_cells(cell, 4, 32)
    assert np.all(np.diff(chosen) > 0)
    size = np.bincount(cell, minlength=4)
    kept = np.bincount(cell[chosen], minlength=4)
    weight = np.bincount(cell[chosen], weights=stands_for, minlength=4)
    assert_allclose(weight, size, rtol=1e-12)
    assert np.all(kept >= np.minimum(size, 20))
    assert len(chosen) <= 20_000 / 32 + 20 * 32 * 4
    again, _ = sample_cells(cell, 4, 32)
    assert_array_equal(again, chosen)


@given(
    index=st.lists(st.integers(0, 4), min_size=1, max_size=30).map(np.array),
    spare=st.integers(0, 2),
)
def test_group_rows_brings_groups_together_and_keeps_their_order(index, spare):
    n_groups = 5 + spare
    order, bounds = group_rows(index, n_groups)
    assert len(bounds) == n_groups + 1
    if np.all(np.diff(index) >= 0):
        assert order is None
        order = np.arange(len(index))
    assert order is not None
    for group, (a, b) in enumerate(pairwise(bounds)):
        assert order[a:b].tolist() == np.flatnonzero(index == group).tolist()
