"""Rows of a linear model and of a DiffWave on the devices of this process.

`JAX_NUM_CPU_DEVICES=8 python tests/on_devices.py OUT.npz` writes them, and the text of
the compiled program, from as many devices.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import diffusion, distances, parallel
from lsaprobe_jax.attacks.lsa_probe import LSAProbe
from lsaprobe_jax.models import registry
from lsaprobe_jax.search.bisection import Bisection

CLIPS, SAMPLES = 11, 512  # eight devices leave a ragged last batch
AXIS = "example"  # of the mesh
COLLECTIVES = r"all-(reduce|gather|to-all)|collective-permute|reduce-scatter"
MODEL = {
  "family": "diffwave",
  "network": {"channels": 8, "layers": 3, "dilation_cycle": 3, "embedding_width": 16},
  "schedule": {
    "name": "linear", "num_train_timesteps": 200, "beta_start": 1e-4, "beta_end": 0.02
  },
  "sample_rate": 16000,
  "scale": 4.0,
}  # fmt: skip
SEARCH = Bisection(eta_max=0.8, halvings=2, ascent_steps=2, step_size=0.5, restarts=1)


class Filter(struct.PyTreeNode):
  """The optimal denoiser of independent Gaussian samples: a gain for each of them."""

  gains: jax.Array
  schedule: diffusion.Schedule
  num_inference_steps: int = struct.field(pytree_node=False, default=2)

  def encode(self, audio):
    return audio

  def reconstruct(self, x_t, t):
    predict = lambda x, t: self.schedule.noise[t] * self.gains * x
    return diffusion.reverse(predict, self.schedule, x_t, t, self.num_inference_steps)


def toy():
  """(model, attack): D is a convex quadratic."""
  gains = jnp.linspace(0.05, 0.95, SAMPLES)
  model = Filter(gains, diffusion.linear(200, 1e-4, 0.02))
  distance = distances.get("waveform", sample_rate=16000)
  return model, LSAProbe(distance=distance, tau=0.01, search=SEARCH)


def diffwave(seed=0):
  """(model, attack): a small network, and a distance with transforms in it."""
  params = registry.random_params(MODEL, jax.random.key(seed))
  model = registry.build_model(MODEL, params, num_inference_steps=2)
  options = {"fft_size": 128, "hop": 32, "mels": 16}
  distance = distances.get("log_mel", sample_rate=model.sample_rate, **options)
  return model, LSAProbe(distance=distance, tau=0.1, search=SEARCH)


def examples(length=CLIPS, times=(40, 80)):
  """Audio, clip numbers and times, which change from clip to clip."""
  audio = 0.1 * np.random.default_rng(0).normal(size=(length, SAMPLES))
  t = np.resize(np.array(times, np.int32), length)
  return audio.astype(np.float32), np.arange(length, dtype=np.uint32), t


def score(shared, audio, number, t):
  """Scores a clip, as `scoring.scorer.Scorer` does."""
  model, attack = shared
  return attack(model, jax.random.fold_in(jax.random.key(0), number), audio, t)


def rows(shared) -> dict[str, np.ndarray]:
  """All figures of all clips, by their names."""
  run = parallel.over_examples(score, batch_size=8)
  parts = [part for _, part in run(shared, *examples())]
  whole = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
  paths = jax.tree_util.tree_leaves_with_path(whole)
  return {jax.tree_util.keystr(path): leaf for path, leaf in paths}


def program_text(shared, mesh) -> str:
  """The compiled program for one clip a device: what `rows` runs on eight."""
  program = parallel.shard_examples(score, mesh)
  placed = _placed(shared, mesh, jax.P())
  batch = _placed(examples(mesh.size), mesh, jax.P(AXIS))
  types = parallel.node_types(shared)
  return program.lower(placed, batch, types).compile().as_text()


def communicating_text(mesh) -> str:
  """A compiled program that does what none of ours may: it sums over devices."""
  batched, all_alike = jax.P(AXIS), jax.P()
  total = jax.shard_map(
    lambda x: jax.lax.psum(x, AXIS), mesh=mesh, in_specs=batched, out_specs=all_alike
  )
  ones = _placed(np.ones(mesh.size, np.float32), mesh, batched)
  return jax.jit(total).lower(ones).compile().as_text()


def _placed(tree, mesh, spec):
  """Shapes on a mesh, whose devices need not be there."""
  sharding = jax.NamedSharding(mesh, spec)

  def at(leaf):
    known = jax.typeof(leaf)
    return jax.ShapeDtypeStruct(
      known.shape, known.dtype, sharding=sharding, weak_type=known.weak_type
    )

  return jax.tree.map(at, tree)


if __name__ == "__main__":
  found = {"devices": jax.device_count()}
  if jax.device_count() > 1:
    mesh = parallel.example_mesh()
    found |= {
      "program": program_text(diffwave(), mesh),
      "sum": communicating_text(mesh),
    }
  for name, case in (("toy", toy()), ("diffwave", diffwave())):
    found |= {f"{name}{key}": value for key, value in rows(case).items()}
  np.savez(sys.argv[1], **found)
