"""Uses the installed package and nothing of the tree that it was built from.

python .ci/installed.py TREE, with the Python of the environment under test and from
another folder.
"""

import importlib.metadata
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp

import lsaprobe_jax
from lsaprobe_jax import diffusion, distances, probe
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.models import checkpoints, registry


def main(tree: pathlib.Path) -> None:
  """Checks the files, then probes an embedded clip with an embedded model."""
  site = pathlib.Path(lsaprobe_jax.__file__).parents[1]
  assert site.is_relative_to(sys.prefix), f"{site} is not of {sys.prefix}"
  assert importlib.metadata.version("lsaprobe_jax") == lsaprobe_jax.__version__
  missing = [
    str(path.relative_to(tree))
    for package in ("lsaprobe_jax", "launch", "configs")
    for path in (tree / package).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
    if not (site / path.relative_to(tree)).is_file()
  ]
  assert not missing, f"not in the wheel: {missing}"

  for name in corpora.SHIPPED:
    corpus = corpora.open_corpus(
      name, sample_rate=8000, clip_seconds=0.512, clips_per_track=1, groups=["a"]
    )
    assert len(corpus.tracks) > 1
    folder = checkpoints.find_model(f"diffwave-{name}-a")
    params, record = checkpoints.load_model(folder)
    generator = registry.build_model(record["model"], params, num_inference_steps=1)
    checkpoints.check_fit(params, registry.abstract_params(record["model"]), name)
  distance = distances.get("waveform", sample_rate=corpus.sample_rate)
  t = diffusion.timestep(generator.schedule, 0.1)
  clip = (jax.random.key(0), corpus.audio[0], t)
  degradation, shape = probe.make_degradation(generator, distance, *clip)
  assert degradation(jnp.ones(shape)) > 0

  listed = subprocess.run(
    [sys.executable, "-m", "launch"], capture_output=True, text=True, check=True
  )
  assert "launch.eval" in listed.stdout
  print(f"lsaprobe_jax {lsaprobe_jax.__version__} works from {site}")


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
