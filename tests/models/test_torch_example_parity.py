"""The worked example of docs/torch.md: a pipeline of diffusers, probed as it is."""

import jax
import numpy as np
import pytest
import tiny_longcat as tiny
import toy_corpus
from examples import load_example

import lsaprobe_jax as lsa

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("torchax")

SAMPLES, STEPS, PROMPT = 96, 3, "solo piano"


@pytest.fixture(scope="module")
def clips():
  return toy_corpus.noise("aabb" + 20 * "d", SAMPLES, rate=tiny.RATE)


@pytest.fixture(scope="module")
def pipe():
  return tiny.pipeline()


@pytest.fixture(scope="module")
def model(pipe, clips):
  return load_example("longcat_audio").from_pipeline(
    pipe, PROMPT, example=clips.audio[0], num_inference_steps=STEPS
  )


def test_the_reverse_process_is_the_pipelines_own(pipe, model, clips):
  """Its scheduler from 60% noise, with its signs, its times and its decoder."""
  audio = torch.tensor(clips.audio[0])
  prompt, length = pipe.encode_prompt(PROMPT, "cpu")
  noise = np.random.default_rng(1).normal(size=(SAMPLES // tiny.HOP, tiny.CHANNELS))
  with torch.no_grad():
    x_0 = pipe.vae.encode(audio[None, None], sample_posterior=False).latents
    x_0 = x_0.permute(0, 2, 1)
    x_t = x = 0.4 * x_0 + 0.6 * torch.tensor(noise).float()[None]
    pipe.scheduler.set_timesteps(sigmas=[0.6, 0.4, 0.2])
    for time in pipe.scheduler.timesteps:
      out = pipe.transformer(
        x, prompt, torch.ones(1, int(length), dtype=torch.bool),
        (time / pipe.scheduler.config.num_train_timesteps).expand(1),
        torch.ones(1, x.shape[1], dtype=torch.bool), torch.zeros_like(x),
      ).sample  # fmt: skip
      x = pipe.scheduler.step(out, time, x, return_dict=False)[0]
    wanted = pipe.vae.decode(x.permute(0, 2, 1)).sample[0, 0].numpy()
  found = jax.jit(lambda model, x: model.reconstruct(x, 600))(
    model.model.for_length(SAMPLES), x_t[0].numpy()
  )
  np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
  # Otherwise it would agree, whatever the network said.
  assert (x - x_t).std() > 0.1 * x_t.std()


def test_it_is_probed_beside_a_baseline_and_twins(model, clips):
  search = lsa.search.get("bisection", halvings=3, ascent_steps=2, restarts=1)
  probe = lsa.LSAProbe(distance="waveform", t_ratio=0.3, search=search, eta_ref=0.2)
  probe = lsa.calibrate_tau(model, probe, clips.select("dev"), batch_size=2)
  own = clips.select(["a", "b"])
  scores = lsa.score(model, probe, own, twins=("polarity",), batch_size=2)
  assert scores.reached.all()
  assert len({*scores.score}) == len(scores.by_twins()) == 4
  baseline = lsa.attacks.get("secmi", None)
  found = lsa.score(model, baseline, own, t_ratio=0.3, batch_size=2)
  assert np.isfinite(found.score).all()
  assert len({*found.score}) == 4
