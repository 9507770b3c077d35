"""The worked example of docs/torch.md: a pipeline of diffusers, probed as it is."""

import re

import jax
import numpy as np
import pytest
import soundfile
import tiny_longcat as tiny
from examples import EXAMPLES, load_example

import lsaprobe_jax as lsa
from lsaprobe_jax import rows

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("torchax")

SAMPLES, STEPS, PROMPT = 96, 3, "solo piano"


@pytest.fixture(scope="module")
def music(tmp_path_factory):
  """A folder with DEV and CLIPS: tracks of ten clips of noise, and of one."""
  folder = tmp_path_factory.mktemp("music")
  rng = np.random.default_rng(0)
  counts = {"DEV/dev": (10, 10), "CLIPS/a": (1, 1), "CLIPS/b": (1, 1)}
  for name, tracks in counts.items():
    (folder / name).mkdir(parents=True)
    for track, count in enumerate(tracks):
      audio = rng.normal(scale=0.1, size=count * SAMPLES)
      path = folder / name / f"track{track}.wav"
      soundfile.write(path, audio, tiny.RATE, "FLOAT")
  return folder


@pytest.fixture(scope="module")
def pipe():
  return tiny.pipeline()


def make(pipe, prompt):
  """The page's model; its check is of a clip as short as the test's."""
  noise = np.random.default_rng(0).normal(scale=0.1, size=SAMPLES)
  from_pipeline = load_example("longcat_audio").from_pipeline
  return from_pipeline(pipe, prompt, example=noise, num_inference_steps=STEPS)


@pytest.fixture(scope="module")
def model(pipe):
  return make(pipe, PROMPT)


def test_the_reverse_process_is_the_pipelines_own(pipe, model):
  """Its scheduler from 60% noise, with its signs, its times and its decoder."""
  rng = np.random.default_rng(1)
  audio = torch.tensor(rng.normal(scale=0.1, size=SAMPLES)).float()
  prompt, length = pipe.encode_prompt(PROMPT, "cpu")
  noise = rng.normal(size=(SAMPLES // tiny.HOP, tiny.CHANNELS))
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


def lines_of_the_page() -> str:
  """What docs/torch.md does with the pipeline, on clips of the test's length."""
  page = (EXAMPLES.parent / "torch.md").read_text()
  code = re.search(r"```python\n(model = from_pipeline.*?)```", page, re.DOTALL)[1]
  smaller = {
    "like=model)": f"like=model, clip_seconds={SAMPLES / tiny.RATE})",
    '"mr_stft", ': '"waveform", search=search, ',
  }
  for as_it_stands, small in smaller.items():
    assert as_it_stands in code
    code = code.replace(as_it_stands, small)
  return code


def test_the_lines_of_the_page_run(pipe, model, music, monkeypatch, capsys):
  """A probe with twins, and a baseline."""
  monkeypatch.chdir(music)
  search = lsa.search.get("continuation", rungs=4, steps=1, warmup=1)
  made = lambda given, prompt: {(pipe, PROMPT): model}[given, prompt]
  found = {"lsa": lsa, "pipe": pipe, "from_pipeline": made, "search": search}
  exec(compile(lines_of_the_page(), "docs/torch.md", "exec"), found)
  for scores, method in ((found["scores"], "lsa_probe"), (found["errors"], "loss")):
    assert len({*scores.score}) == 4
    assert {row["method"] for row in scores.rows} == {method}
    for row in scores.to_rows():
      rows.check_row(row)
  assert found["scores"].reached.all()
  assert len(found["scores"].by_twins()) == 4
  assert re.search(r"0\.\d+ \[.*\]|1\.000 \[", capsys.readouterr().out)
