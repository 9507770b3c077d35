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

import lsaprobe_jax as lsa
from lsaprobe_jax import diffusion, distances, probe
from lsaprobe_jax.data.corpus import SHIPPED


def check_files(tree: pathlib.Path) -> pathlib.Path:
  """Checks that all of the package, and nothing but it, was installed.

  Args:
    tree: what the wheel was built from.

  Returns:
    The folder that it was installed into.
  """
  site = pathlib.Path(lsa.__file__).parents[1]
  assert site.is_relative_to(sys.prefix), f"{site} is not of {sys.prefix}"
  assert importlib.metadata.version("lsaprobe_jax") == lsa.__version__
  package = {
    path.relative_to(tree)
    for path in (tree / "lsaprobe_jax").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
  }
  missing = sorted(str(path) for path in package if not (site / path).is_file())
  assert not missing, f"not in the wheel: {missing}"
  listed = importlib.metadata.files("lsaprobe_jax") or []
  # The console script lies outside, under `..`.
  tops = {path.parts[0] for path in listed} - {".."}
  surplus = {name for name in tops if (tree / name).exists()} - {"lsaprobe_jax"}
  assert not surplus, f"in the wheel, and no part of the package: {surplus}"
  return site


def probe_embedded() -> None:
  """Measures the degradation of a clip of each embedded corpus by an embedded model."""
  for name in SHIPPED:
    # No model of `dose` is embedded.
    model = lsa.load_model(f"diffwave-{'multigenre' if name == 'dose' else name}-a")
    clips = lsa.load_audio(
      name, like=model, clip_seconds=0.512, clips_per_track=1, groups=["a"]
    )
    assert len(clips.tracks) > 1
    model = model.for_length(clips.audio.shape[1])
    distance = distances.get("waveform", sample_rate=clips.sample_rate)
    t = diffusion.timestep(model.model.schedule, 0.1)
    degradation, shape = probe.make_degradation(
      model.model, distance, jax.random.key(0), clips.audio[0], t
    )
    assert degradation(jnp.ones(shape)) > 0


def main(tree: pathlib.Path) -> None:
  """Checks the files, probes, and runs the console script."""
  site = check_files(tree)
  probe_embedded()
  script = pathlib.Path(sys.prefix) / "bin" / "lsaprobe"
  helped = subprocess.run(
    [script, "--help"], capture_output=True, text=True, check=False
  )
  assert "audit" in helped.stdout, helped.stderr
  print(f"lsaprobe_jax {lsa.__version__} works from {site}")


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
