"""An evaluation of a latent model, from its folder to rows."""

import jax
import numpy as np
import pytest
import tiny_experiment
import tiny_latent

from configs import musicldm
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.scoring.experiment import open_evaluation
from lsaprobe_jax.scoring.factories import make_distance
from lsaprobe_jax.scoring.method_rows import run_baseline, run_methods
from lsaprobe_jax.scoring.settings import Experiment


@pytest.fixture(scope="module")
def latent(tmp_path_factory):
  """The experiment of configs/musicldm.py, of seconds and a model of one kind each."""
  folder = tmp_path_factory.mktemp("latent")
  model = tiny_latent.config()
  params = registry.random_params(model, jax.random.key(0))
  checkpoints.save_model(folder / "model", params, model, {})
  names = tiny_experiment.numbered({"a": 2, "b": 2, "dev": 7})
  corpus = tiny_experiment.write_corpus(folder / "tiny", names)
  whole = Experiment.from_dict(musicldm.get_config().to_dict())
  return whole.changed(
    {
      "targets": {"A": str(folder / "model")},
      "corpus.path": str(corpus),
      "corpus.clip_seconds": 0.25,
      "corpus.dev_clips_per_track": 3,
      "part": "all",
      "distance": "waveform",
      "num_inference_steps": 1,
      "search.continuation.rungs": 3,
      "search.continuation.steps": 1,
      "bootstrap_resamples": 20,
      "batch_size": 1,
    }
  )


@pytest.mark.slow
def test_methods_score_a_latent_model(latent):
  run = open_evaluation(latent)
  (target,) = run.targets
  assert target.model.samples == 0.25 * tiny_latent.RATE
  rows = run_methods(run, ("loss", "lsa_probe"))
  clips = len(run.halves) + len(run.development)
  for method in ("loss", "lsa_probe"):
    values = [row["score"] for row in rows if row["method"] == method]
    assert len(values) == clips
    assert np.all(np.isfinite(values))
    assert len(set(values)) > clips // 2
  assert any(row["reached"] for row in rows if row["method"] == "lsa_probe")


def test_a_distance_may_be_taken_before_the_vocoder(latent):
  run = open_evaluation(latent.changed({"stop_at": "mel"}))
  model, audio = run.targets[0].model, run.halves.audio[0]
  decoded = jax.eval_shape(lambda a: model.decode(model.encode(a)), audio)
  # Frames and mel bands.
  assert decoded.shape == (100, 8)
  distance = make_distance(run.settings.distance, run.halves)
  rows = run_baseline(run, "random_stability", distance)
  assert np.all([row["score"] < 0 for row in rows])


def test_a_distance_of_waveforms_is_refused_before_the_vocoder(latent):
  change = {"stop_at": "mel", "distance": "mr_stft"}
  with pytest.raises(SettingError, match=r"^distance=mr_stft.*with stop_at=mel"):
    open_evaluation(latent.changed(change))
