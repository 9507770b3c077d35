"""Writes sounds of trained models, and a page to listen to them.

python -m benchmarks.samples --models=musicldm-multigenre-a,musicldm-piano-a \
  --output=docs/samples

For each model there are two clips that it was trained on and two that it was not: the
clip, what encoding and decoding make of it, and its reconstruction from noisy states.
Then come sounds that the model makes from noise alone. Nothing is picked by ear: the
clips are the first of either half, the noise comes from --seed.
"""

import html
import pathlib
from typing import Any

import jax
import numpy as np
import soundfile
from absl import app, flags, logging

from launch import command, devices
from lsaprobe_jax import diffusion, probe
from lsaprobe_jax.data.clips import Clip, Corpus
from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.models import checkpoints, conversion
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.scoring.scorer import clip_number
from lsaprobe_jax.text import printable

_MODELS = flags.DEFINE_list("models", None, "Embedded models or model folders.")
_OUTPUT = flags.DEFINE_string("output", None, "Sounds and index.md go here.")
_T_RATIOS = flags.DEFINE_list("t_ratios", ["0.2", "0.6"], "Times of the states over T.")
_STEPS = flags.DEFINE_integer("num_inference_steps", 50, "DDIM steps.", 1, 1_000)
_COUNT = flags.DEFINE_integer("count", 2, "Clips of each half.", 1, 1_000)
_DRAWS = flags.DEFINE_integer("draws", 4, "Sounds from noise.", 1, 1_000)
_SEED = flags.DEFINE_integer("seed", 0, "Decides the noise.", 0, 2**31 - 1)

_HEAD = """# Samples to listen to

<!-- Written by benchmarks.samples: do not edit. -->

These are sounds of small embedded models, from {steps} DDIM steps, at the length that
the models were trained on. They are there to be heard, not to be chosen from: the clips
are the first of either half, and the noise is that of seed {seed}. A model this small
and this over-trained makes no music of its own worth the name.

"""


@jax.jit
def _autoencode(model, audio):
  return model.decode(model.encode(audio))


@jax.jit
def _reconstruct(model, audio, key, t):
  x_t, _ = probe.noisy_state(model, key, model.encode(audio), t)
  return model.reconstruct(x_t, t)


@jax.jit
def _generate(model, audio, key):
  """A sound from x_T, which is shaped as a clip's state is."""
  shape = jax.eval_shape(model.encode, audio).shape
  x_t = probe.clip_noise(key, shape)
  return model.reconstruct(x_t, model.schedule.num_train_timesteps)


def _halves(training: dict[str, Any], rate: int) -> Corpus:
  """The clips of both halves of the corpus that a model was trained on."""
  corpus = training["config"]["corpus"]
  return open_corpus(
    corpus["path"],
    sample_rate=rate,
    clip_seconds=corpus["clip_seconds"],
    clips_per_track=corpus["clips_per_track"],
    groups=("a", "b"),
  )


def _chosen(corpus: Corpus, members: set[str]) -> list[tuple[str, Clip, np.ndarray]]:
  """(which half, clip, audio): the first that were trained on, the first that not."""
  pairs = list(zip(corpus.clips, corpus.audio, strict=True))
  return [
    (half, *pair)
    for half, trained in (("trained on", True), ("never seen", False))
    for pair in [p for p in pairs if (p[0].id in members) == trained][: _COUNT.value]
  ]


def _player(folder: pathlib.Path, name: str, samples, rate: int) -> str:
  """Writes a sound; returns what plays it."""
  samples = np.asarray(samples, np.float32)
  if not np.isfinite(samples).all():
    raise FloatingPointError("a model's output is not finite")
  # A decoder's output may overshoot.
  soundfile.write(folder / f"{name}.flac", np.clip(samples, -1, 1), rate)
  # Narrow: four of them and a title stand in a row of the page.
  style = "width: 6.5rem; min-width: 0"
  return f'<audio controls preload="none" style="{style}" src="{name}.flac"></audio>'


def _table(header: list[str], lines: list[list[str]]) -> str:
  """HTML: Markdown's own tables hold no players."""
  rows = ["".join(f"<th>{cell}</th>" for cell in header)]
  rows += ["".join(f"<td>{cell}</td>" for cell in line) for line in lines]
  return "<table>\n" + "\n".join(f"<tr>{row}</tr>" for row in rows) + "\n</table>\n"


def _load(name: str) -> tuple[Any, dict[str, Any]]:
  """A diffusion model, and what its folder says of its training."""
  try:
    model = load_model(name, num_inference_steps=_STEPS.value).model
    _, record = checkpoints.load_model(conversion.find_model(name))
  except ValueError as error:
    raise app.UsageError(f"--models={name}: {error}") from error
  training = record["training"] or {}
  if not (training.get("clips") and training.get("config")):
    raise app.UsageError(
      f"--models={name}: its model.json names no training clips, or no corpus"
    )
  return model, training


def _times(schedule: diffusion.Schedule) -> dict[str, int]:
  """t by its ratio to T, as the flag gives it."""
  try:
    return {x: diffusion.timestep(schedule, float(x)) for x in _T_RATIOS.value}
  except ValueError as error:
    raise app.UsageError(f"--t_ratios: {error}") from error


def _model_part(name: str, folder: pathlib.Path) -> str:
  """Writes one model's sounds; returns its part of the page."""
  model, training = _load(name)
  times = _times(model.schedule)
  corpus = _halves(training, model.sample_rate)
  model = model.for_length(corpus.audio.shape[1])
  stem = pathlib.Path(name).name
  members = {clip["id"] for clip in training["clips"]}
  lines = []
  for number, (half, clip, audio) in enumerate(_chosen(corpus, members)):
    credit = printable(f"{clip.title}, {clip.author} ({clip.licence})")
    cells = [
      _player(folder, f"{stem}-{number}-{kind}", sound, model.sample_rate)
      for kind, sound in _sounds(model, clip, audio, times).items()
    ]
    lines.append([half, html.escape(credit), *cells])
    logging.info("%s: %s", name, printable(clip.id))
  header = ["", "clip", "as it is", "encoded, decoded"]
  header += [f"from t = {ratio} T" for ratio in times]
  drawn = [
    _player(folder, f"{stem}-drawn-{draw}", sound, model.sample_rate)
    for draw, sound in enumerate(_drawn(model, corpus.audio[0]))
  ]
  return (
    f"## {html.escape(stem)}\n\n{_table(header, lines)}\nFrom noise alone:\n\n"
    f"{_table([f'draw {draw}' for draw in range(_DRAWS.value)], [drawn])}"
  )


def _sounds(model, clip: Clip, audio: np.ndarray, times: dict[str, int]):
  """By kind: a clip, what encoding makes of it, and its reconstructions."""
  key = jax.random.fold_in(jax.random.key(_SEED.value), clip_number(clip.id))
  sounds = {"clip": audio, "coded": _autoencode(model, audio)}
  for ratio, t in times.items():
    sounds[f"t{ratio}"] = _reconstruct(model, audio, key, t)
  return sounds


def _drawn(model, audio: np.ndarray):
  """Yields sounds from noise alone, as long as a clip."""
  base = jax.random.key(_SEED.value)
  for draw in range(_DRAWS.value):
    yield _generate(model, audio, jax.random.fold_in(base, draw))


def main(argv):
  """Writes sounds and page."""
  command.refuse_arguments(argv)
  devices.use_one()
  folder = pathlib.Path(_OUTPUT.value)
  with command.ending_in_one_line("the beginning"):
    folder.mkdir(parents=True, exist_ok=True)
    parts = [_model_part(name, folder) for name in _MODELS.value]
    head = _HEAD.format(steps=_STEPS.value, seed=_SEED.value)
    write_whole(folder / "index.md", head + "\n".join(parts))
  logging.info("wrote %s", folder / "index.md")


if __name__ == "__main__":
  flags.mark_flags_as_required(["models", "output"])
  command.run(main)
