import itertools
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax import diffusion

SCHEDULES = {
  "linear": diffusion.linear(50, 1e-4, 0.05),
  "scaled_linear": diffusion.scaled_linear(1000, 0.0015, 0.0195),
  "cosine": diffusion.cosine(100),
}
OF_PATH = {
  "trigonometric": "TRIGONOMETRIC",
  "flow": "RECTIFIED_FLOW",
  "shifted": "RECTIFIED_FLOW",
}
PATHS = {
  name: diffusion.Schedule.from_path(
    getattr(diffusion, of), shift=3.0 if name == "shifted" else 1.0
  )
  for name, of in OF_PATH.items()
}


def naive_alpha_bar(betas):
  alpha_bar = [1.0]
  for beta in betas:
    alpha_bar.append(alpha_bar[-1] * (1 - beta))
  return np.array(alpha_bar)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_schedule_starts_clean_and_is_variance_preserving(schedule):
  assert schedule.signal[0] == 1
  assert schedule.noise[0] == 0
  assert np.all(np.diff(schedule.signal) < 0)
  np.testing.assert_allclose(schedule.signal**2 + schedule.noise**2, 1, atol=1e-6)


def test_tables_follow_the_definitions():
  betas = np.linspace(1e-4, 0.05, 50)
  alpha_bar = naive_alpha_bar(betas)
  np.testing.assert_allclose(SCHEDULES["linear"].signal, np.sqrt(alpha_bar), rtol=1e-6)
  np.testing.assert_allclose(
    SCHEDULES["linear"].noise, np.sqrt(1 - alpha_bar), rtol=1e-6
  )
  betas = np.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2
  np.testing.assert_allclose(
    SCHEDULES["scaled_linear"].signal, np.sqrt(naive_alpha_bar(betas)), rtol=1e-6
  )
  f = lambda t: np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
  time = np.arange(100) / 100
  np.testing.assert_allclose(
    SCHEDULES["cosine"].signal[:-1] ** 2, f(time) / f(0), rtol=1e-5
  )


@pytest.mark.parametrize("betas", [[], [0.0, 0.1], [0.5, 1.0], [[0.1]]])
def test_bad_betas_are_refused(betas):
  with pytest.raises(ValueError, match="betas"):
    diffusion.Schedule.from_betas(betas)


@pytest.mark.parametrize(
  ("ratio", "t"),
  [(0.6, 30), (0.2, 10), (1.0, 50), (0.01, None), (np.inf, None), (np.nan, None)],
)
def test_timestep(ratio, t):
  if t is None:
    with pytest.raises(ValueError, match="t_ratio"):
      diffusion.timestep(SCHEDULES["linear"], ratio)
  else:
    assert diffusion.timestep(SCHEDULES["linear"], ratio) == t


def naive_reverse(predict_noise, alpha_bar, x, t, steps):
  """DDIM as in the paper, in float64, by the predicted clean signal."""
  grid = [int(np.floor(t * (steps - i) / steps + 0.5)) for i in range(steps + 1)]
  for now, after in itertools.pairwise(grid):
    noise = predict_noise(x, max(now, 1))
    x_0 = (x - np.sqrt(1 - alpha_bar[now]) * noise) / np.sqrt(alpha_bar[now])
    x = np.sqrt(alpha_bar[after]) * x_0 + np.sqrt(1 - alpha_bar[after]) * noise
  return x


@pytest.mark.parametrize(("t", "steps"), [(30, 1), (30, 4), (30, 7), (3, 5), (50, 50)])
def test_reverse_agrees_with_a_naive_loop(t, steps):
  schedule = SCHEDULES["linear"]
  x = np.random.default_rng(0).normal(size=64)
  predict = lambda x, t: 0.3 * np.sin(x) * (1 + t / 50)
  expected = naive_reverse(
    predict, naive_alpha_bar(np.linspace(1e-4, 0.05, 50)), x, t, steps
  )
  ours = diffusion.reverse(
    lambda x, t: 0.3 * jnp.sin(x) * (1 + t / 50),
    schedule,
    jnp.asarray(x, jnp.float32),
    t,
    steps,
  )
  np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_reverse_undoes_the_forward_process_when_the_noise_is_known():
  schedule = SCHEDULES["linear"]
  x_0, noise = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
  x_t = diffusion.add_noise(schedule, x_0, 30, noise)
  restored = diffusion.reverse(lambda x, t: noise, schedule, x_t, 30, 5)
  np.testing.assert_allclose(restored, x_0, atol=1e-5)


def test_one_trace_serves_every_timestep():
  traces = 0

  def predict(x, t):
    nonlocal traces
    traces += 1
    return 0.1 * x

  run = jax.jit(lambda x, t: diffusion.reverse(predict, SCHEDULES["linear"], x, t, 4))
  outputs = [run(jnp.ones(8), t) for t in (10, 20, 30)]
  first = traces
  run(jnp.ones(8), 40)
  assert traces == first
  assert len({float(y[0]) for y in outputs}) == 3


def test_gradient_memory_grows_by_at_most_one_state_a_step():
  samples, schedule = 2**16, SCHEDULES["linear"]

  def predict(x, t):
    # A network with wide activations, all of which plain backpropagation would keep.
    h = jnp.tanh(x[:, None] * jnp.linspace(0.1, 1.0, 16) + t)
    return jnp.mean(jnp.tanh(h**2) * h, axis=1)

  def temporary_bytes(steps):
    loss = lambda x: jnp.sum(diffusion.reverse(predict, schedule, x, 40, steps) ** 2)
    compiled = jax.jit(jax.grad(loss)).lower(jnp.ones(samples)).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  state = 4 * samples
  few, many = temporary_bytes(2), temporary_bytes(18)
  assert many - few <= 16 * state * 1.01


def test_reverse_needs_a_step():
  with pytest.raises(ValueError, match="at least 1 step"):
    diffusion.reverse(lambda x, t: x, SCHEDULES["linear"], jnp.ones(4), 10, 0)


def test_a_schedule_whose_first_step_adds_no_noise_is_refused():
  """A perturbation of its first state moves nothing: every clip would be stable."""
  with pytest.raises(ValueError, match=r"first beta of 1e-300 adds no noise"):
    diffusion.linear(20, 1e-300, 0.1)
  with pytest.raises(ValueError, match="inside"):
    diffusion.Schedule.from_betas([0.1, float("nan")])


@pytest.mark.parametrize("name", PATHS)
def test_a_path_runs_from_the_clip_to_noise(name):
  schedule = PATHS[name]
  assert (schedule.signal[0], schedule.noise[0], schedule.time[0]) == (1, 0, 0)
  # The last time is half a step before noise: something of the clip is left.
  assert 0 < schedule.signal[-1] < 1e-3 * (3 if name == "trigonometric" else 1)
  assert schedule.time[-2] < schedule.time[-1] < 1
  assert np.all(np.diff(schedule.time) > 0)
  assert np.all(np.diff(schedule.log_snr) < 0)
  signal, noise = (np.asarray(x, np.float64) for x in (schedule.signal, schedule.noise))
  length = signal + noise if schedule.prediction == "flow" else signal**2 + noise**2
  np.testing.assert_allclose(length, 1, atol=1e-6)


def test_log_snr_tells_equal_times_of_paths():
  """A flow is as noisy as Stable Audio's path where `s / a` is: u / (1 - u) = tan."""
  u = 2 / np.pi * np.arctan(0.3 / 0.7)
  place = np.interp(u, PATHS["trigonometric"].time, np.arange(1001))
  np.testing.assert_allclose(
    np.interp(place, np.arange(1001), PATHS["trigonometric"].log_snr),
    PATHS["flow"].log_snr[300],
    rtol=1e-4,
  )
  np.testing.assert_allclose(PATHS["flow"].log_snr[300], 2 * np.log(7 / 3), rtol=1e-6)


@pytest.mark.parametrize("name", ["linear", *PATHS])
def test_a_step_by_the_truth_stays_on_the_path(name):
  """Whatever is predicted, the true one leads from any state to any other, and back."""
  schedule = (PATHS | SCHEDULES)[name]
  x_0, noise = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
  last = schedule.num_train_timesteps
  times = [last - 1, last // 2, 1, 0] if name != "linear" else [40, 25, 1, 0]
  for t, s in itertools.permutations(times, 2):
    x_t = diffusion.add_noise(schedule, x_0, t, noise)
    out = diffusion.target(schedule, x_0, t, noise)
    there = diffusion.step(schedule, x_t, out, t, s)
    wanted = diffusion.add_noise(schedule, x_0, s, noise)
    np.testing.assert_allclose(there, wanted, atol=2e-6)
    np.testing.assert_allclose(
      diffusion.implied_noise(schedule, x_t, t, out), noise, atol=2e-6
    )
    np.testing.assert_array_equal(diffusion.step(schedule, x_t, out, t, t), x_t)


@pytest.mark.parametrize("name", PATHS)
def test_reverse_on_a_path_agrees_with_a_naive_loop(name):
  """In float64, by the clean signal and the noise that a prediction implies."""
  path, schedule = getattr(diffusion, OF_PATH[name]), PATHS[name]
  time = np.asarray(schedule.time, np.float64)
  x = wanted = np.random.default_rng(0).normal(size=64)
  predict = lambda x, t, of=np: 0.3 * of.sin(x) * (1 + t / 1000)
  for t, s in itertools.pairwise((900, 600, 300, 0)):
    a, n, b, m = (f(time[i]) for i in (t, s) for f in (path.signal, path.noise))
    out = predict(wanted, t)
    if path.prediction == "flow":
      clean, noise = wanted - n * out, wanted + a * out
    else:
      clean, noise = a * wanted - n * out, n * wanted + a * out
    wanted = b * clean + m * noise
  ours = diffusion.reverse(
    lambda x, t: predict(x, t, jnp), schedule, jnp.asarray(x, jnp.float32), 900, 3
  )
  np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("times", "shift"), [(0, 1.0), (10, 0.0), (10, float("nan"))])
def test_a_path_without_times_is_refused(times, shift):
  with pytest.raises(ValueError, match=f"num_train_timesteps={times} and shift="):
    diffusion.Schedule.from_path(diffusion.RECTIFIED_FLOW, times, shift)


def test_matched_times_have_the_same_log_snr():
  for name, schedule in PATHS.items():
    for ratio in (0.01, 0.1, 0.4, 0.8):
      like = diffusion.linear(200, 1e-4, 0.02)
      t = round(diffusion.matched_t_ratio(schedule, like, ratio) * 1000)
      wanted = like.log_snr[round(200 * ratio)]
      # Neither neighbour is nearer.
      gaps = np.abs(schedule.log_snr[max(t - 1, 1) : t + 2] - wanted)
      assert np.min(gaps) == abs(schedule.log_snr[t] - wanted), name
  with pytest.raises(ValueError, match=r"outside 1\.\.200"):
    diffusion.matched_t_ratio(PATHS["flow"], like, 0.0)


def test_the_table_of_times_is_what_the_schedules_say():
  like = diffusion.linear(200, 1e-4, 0.02)
  others = (
    SCHEDULES["scaled_linear"], PATHS["trigonometric"], PATHS["shifted"],
  )  # fmt: skip
  text = (pathlib.Path(__file__).parents[1] / "docs" / "models.md").read_text()
  rows = re.findall(r"^\| (-?\d\.\d) \| (\S+) T \| (.*) T \|$", text, re.MULTILINE)
  assert len(rows) == 5
  for log_snr, ratio, rest in rows:
    t = diffusion.timestep(like, float(ratio))
    assert log_snr == f"{like.log_snr[t]:.1f}"
    found = [diffusion.matched_t_ratio(other, like, float(ratio)) for other in others]
    assert rest == " T | ".join(f"{one:.3f}" for one in found)
