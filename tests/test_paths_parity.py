"""Paths against diffusers' schedulers, step by step, on random predictions."""

import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax import diffusion

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

STEPS = 12


def predictions():
  """A random state, and as random predictions for each step."""
  drawn = np.random.default_rng(0).normal(size=(STEPS + 1, 64)).astype(np.float32)
  return drawn[0], drawn[1:]


def at_times(path, times):
  """A schedule whose table holds exactly these times, in this order."""
  times = np.asarray(times, np.float64)
  tables = (path.signal(times), path.noise(times), times)
  tables = [jnp.asarray(table, jnp.float32) for table in tables]
  return diffusion.Schedule(*tables, prediction=path.prediction)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_flow_steps_as_its_euler_scheduler(shift):
  original = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
  original.set_timesteps(sigmas=np.linspace(1.0, 1 / STEPS, STEPS))
  x, outs = predictions()
  # The table's times are those that the sampler visits, but for the last: of that
  # nothing would be left of a clip.
  table = diffusion.Schedule.from_path(diffusion.RECTIFIED_FLOW, STEPS, shift).time
  sigmas = original.sigmas.numpy()
  np.testing.assert_allclose(sigmas[1:], table[-2::-1], rtol=1e-6, atol=1e-7)
  np.testing.assert_allclose(original.timesteps.numpy(), 1000 * sigmas[:-1], rtol=1e-6)
  ours = at_times(diffusion.RECTIFIED_FLOW, sigmas[::-1])
  state = torch.tensor(x)
  for i, out in enumerate(outs):
    state = original.step(torch.tensor(out), original.timesteps[i], state).prev_sample
    x = diffusion.step(ours, x, out, STEPS - i, STEPS - i - 1)
    np.testing.assert_allclose(x, state.numpy(), rtol=1e-5, atol=1e-5)


def test_noise_is_added_as_to_a_flow():
  original = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
  original.set_timesteps(sigmas=np.linspace(1.0, 1 / STEPS, STEPS))
  ours = at_times(diffusion.RECTIFIED_FLOW, original.sigmas.numpy()[::-1])
  x_0, (noise, *_) = predictions()
  for i in range(STEPS):
    wanted = original.scale_noise(
      torch.tensor(x_0)[None], original.timesteps[i : i + 1], torch.tensor(noise)[None]
    )
    x_t = diffusion.add_noise(ours, x_0, STEPS - i, noise)
    np.testing.assert_allclose(x_t, wanted[0].numpy(), rtol=1e-5, atol=1e-6)


def stable_audio_scheduler():
  """The scheduler of Stable Audio Open 1.0, by its published configuration."""
  return diffusers.CosineDPMSolverMultistepScheduler(
    sigma_min=0.3, sigma_max=500, sigma_data=1.0, prediction_type="v_prediction",
    sigma_schedule="exponential", solver_order=2,
  )  # fmt: skip


def test_stable_audio_reads_the_same_of_a_prediction():
  """Its states are ours over the signal, and its sigma is our noise over signal."""
  original = stable_audio_scheduler()
  original.set_timesteps(STEPS)
  sigmas = original.sigmas.numpy()[:-1].astype(np.float64)
  times = 2 / np.pi * np.arctan(sigmas)
  np.testing.assert_allclose(original.timesteps.numpy(), times, rtol=1e-5)
  ours = at_times(diffusion.TRIGONOMETRIC, [*times, 0.0])
  np.testing.assert_allclose(ours.noise[:-1] / ours.signal[:-1], sigmas, rtol=1e-4)
  np.testing.assert_allclose(ours.log_snr[:-1], -2 * np.log(sigmas), rtol=1e-3)
  x, outs = predictions()
  for i, out in enumerate(outs):
    wide = torch.tensor(np.asarray(x / ours.signal[i]))
    np.testing.assert_allclose(
      original.precondition_inputs(wide, sigmas[i]).numpy(), x, rtol=1e-4, atol=1e-6
    )
    wanted = original.precondition_outputs(wide, torch.tensor(out), sigmas[i])
    clean = diffusion.step(ours, jnp.asarray(x), out, i, STEPS)
    np.testing.assert_allclose(clean, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_v_steps_as_the_deterministic_sampler_of_its_sigmas():
  """Stable Audio's own sampler draws noise; Euler's on the same sigmas does not."""
  original = diffusers.EDMEulerScheduler(
    sigma_min=0.3, sigma_max=500, sigma_data=1.0, prediction_type="v_prediction",
    sigma_schedule="exponential",
  )  # fmt: skip
  original.set_timesteps(STEPS)
  sigmas = original.sigmas.numpy().astype(np.float64)
  ours = at_times(diffusion.TRIGONOMETRIC, 2 / np.pi * np.arctan(sigmas))
  x, outs = predictions()
  state = torch.tensor(np.asarray(x / ours.signal[0]))
  for i, out in enumerate(outs):
    original.scale_model_input(state, original.timesteps[i])  # it warns otherwise
    state = original.step(torch.tensor(out), original.timesteps[i], state).prev_sample
    x = diffusion.step(ours, x, out, i, i + 1)
    wanted = state.numpy() * np.asarray(ours.signal[i + 1])
    np.testing.assert_allclose(x, wanted, rtol=1e-4, atol=2e-5)
