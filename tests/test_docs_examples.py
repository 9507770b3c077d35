"""The worked examples of docs/extending.md, used from outside as that page says."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from examples import load_example

import lsaprobe_jax as lsa
from lsaprobe_jax import diffusion, rows
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.training import losses

ROOT = pathlib.Path(__file__).parents[1]
RATE, SECONDS = 8000, 0.128
MODEL = {
  "family": "wiener",
  "network": {"bands": 9},
  "schedule": {
    "name": "linear",
    "num_train_timesteps": 20,
    "beta_start": 1e-3,
    "beta_end": 0.2,
  },
  "sample_rate": RATE,
  "scale": 4.0,
}


PreEmphasis = load_example("pre_emphasis").PreEmphasis
StepGap = load_example("step_gap").StepGap
OneGradient = load_example("one_gradient").OneGradient
Wiener = load_example("wiener").Wiener
gaussian = load_example("gaussian")


@pytest.fixture(scope="module", autouse=True)
def _registered():
  lsa.distances.register(PreEmphasis)
  lsa.attacks.register("step_gap", StepGap)
  lsa.search.register("one_gradient", OneGradient)
  lsa.register("wiener", Wiener)


@pytest.fixture(scope="module")
def audio(real_audio):
  return real_audio(round(SECONDS * RATE), RATE)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, real_audio):
  """A folder with music of both halves, and 20 development clips."""
  folder = tmp_path_factory.mktemp("music")
  samples = round(SECONDS * RATE)
  for track, (group, count) in enumerate(
    [("a", 2), ("a", 2), ("b", 2), ("b", 2), ("dev", 10), ("dev", 10)]
  ):
    (folder / group).mkdir(exist_ok=True)
    path = folder / group / f"track{track}.wav"
    soundfile.write(path, real_audio(count * samples, RATE, track), RATE, "FLOAT")
  found = lsa.load_audio(folder, sample_rate=RATE, clip_seconds=SECONDS)
  assert len(found.select("dev")) == 20
  return found


@pytest.fixture(scope="module")
def model(clips):
  """A denoiser that is a function, fitted to the clips of group a."""
  params = gaussian.fit(clips.select("a").audio[:])
  return lsa.from_denoiser(
    gaussian.predict_noise,
    gaussian.PATH,
    sample_rate=clips.sample_rate,
    params=params,
    name="gaussian",
    num_inference_steps=2,
  )


def test_the_distance_is_that_of_the_filtered_signals(audio):
  distance = lsa.distances.get("pre_emphasis", sample_rate=RATE, coefficient=0.9)
  worse = audio + np.random.default_rng(0).normal(scale=0.01, size=audio.size)
  filtered = lambda x: x - 0.9 * np.r_[0, x[:-1]]
  expected = np.mean((filtered(audio) - filtered(worse)) ** 2)
  both = jax.jit(jax.value_and_grad(lambda d, x, y: d(x, y), argnums=2))
  value, grad = both(distance, audio, np.float32(worse))
  np.testing.assert_allclose(value, expected, rtol=1e-4)
  assert np.abs(grad).max() > 0
  assert not both(distance, audio, audio)[1].any()


@pytest.mark.parametrize("distance", [PreEmphasis(), "pre_emphasis"])
@pytest.mark.parametrize("search", [OneGradient(rungs=8), "one_gradient"])
def test_a_probe_with_a_distance_and_a_search_of_ones_own(
  model, clips, distance, search
):
  probe = lsa.LSAProbe(distance=distance, t_ratio=0.2, search=search, eta_ref=0.3)
  probe = lsa.calibrate_tau(model, probe, clips.select("dev"))
  scores = lsa.score(model, probe, clips.select(["a", "b"]))
  assert len(scores) == 8
  assert {row["distance"] for row in scores.rows} == {"pre_emphasis"}
  assert np.isfinite(scores.score).all()
  assert scores.reached.any()
  # A value at each rung, the clean side, and a gradient, which is not rematerialised.
  rungs = 8 if isinstance(search, OneGradient) else 16
  assert {row["nfe_forward"] for row in scores.rows} == {2 * (rungs + 1 + 1)}


def test_one_gradient_finds_an_upper_bound(model, audio):
  """It is exact but for its rungs on a quadratic in one direction."""
  found_by = lsa.search.get("one_gradient", eta_max=1.0, rungs=100)
  degradation = lambda delta: jnp.square(jnp.mean(delta))
  run = jax.jit(lambda tau: found_by(degradation, jax.random.key(0), (16,), tau))
  found = run(0.25)
  assert found.reached
  np.testing.assert_allclose(found.cost, 0.5, atol=0.011)
  assert np.isnan(run(2.0).cost)
  worst = found_by.worst(degradation, jax.random.key(0), (16,), 0.5, jnp.inf)
  np.testing.assert_allclose(worst.degradation, 0.25, rtol=1e-5)


def test_the_attack_takes_the_distance_and_can_be_matched(model, audio):
  assert lsa.attacks.takes_distance("step_gap")
  attack = lsa.attacks.get("step_gap", PreEmphasis(), draws=2)
  key, t = jax.random.key(0), 100
  score = jax.jit(lambda attack, *clip: attack(*clip, t))
  scores = {}
  for steps in (1, 3):
    stepped = model.model.replace(num_inference_steps=steps)
    found = score(attack, stepped, key, audio)
    assert found.nfe_forward == attack.nfe(steps) == 2 * (steps + 1)
    scores[steps] = float(found.score)
  assert scores[1] == pytest.approx(0, abs=1e-9)
  assert scores[3] < -1e-9
  assert lsa.attacks.nfe_matched(attack, 104, 3, num_times=20).draws == 26
  with pytest.raises(lsa.SettingError, match=r"baselines\.step_gap: .*'eta'"):
    lsa.attacks.get("step_gap", PreEmphasis(), eta=1.0)


def test_the_attack_is_scored_as_it_is_passed_in(model, clips):
  attack = StepGap(distance=PreEmphasis(), draws=2)
  assert lsa.attacks.get(attack) is attack
  scores = lsa.score(model, attack, clips.select(["a", "b"]), t_ratio=0.4)
  assert {row["method"] for row in scores.rows} == {"step_gap"}
  assert len(set(scores.score)) == 8
  for row in scores.to_rows():
    rows.check_row(row)


def test_the_function_is_the_optimal_denoiser(model, clips):
  """Nothing predicts the noise of sound with this very spectrum better."""
  params = model.model.params
  rng = np.random.default_rng(0)
  samples = clips.audio.shape[1]
  white, noise = rng.normal(size=(2, 200, samples))
  shape = lambda x, power: np.fft.irfft(np.fft.rfft(x) * np.sqrt(power), samples)
  sound = shape(white, params["power"])
  signal, sigma = (float(x[60]) for x in (gaussian.PATH.signal, gaussian.PATH.noise))
  x_t = np.float32(signal * sound + sigma * noise)
  predict = jax.jit(jax.vmap(gaussian.predict_noise, (None, 0, None)))
  loss = lambda params: np.mean((predict(params, x_t, 60) - noise) ** 2)
  assert loss(params) < 0.999 * min(
    loss({"power": scale * params["power"]}) for scale in (0.5, 2.0)
  )


def test_the_family_trains_is_stored_and_is_loaded(audio, tmp_path):
  params = registry.init_params(MODEL, jax.random.key(0))
  model = registry.build_model(MODEL, params, num_inference_steps=2)
  objective = losses.Denoising(model, 2, (0.5,))
  x_0 = model.encode(audio)
  draw = jax.random.key(1)
  eval_loss = jax.jit(lambda params: objective.eval_loss(params, x_0, draw)[0])
  before = float(eval_loss(params))

  @jax.jit
  def trained(params):
    descend = lambda params, key: (
      jax.tree.map(
        lambda p, g: p - 20 * g, params, jax.grad(objective.loss)(params, x_0, key)
      ),
      None,
    )
    return jax.lax.scan(descend, params, jax.random.split(jax.random.key(2), 200))[0]

  params = trained(params)
  assert float(eval_loss(params)) < 0.8 * before
  checkpoints.save_model(tmp_path / "model", params, MODEL, training={"clips": []})
  loaded = lsa.load_model(tmp_path / "model", num_inference_steps=2)
  search = lsa.search.get("continuation", rungs=6, steps=1, warmup=1)
  t = diffusion.timestep(loaded.model.schedule, 0.6)

  @jax.jit
  def probe(model, tau):
    attack = lsa.attacks.LSAProbe(distance=PreEmphasis(), tau=tau, search=search)
    return attack(model, jax.random.key(3), audio, t)

  degradations = probe(loaded.model, np.float32(1)).details["degradations"]
  assert np.all(np.diff(degradations) > 0)
  found = probe(loaded.model, degradations[3])
  assert found.reached
  np.testing.assert_allclose(found.cost, found.details["budgets"][3], rtol=1e-5)


def test_bfloat16_is_refused_where_a_network_cannot():
  params = registry.init_params(MODEL, jax.random.key(0))
  model = registry.build_model(MODEL, params, 1, precision="bfloat16")
  with pytest.raises(ValueError, match="float32"):
    model.predict_noise(np.zeros(64, np.float32), 3)


@pytest.mark.parametrize("source", ["docs/extending.md", "lsaprobe_jax/__init__.py"])
def test_the_first_lines_open_clips_that_the_model_knows(source):
  """Another clip of half a would be refused, and too few set no tau."""
  lines = map(str.strip, (ROOT / source).read_text().splitlines())
  opening = [x for x in lines if re.match(r"\w+ = lsa\.load_(model|audio)\(", x)][:3]
  made = {"lsa": lsa}
  exec("\n".join(opening), made)
  halves = made.get("halves", made.get("clips"))
  splits = {made["model"].split(clip) for clip in halves.clips}
  assert splits == {"member", "nonmember"}
  assert len(made["dev"]) >= 20
