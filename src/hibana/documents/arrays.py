"""Arrays packed apart from their documents: float32, zlib, addressed by the hash of their content."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


class ArrayRef(BaseModel):
    """Where a packed array is found and what it looks like; this stands in the document."""

    model_config = ConfigDict(frozen=True)

    sha256: str = Field(description="Hash of dtype, shape and uncompressed bytes: the array's key in the store.")
    dtype: str = Field(description="numpy dtype of the packed numbers, little-endian.")
    shape: tuple[int, ...] = Field(description="Shape.")


@dataclass(frozen=True)
class PackedArray:
    """A reference with the compressed bytes it names."""

    ref: ArrayRef
    data: bytes


def pack(array: NDArray[np.generic]) -> PackedArray:
    """Pack an array: floats become float32, integers int32.

    Parameters
    ----------
    array
        Any shape; float or integer.

    Raises
    ------
    TypeError
        If the array holds neither floats nor integers.
    """
    if np.issubdtype(array.dtype, np.floating):
        dtype = "<f4"
    elif np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_:
        dtype = "<i4"
    else:
        raise TypeError(f"an array of {array.dtype} cannot be packed")
    raw = np.ascontiguousarray(array, dtype=dtype).tobytes()
    digest = hashlib.sha256(f"{dtype}{tuple(array.shape)}".encode() + raw).hexdigest()
    return PackedArray(ArrayRef(sha256=digest, dtype=dtype, shape=tuple(array.shape)), zlib.compress(raw, 6))


def unpack(packed: PackedArray) -> NDArray[np.generic]:
    """The array again; checks the hash.

    Raises
    ------
    ValueError
        If the bytes are not those the reference names.
    """
    ref = packed.ref
    try:
        raw = zlib.decompress(packed.data)
    except zlib.error as error:
        raise ValueError(f"array {ref.sha256[:12]} is damaged: {error}") from error
    if hashlib.sha256(f"{ref.dtype}{tuple(ref.shape)}".encode() + raw).hexdigest() != ref.sha256:
        raise ValueError(f"array {ref.sha256[:12]} is damaged: its content has another hash")
    return np.frombuffer(raw, dtype=ref.dtype).reshape(ref.shape)
