"""Packed arrays come back as they went in, to single precision, and notice damage."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hibana.documents.arrays import PackedArray, pack, unpack


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=4, max_side=4), elements=st.floats(-1e6, 1e6)))
def test_round_trip_to_single_precision(array):
    back = unpack(pack(array))
    assert back.shape == array.shape
    np.testing.assert_allclose(back, array, rtol=2**-23, atol=1e-38)


@given(hnp.arrays(np.int64, hnp.array_shapes(max_dims=2), elements=st.integers(-(2**31), 2**31 - 1)))
def test_integers_stay_exact(array):
    np.testing.assert_array_equal(unpack(pack(array)), array)


def test_same_content_same_key_and_shape_matters():
    array = np.arange(6.0)
    assert pack(array).ref == pack(array.astype(np.float32)).ref
    assert pack(array).ref != pack(array.reshape(2, 3)).ref


def test_damage_is_noticed():
    packed = pack(np.arange(6.0))
    other = zlib.compress(np.ones(6, "<f4").tobytes())
    with pytest.raises(ValueError, match="damaged"):
        unpack(PackedArray(packed.ref, other))
    for data in (b"", packed.data[:-4], b"x" + packed.data):
        with pytest.raises(ValueError, match="damaged"):
            unpack(PackedArray(packed.ref, data))


def test_text_is_refused():
    with pytest.raises(TypeError):
        pack(np.array(["a"]))
