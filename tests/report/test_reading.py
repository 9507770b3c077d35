"""Working folders that a page cannot be made of."""

import numpy as np
import pytest

from lsaprobe_jax.report import reading


def flipped(data: bytes) -> bytes:
  middle = len(data) // 2
  return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [flipped, lambda data: data[:200], lambda data: b""])
def test_a_damaged_recording_is_named(tmp_path, damage):
  path = tmp_path / "clip.npz"
  np.savez_compressed(path, audio=np.arange(4000, dtype=np.int16))
  assert reading._load(path)["audio"].size == 4000
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(ValueError, match=r"clip\.npz: damaged .*--record again"):
    reading._load(path)
