"""The limits of work in a `.pt` file: a few bytes that describe a lot.

Each file is read in a process of its own, with 2 GiB of memory and 20 seconds, because
what these tests guard against are crashes, hangs and memory. Each should take a second.
"""

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from lsaprobe_jax.models.files import _torch_pickle, torch_reader

SECONDS, BYTES = 30, 2 << 30
READ = f"""
import resource, sys, time
from lsaprobe_jax.models.files import torch_reader
resource.setrlimit(resource.RLIMIT_AS, ({BYTES}, {BYTES}))
start = time.process_time()
try:
  torch_reader.read_state_dict(sys.argv[1])
  print("read")
except ValueError as error:
  print(error)
print(time.process_time() - start)
"""
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
FLOATS = b"ctorch\nFloatStorage\n"
STORAGE = b"(X\x07\0\0\0storage" + FLOATS + b"X\x01\0\0\x000X\x03\0\0\0cpuK\x0ctQ"
ORDERED = b"ccollections\nOrderedDict\n"
DEEP = b")" + b"\x85" * 200_000  # a tuple in a tuple in a tuple ...
SHARED = b")" + b"q\0h\0\x86" * 60  # t = (t, t), sixty times


def zipped(pickled: bytes, **members: bytes) -> bytes:
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as archive:
    archive.writestr("model/data.pkl", pickled)
    for name, data in members.items():
      archive.writestr(f"model/data/{name}", data)
  return buffer.getvalue()


def legacy(pickled: bytes) -> bytes:
  parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
  parts = b"".join(pickle.dumps(part, protocol=2) for part in parts)
  return parts + pickled + pickle.dumps([], protocol=2)


def with_key(key: bytes) -> dict[str, bytes]:
  """Pickles that hash a key, by the names of the instructions."""
  begin = b"\x80\x02"
  return {
    "SETITEM": begin + b"}" + key + b"K\1s.",
    "SETITEMS": begin + b"}(" + key + b"K\1u.",
    "DICT": begin + b"(" + key + b"K\1d.",
    "OrderedDict": begin + ORDERED + b")R" + key + b"K\1s.",
    "OrderedDict of pairs": begin + ORDERED + b"](" + key + b"K\1\x86e\x85R.",
    "REDUCE": begin + b"c__builtin__\nfrozenset\n](" + key + b"e\x85R.",
    "ADDITEMS": b"\x80\x04\x8f(" + key + b"\x90.",
    "FROZENSET": b"\x80\x04(" + key + b"\x91.",
    "BINPERSID": begin + b"}X\1\0\0\0a" + key + b"Qs.",
    "storage's key": begin
    + b"}X\1\0\0\0a(X\x07\0\0\0storage" + FLOATS + key + b"X\x03\0\0\0cpuK\x0ctQs.",
    "storage's type": begin
    + b"}X\1\0\0\0a(X\x07\0\0\0storage" + key + b"X\1\0\0\x000X\x03\0\0\0cpuK\x0ctQs.",
    "REDUCE's arguments": begin
    + b"}X\1\0\0\0a" + TENSOR + b"(" + STORAGE + b"K\0" + 2 * key + b"tRs.",
    "a name": begin + b"}X\1\0\0\0a" + key + b"X\1\0\0\0b\x93s.",
  }  # fmt: skip


def long(number: int) -> bytes:
  return b"J" + struct.pack("<i", number)


SHAPE = b"(" + 300_000 * long(2**31 - 1) + b"t"
BOMB = b"\x80\x02}" + b"X\1\0\0\0a"
HOSTILE = {
  **{f"deep {name}": zipped(made) for name, made in with_key(DEEP).items()},
  **{f"shared {name}": zipped(made) for name, made in with_key(SHARED).items()},
  "legacy deep": legacy(with_key(DEEP)["SETITEM"]),
  "legacy shared": legacy(with_key(SHARED)["BINPERSID"]),
  "a million deep": zipped(b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\1s."),
  "deep value": zipped(BOMB + DEEP + b"s."),
  "shared value": zipped(BOMB + SHARED + b"s."),
  "deep list": zipped(BOMB + b"]" * 500_000 + b"a" * 499_999 + b"s."),
  "memory": zipped(b"\x80\x02}r" + struct.pack("<I", 1 << 27) + b"."),
  "legacy memory": legacy(b"\x80\x02}r" + struct.pack("<I", 1 << 31) + b"."),
  "shape": zipped(BOMB + TENSOR + b"(" + STORAGE + b"K\0" + 2 * SHAPE + b"tRs."),
  "integer": zipped(BOMB + b"\x8b" + struct.pack("<i", 1 << 25) + bytes(1 << 25)),
  "steps": zipped(BOMB + b"(" + b"N" * 20_000_000 + b"ts."),
  "marks": zipped(BOMB + b"(" * 20_000_000),
  "string": legacy(b"\x80\x02X" + struct.pack("<I", 2**32 - 1)),
  "name": legacy(b"\x80\x02c" + b"x" * 20_000_000),
  "integer keys": zipped(
    b"\x80\x02}("
    + b"".join(b"\x8a\x08" + struct.pack("<q", i * (2**61 - 1) // 2**17) + b"N"
               for i in range(200_000))
    + b"u."
  ),
}  # fmt: skip


def read(folder, data: bytes) -> tuple[str, float]:
  """What reading a file says, and the seconds that it took."""
  path = folder / "some.pt"
  path.write_bytes(data)
  done = subprocess.run(
    [sys.executable, "-c", READ, path], capture_output=True, text=True,
    timeout=SECONDS, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  said, seconds = done.stdout.splitlines()
  return said, float(seconds)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_soon_and_in_one_line(name, tmp_path):
  said, seconds = read(tmp_path, HOSTILE[name])
  assert said.startswith(f"{tmp_path / 'some.pt'}: ")
  assert len(said) < 1000
  assert seconds < SECONDS / 2


def test_members_of_an_archive_that_overlap_are_refused(tmp_path):
  """300 entries over the same 4 MB would be 1.2 GB of tensors."""
  size = 1 << 22
  layout = long(size // 4) + b"\x85"
  tensors = b""
  for i in range(300):
    key = b"X\3\0\0\0%03d" % i
    storage = STORAGE.replace(b"X\1\0\0\x000", key).replace(b"K\x0c", long(size // 4))
    tensors += key + TENSOR + b"(" + storage + b"K\0" + 2 * layout + b"tR"
  path = tmp_path / "some.pt"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("model/data.pkl", b"\x80\x02}(" + tensors + b"u.")
    archive.writestr("model/data/000", bytes(size))
    first = archive.infolist()[-1]
    for i in range(1, 300):
      again = zipfile.ZipInfo(f"model/data/{i:03d}")
      for name in ("file_size", "compress_size", "CRC", "header_offset"):
        setattr(again, name, getattr(first, name))
      archive.filelist.append(again)
      archive.NameToInfo[again.filename] = again
    archive._didModify = True
  said, seconds = read(tmp_path, path.read_bytes())
  assert said == f"{path}: refused: members of its archive overlap"
  assert seconds < SECONDS / 2


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused():
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as archive:
    for data in (b"\x80\x02}.", b"\x80\x02}K\1K\2s."):
      archive.writestr("model/data.pkl", data)
  with pytest.raises(torch_reader.UnsafeCheckpointError, match="share a name"):
    torch_reader.read_state_dict(buffer)


def test_a_long_list_of_members_is_not_read(monkeypatch):
  buffer = io.BytesIO(zipped(b"\x80\x02}.", **{str(i): b"" for i in range(100)}))
  assert torch_reader.read_state_dict(buffer) == {}
  monkeypatch.setattr(torch_reader, "_MOST_DIRECTORY_BYTES", 3000)
  with pytest.raises(ValueError, match="more members than any checkpoint"):
    torch_reader.read_state_dict(buffer)


def test_a_missing_entry_lists_ten_names():
  keys = b"".join(b"X\5\0\0\0%05dN" % i for i in range(20_000))
  with pytest.raises(KeyError, match=r"'00009', \.\.\. and 19,990 more\]") as caught:
    torch_reader.read_state_dict(
      io.BytesIO(zipped(b"\x80\x02}(" + keys + b"u.")), select="model"
    )
  assert len(str(caught.value)) < 500


def test_names_in_a_message_are_escaped():
  hostile = BOMB + b"cos\x1b[31m\n\xe2\x80\xaesystem\n)Rs."
  with pytest.raises(torch_reader.UnsafeCheckpointError) as caught:
    torch_reader.read_state_dict(io.BytesIO(zipped(hostile)))
  assert r"'os\x1b[31m.\u202esystem'" in str(caught.value)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_scalars_are_plain_numbers(protocol, module):
  values = [
    np.float64(0.1),
    np.float32(0.5),
    np.int64(-7),
    np.uint8(200),
    np.bool_(True),
  ]
  pickled = pickle.dumps({"params": values}, protocol=protocol)
  # Text of protocol 2, or a string of protocol 4 in front of its length.
  for known in ("numpy.core.multiarray", "numpy._core.multiarray"):
    pickled = pickled.replace(
      bytes([len(known)]) + known.encode(), bytes([len(module)]) + module.encode()
    ).replace(b"c" + known.encode() + b"\n", b"c" + module.encode() + b"\n")
  read = torch_reader.read_state_dict(io.BytesIO(zipped(pickled)))["params"]
  assert read == [value.item() for value in values]
  assert [type(value) for value in read] == [float, float, int, int, bool]


@pytest.mark.parametrize(
  ("value", "match"),
  [
    (np.arange(3.0), r"_reconstruct'.*save it again without that \(arrays as lists"),
    (np.datetime64("2026-01-01"), "not of real numbers"),
    ({1, 2}, "__builtin__.set|builtins.set"),
    (2**300, "an integer of 38 bytes"),
    ({(1, 2): 3}, "key of a dictionary is a tuple"),
    ({b"k": 3}, "key of a dictionary is a bytes|_codecs.encode"),
    ({1.5: 3}, "key of a dictionary is a float"),
  ],
)
def test_other_settings_are_refused_with_the_mend(value, match):
  pickled = pickle.dumps({"params": value}, protocol=2)
  with pytest.raises(torch_reader.UnsafeCheckpointError, match=match):
    torch_reader.read_state_dict(io.BytesIO(zipped(pickled)))


def test_a_storage_that_the_older_format_does_not_have_is_not_made():
  size = 1 << 40
  pid = STORAGE.replace(b"K\x0c", b"\x8a\x06" + size.to_bytes(6, "little"))
  tensor = TENSOR + b"(" + pid + b"K\0" + 2 * (long(4) + b"\x85") + b"tR"
  data = legacy(BOMB + tensor + b"s.")[: -len(pickle.dumps([], protocol=2))]
  data += pickle.dumps(["0"], protocol=2) + struct.pack("<q", size) + bytes(100)
  with pytest.raises(ValueError, match="truncated: storage 0 is too short"):
    torch_reader.read_state_dict(io.BytesIO(data))


def test_python_2_counts_from_one_and_writes_long_integers_as_text():
  pairs = b"](](U\1aK\1e](U\1bI4294967296\nee"
  pickled = b"\x80\x02" + ORDERED + b"q\1" + pairs + b"\x85q\2Rq\3."
  read = torch_reader.read_state_dict(io.BytesIO(zipped(pickled)))
  assert read == {"a": 1, "b": 1 << 32}


def test_every_instruction_is_one_that_a_pickle_has():
  codes = {getattr(pickle, name)[0] for name in _torch_pickle._INSTRUCTIONS}
  assert codes == set(_torch_pickle.Unpickler.dispatch)


@pytest.mark.parity
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_two_thousand_tensors_are_read_within_a_second(tmp_path, zipped, protocol):
  import time

  torch = pytest.importorskip("torch")
  state = {f"block.{i}.weight": torch.full((3, 2), float(i)) for i in range(2000)}
  settings = {
    "lr": torch.tensor(0.5),
    "betas": torch.tensor([0.1, 0.2]),
    "n": np.int64(3),
  }
  torch.save(
    {"model": state, "params": settings},
    tmp_path / "some.pt",
    pickle_protocol=protocol,
    _use_new_zipfile_serialization=zipped,
  )
  start = time.process_time()
  read = torch_reader.read_state_dict(tmp_path / "some.pt")
  assert time.process_time() - start < 3  # about 0.2
  assert read["model"]["block.1999.weight"][2, 1] == 1999
  assert read["params"]["lr"] == 0.5
  assert read["params"]["n"] == 3
  np.testing.assert_array_equal(read["params"]["betas"], np.float32([0.1, 0.2]))
