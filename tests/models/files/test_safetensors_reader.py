"""Headers that hold more than any model's, and types that are no weights'."""

import json
import struct
import time

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from lsaprobe_jax.models.files import safetensors_reader


@pytest.fixture
def write(tmp_path):
  """Writes a file with a header and zeros behind it."""

  def write(entries, size=0):
    header = json.dumps(entries).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    return path

  return write


def entry(dtype="F32", shape=(0,), size=0):
  return {"dtype": dtype, "shape": list(shape), "data_offsets": [0, size]}


def test_what_safetensors_wrote_is_read(tmp_path):
  values = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.float16([1, 2]),
    "c": np.array([1.5, -2], ml_dtypes.bfloat16),
  }
  save_file({k: values[k] for k in "ab"}, tmp_path / "x", metadata={"format": "pt"})
  read = safetensors_reader.read_weights(tmp_path / "x")
  for name in "ab":
    np.testing.assert_array_equal(read[name], values[name], strict=True)
  header = json.dumps({"c": entry("BF16", (2,), 4)}).encode()
  data = struct.pack("<Q", len(header)) + header + values["c"].tobytes()
  (tmp_path / "y").write_bytes(data)
  read = safetensors_reader.read_weights(tmp_path / "y")["c"]
  np.testing.assert_array_equal(read.astype(np.float32), [1.5, -2])


@pytest.mark.parametrize(
  ("dtype", "size"),
  [("F8_E4M3", 4), ("F8_E5M2", 4), ("C64", 32), ("I64", 32), ("I8", 4), ("BOOL", 4)],
)
def test_types_that_are_no_weights_are_named(write, dtype, size):
  path = write({"layer/kernel": entry(dtype, (4,), size)}, size)
  with pytest.raises(
    ValueError, match=f"^layer/kernel is of type {dtype}, but weights"
  ):
    safetensors_reader.read_weights(path)


def test_an_unknown_type_is_named_and_cut(write):
  path = write({"a": entry("X\x1b" * 10**6)})
  with pytest.raises(ValueError, match=r"^a is of type X\\x1bX") as caught:
    safetensors_reader.read_weights(path)
  assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
  ("entries", "match"),
  [
    ({"a/" * 150_000 + "b": entry()}, "300,001 letters and 150,001 parts; 512 and 32"),
    ({"a." * 40 + "b": entry()}, "81 letters and 41 parts"),
    ({f"{i}": entry() for i in range(50_001)}, "50,001 tensors; 50,000 are the most"),
    ({"a": 3}, "no type of a"),
    ([], "no header of a safetensors file"),
  ],
)
def test_more_than_any_model_has_is_refused_soon(write, entries, match):
  path = write(entries)
  start = time.process_time()
  with pytest.raises(ValueError, match=match) as caught:
    safetensors_reader.read_weights(path)
  assert time.process_time() - start < 5  # about 0.1
  assert len(str(caught.value)) < 300


@pytest.mark.parametrize("size", [0, 1 << 40, (1 << 64) - 1])
def test_a_header_of_no_size_or_any_size_is_refused(tmp_path, size):
  (tmp_path / "x").write_bytes(struct.pack("<Q", size) + b"{" * 100)
  with pytest.raises(ValueError, match="header"):
    safetensors_reader.read_header(tmp_path / "x")


def test_nesting_is_checked_in_linear_time():
  names = [f"{'a/' * 30}{i}" for i in range(50_000)]
  start = time.process_time()
  safetensors_reader.check_nesting(names)
  assert time.process_time() - start < 10  # about 0.5
  with pytest.raises(ValueError, match=r"it has (a/){30}0/b below another tensor"):
    safetensors_reader.check_nesting([*names, f"{names[0]}/b"])
