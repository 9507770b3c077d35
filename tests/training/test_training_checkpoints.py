"""Training states come back as they were saved."""

import chex
import jax
import jax.numpy as jnp

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
