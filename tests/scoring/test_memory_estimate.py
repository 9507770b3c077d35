"""What the probe's gradient takes, by the compiler, at sizes of a test."""

import jax
import pytest
import tiny_stable_audio

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.scoring import memory_estimate

CONFIG = tiny_stable_audio.config()
# As many latent frames as make a backward pass through all blocks the largest part.
SECONDS = 0.256


def estimate(**changes):
  given = dict(seconds=SECONDS, distance="waveform") | changes
  return memory_estimate.estimate_memory(CONFIG, **given)


def test_weights_are_counted_without_any():
  params = registry.init_params(CONFIG, jax.random.key(0))
  found = estimate()
  assert found.weights_bytes == sum(leaf.nbytes for leaf in jax.tree.leaves(params))
  assert found.total_bytes == found.weights_bytes + found.working_bytes
  # Two channels of the waveform at least, there and back.
  assert found.working_bytes > 2 * 2 * 4 * SECONDS * 16000


def test_rematerialising_takes_less_and_a_longer_clip_more():
  remade, kept = estimate(), estimate(rematerialise=False)
  assert remade.working_bytes < kept.working_bytes
  # JAX's count of what is kept does not know of rematerialising.
  assert remade.kept_bytes == kept.kept_bytes
  assert kept.kept_bytes <= 1.5 * kept.working_bytes
  longer = estimate(seconds=4 * SECONDS)
  # Between what grows by the clip's length, and attention, by its square.
  assert 3.5 < longer.working_bytes / remade.working_bytes < 16


def test_counting_as_an_accelerator_changes_nothing_after_it():
  first, other, again = (estimate(as_accelerator=a) for a in (False, True, False))
  assert first.working_bytes == again.working_bytes != other.working_bytes


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"seconds": 0.0}, r"^seconds=0: it must be positive"),
    ({"seconds": -1.0}, r"^seconds=-1: it must be positive"),
    ({"seconds": 0.01, "distance": "mr_stft"}, r"^seconds=0\.01: .*too few"),
  ],
)
def test_a_clip_that_is_too_short_is_refused(changes, match):
  with pytest.raises(SettingError, match=match):
    estimate(**changes)


def test_published_configurations_describe_models():
  assert "stable-audio-open-1.0" in memory_estimate.published()
  for name in memory_estimate.published():
    config = memory_estimate.read_config(name)
    registry.check_settings(config)
    params = registry.abstract_params(config)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) > 1e9


def test_a_configuration_is_read_without_weights(tmp_path):
  params = registry.init_params(CONFIG, jax.random.key(0))
  checkpoints.save_model(tmp_path / "m", params, CONFIG, None)
  (tmp_path / "m" / checkpoints.WEIGHTS_FILE).unlink()
  assert memory_estimate.read_config(tmp_path / "m") == CONFIG
  (tmp_path / "m" / checkpoints.MODEL_FILE).write_text("{")
  with pytest.raises(checkpoints.CheckpointError, match=r"model\.json: damaged"):
    memory_estimate.read_config(tmp_path / "m")
  (tmp_path / "m" / checkpoints.MODEL_FILE).write_text('{"model": {"family": "x"}}')
  with pytest.raises(checkpoints.CheckpointError, match="describes no model"):
    memory_estimate.read_config(tmp_path / "m")
  with pytest.raises(checkpoints.CheckpointError, match=r"stable-audio-open-1\.0"):
    memory_estimate.read_config("no-such-model")
