"""The reader against files of both formats, well formed and hostile.

The files are put together here by hand, so that PyTorch is needed by the parity test
alone.
"""

import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest

from lsaprobe_jax.models.files import torch_reader


class _Pid:
  def __init__(self, *pid):
    self.pid = pid


class _Call:
  """Pickles as a call of `function` with `args`."""

  def __init__(self, function, *args):
    self.call = (function, args)

  def __reduce__(self):
    return self.call


class _Pickler(pickle.Pickler):
  def persistent_id(self, obj):
    return obj.pid if isinstance(obj, _Pid) else None


@pytest.fixture
def fake_torch(monkeypatch):
  """Just enough of PyTorch for `pickle` to write down its names."""
  torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

  def _rebuild_tensor_v2():
    raise AssertionError("the reader called PyTorch")

  _rebuild_tensor_v2.__module__ = "torch._utils"
  _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
  utils._rebuild_tensor_v2 = _rebuild_tensor_v2
  for name in (
    "FloatStorage",
    "BFloat16Storage",
    "HalfStorage",
    "LongStorage",
    "ByteStorage",
  ):
    setattr(torch, name, type(name, (), {"__module__": "torch"}))
  torch._utils = utils
  monkeypatch.setitem(sys.modules, "torch", torch)
  monkeypatch.setitem(sys.modules, "torch._utils", utils)
  return torch


def _tensor(torch, kind, key, numel, offset, shape, strides):
  storage = _Pid("storage", getattr(torch, kind), key, "cpu", numel)
  return _Call(
    torch._utils._rebuild_tensor_v2,
    storage, offset, shape, strides, False, collections.OrderedDict(),
  )  # fmt: skip


def _dump(tree):
  buffer = io.BytesIO()
  _Pickler(buffer, protocol=2).dump(tree)
  return buffer.getvalue()


def _zip(tree, storages=None):
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as archive:
    archive.writestr("model/data.pkl", _dump(tree))
    for key, array in (storages or {}).items():
      archive.writestr(f"model/data/{key}", array.tobytes())
  buffer.seek(0)
  return buffer


def _legacy(tree, storages=None):
  buffer = io.BytesIO()
  for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
    pickle.dump(part, buffer, protocol=2)
  buffer.write(_dump(tree))
  pickle.dump(list(storages or {}), buffer, protocol=2)
  for array in (storages or {}).values():
    buffer.write(struct.pack("<q", array.size) + array.tobytes())
  buffer.seek(0)
  return buffer


@pytest.fixture(params=[_zip, _legacy], ids=["zip", "legacy"])
def write(request):
  return request.param


def test_nested_tree_with_views_of_one_storage(fake_torch, write):
  numbers = np.arange(12, dtype=np.float32)
  state = collections.OrderedDict(
    whole=_tensor(fake_torch, "FloatStorage", "0", 12, 0, (3, 4), (4, 1)),
    turned=_tensor(fake_torch, "FloatStorage", "0", 12, 0, (4, 3), (1, 4)),
    part=_tensor(fake_torch, "FloatStorage", "0", 12, 5, (2,), (4,)),
    scalar=_tensor(fake_torch, "LongStorage", "1", 1, 0, (), ()),
    empty=_tensor(fake_torch, "FloatStorage", "0", 12, 0, (0, 3), (3, 1)),
  )
  tree = {"model": state, "params": {"rate": 22050, "beta": [0.1, "x", None]}}
  file = write(tree, {"0": numbers, "1": np.array([7])})
  read = torch_reader.read_state_dict(file)
  assert read["params"] == tree["params"]
  model = read["model"]
  assert type(model) is dict
  np.testing.assert_array_equal(model["whole"], numbers.reshape(3, 4))
  np.testing.assert_array_equal(model["turned"], numbers.reshape(3, 4).T)
  np.testing.assert_array_equal(model["part"], [5, 9])
  assert model["scalar"] == 7
  assert model["scalar"].dtype == np.int64
  assert model["empty"].shape == (0, 3)
  assert model["turned"].flags.c_contiguous
  model["whole"][:] = 0
  assert model["turned"][1, 0] == 1  # no memory is shared
  file.seek(0)
  assert torch_reader.read_state_dict(file, select="params") == tree["params"]


def test_half_precisions(fake_torch, write):
  wide = np.array([1.0, -2.5, 3.140625], np.float32)
  tree = {
    "half": _tensor(fake_torch, "HalfStorage", "0", 3, 0, (3,), (1,)),
    "brain": _tensor(fake_torch, "BFloat16Storage", "1", 3, 0, (3,), (1,)),
  }
  brain = (wide.view(np.uint32) >> 16).astype(np.uint16)
  file = write(tree, {"0": wide.astype(np.float16), "1": brain})
  read = torch_reader.read_state_dict(file)
  assert read["half"].dtype == np.float16
  assert read["brain"].dtype == np.float32
  np.testing.assert_array_equal(read["half"], wide)
  np.testing.assert_array_equal(read["brain"], wide)


@pytest.mark.parametrize(
  "call",
  [
    _Call(os.system, "touch {path}"),
    _Call(eval, "open('{path}', 'w')"),
    _Call(getattr, "x", "upper"),
    _Call(bytearray, 8),
  ],
  ids=["system", "eval", "getattr", "bytearray"],
)
def test_refuses_code_and_does_not_run_it(write, call, tmp_path):
  path = tmp_path / "pwned"
  function, args = call.call
  args = tuple(a.format(path=path) if isinstance(a, str) else a for a in args)
  with pytest.raises(torch_reader.UnsafeCheckpointError, match=function.__name__):
    torch_reader.read_state_dict(write({"state": _Call(function, *args)}))
  assert not path.exists()


@pytest.mark.parametrize(
  "layout",
  [
    (4, 9, (4,), (1,)),
    (12, 0, (3, 5), (5, 1)),
    (12, -1, (3,), (1,)),
    (12, 0, (3,), (-1,)),
    (12, 0, (1 << 40,), (0,)),
    (12, 0, (2, 2), (1,)),
    (12, 0.0, (2,), (1,)),
  ],
)
def test_refuses_tensors_that_leave_their_storage(fake_torch, write, layout):
  tree = {"w": _tensor(fake_torch, "FloatStorage", "0", *layout)}
  file = write(tree, {"0": np.zeros(layout[0], np.float32)})
  with pytest.raises(torch_reader.UnsafeCheckpointError):
    torch_reader.read_state_dict(file)


@pytest.mark.parametrize("state", [{"shape": (16,)}, (None, {"shape": (16,)})])
def test_refuses_to_change_a_tensor_that_was_checked(fake_torch, write, state):
  tensor = _tensor(fake_torch, "FloatStorage", "0", 12, 0, (3,), (1,))
  tensor.call += (state,)
  file = write({"w": tensor}, {"0": np.zeros(12, np.float32)})
  with pytest.raises(torch_reader.UnsafeCheckpointError, match="changes an object"):
    torch_reader.read_state_dict(file)


@pytest.mark.parametrize(
  "name", [b"torch._utils\n_rebuild_tensor_v2", b"torch\nFloatStorage"]
)
def test_refuses_to_change_what_builds_tensors(name):
  state = pickle.dumps((None, {"dtype": "<f8"}), protocol=2)[2:-1]
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as archive:
    archive.writestr("model/data.pkl", b"\x80\x02c" + name + b"\n" + state + b"b.")
  with pytest.raises(torch_reader.UnsafeCheckpointError, match="changes an object"):
    torch_reader.read_state_dict(buffer)


def test_refuses_a_small_storage_read_many_times_over(fake_torch, write):
  def tree(count):
    layout = (1 << 20, 0, (1 << 20,), (1,))
    return {
      str(i): _tensor(fake_torch, "ByteStorage", "0", *layout) for i in range(count)
    }

  storages = {"0": np.zeros(1 << 20, np.uint8)}
  assert len(torch_reader.read_state_dict(write(tree(5), storages))) == 5
  with pytest.raises(torch_reader.UnsafeCheckpointError, match="far larger"):
    torch_reader.read_state_dict(write(tree(6), storages))


def test_refuses_self_reference_and_unknown_storages(write):
  loop = []
  loop.append(loop)
  for tree in ({"a": loop}, {"a": _Pid("module", 1)}, {"a": _Pid("storage")}):
    with pytest.raises(torch_reader.UnsafeCheckpointError):
      torch_reader.read_state_dict(write(tree))


def test_damaged_files_raise_value_error_with_their_name(fake_torch, write, tmp_path):
  tree = {"w": _tensor(fake_torch, "FloatStorage", "0", 64, 0, (64,), (1,))}
  good = write(tree, {"0": np.ones(64, np.float32)}).getvalue()
  path = tmp_path / "some.pt"
  for data in (b"", b"RIFF....", good[: len(good) // 2], good[:40], good[:-100]):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"some\.pt"):
      torch_reader.read_state_dict(path)
  path.write_bytes(write([1, 2]).getvalue())
  with pytest.raises(ValueError, match="not a dictionary"):
    torch_reader.read_state_dict(path)
  path.write_bytes(write({"state": {}}).getvalue())
  with pytest.raises(KeyError, match="state"):
    torch_reader.read_state_dict(path, select="model")


@pytest.mark.parity
@pytest.mark.parametrize("zipped", [True, False])
def test_files_written_by_pytorch(zipped, tmp_path):
  torch = pytest.importorskip("torch")
  base = torch.randn(6, 5)
  tensors = {
    "f32": base, "turned": base.T, "row": base[2], "column": base[:, 1],
    "f64": base.double(), "f16": base.half(), "bf16": base.bfloat16(),
    "i64": torch.arange(3), "i8": torch.arange(3, dtype=torch.int8),
    "bool": torch.tensor([True, False]), "scalar": torch.tensor(2.5),
    "c64": torch.randn(3, dtype=torch.complex64),
  }  # fmt: skip
  layer = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 5), torch.nn.BatchNorm1d(3))
  path = tmp_path / "file.pt"
  torch.save(
    {"model": layer.state_dict(), "t": tensors, "params": {"n": 3, "lr": 2e-4}},
    path,
    _use_new_zipfile_serialization=zipped,
  )
  read = torch_reader.read_state_dict(path)
  assert read["params"] == {"n": 3, "lr": 2e-4}
  pairs = [(read["t"][k], v) for k, v in tensors.items()]
  pairs += [(read["model"][k], v) for k, v in layer.state_dict().items()]
  for got, want in pairs:
    want = want.float() if want.dtype == torch.bfloat16 else want
    np.testing.assert_array_equal(got, want.numpy())
    assert got.dtype == want.numpy().dtype
