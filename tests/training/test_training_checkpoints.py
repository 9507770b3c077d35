"""Training states come back as they were saved."""

import shutil

import chex
import jax
import jax.numpy as jnp
import pytest

from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.training.checkpoints import TrainingCheckpoints


def test_the_newest_state_comes_back(tmp_path):
  state = {"params": {"layer": {"kernel": jnp.arange(6.0)}}, "count": jnp.int32(3)}
  saved = TrainingCheckpoints(tmp_path / "states")
  assert saved.restore_latest(state) is None
  doubled = jax.tree.map(lambda x: x * 2, state)
  saved.save(5, state)
  saved.save(10, doubled)
  saved.close()
  step, restored = TrainingCheckpoints(tmp_path / "states").restore_latest(state)
  assert step == 10
  chex.assert_trees_all_equal(restored, doubled)


def test_a_checkpoint_that_was_cut_is_named(tmp_path):
  """A power cut or a copy may leave half of the newest."""
  state = {"kernel": jnp.arange(4_000.0)}
  saved = TrainingCheckpoints(tmp_path)
  saved.save(5, state)
  saved.save(10, state)
  saved.close()
  for path in (tmp_path / "10").rglob("d/*"):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with pytest.raises(
    LsaProbeError, match=r"10: cannot be read .*delete that folder"
  ) as e:
    TrainingCheckpoints(tmp_path).restore_latest(state)
  assert len(str(e.value).splitlines()) == 1
  shutil.rmtree(tmp_path / "10")
  assert TrainingCheckpoints(tmp_path).restore_latest(state)[0] == 5
