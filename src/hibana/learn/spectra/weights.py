"""Named tensors as one file in the format of safetensors: a JSON header and raw numbers, nothing that could be executed.

https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

HEAD = struct.Struct("<Q")
METADATA = "__metadata__"
TYPES = {"F32": (np.dtype("<f4"), torch.float32), "F64": (np.dtype("<f8"), torch.float64), "I64": (np.dtype("<i8"), torch.int64)}
NAMES = {kind: name for name, (_, kind) in TYPES.items()}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors; the file is there as a whole or not at all.

    Parameters
    ----------
    path
        The file; replaced where it exists.
    tensors
        Of single or double precision, or 64-bit integers.
    metadata
        Texts that go into the header.
    """
    header: dict[str, object] = {METADATA: dict(metadata)} if metadata else {}
    parts, place = [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        code = NAMES[tensor.dtype]
        content = tensor.numpy().astype(TYPES[code][0], copy=False).tobytes()
        header[name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [place, place + len(content)]}
        place += len(content)
        parts.append(content)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("wb") as file:
        file.writelines([HEAD.pack(len(head)), head, *parts])
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and texts of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is damaged, or no such file.
    """
    content = path.read_bytes()
    if len(content) < HEAD.size:
        raise ValueError("it is no file of tensors")
    start = HEAD.size + HEAD.unpack_from(content)[0]
    if start > len(content):
        raise ValueError("its header is longer than the file")
    header = json.loads(content[HEAD.size : start].decode())
    texts = header.pop(METADATA, {})
    tensors = {}
    try:
        for name, entry in header.items():
            kind, _ = TYPES[entry["dtype"]]
            first, last = entry["data_offsets"]
            numbers = np.frombuffer(content[start + first : start + last], dtype=kind).reshape(entry["shape"])
            tensors[name] = torch.from_numpy(numbers.copy())
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its header cannot be understood ({error})") from error
    return tensors, texts
