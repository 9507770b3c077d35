"""Trained models: loaded, and made of functions, of which some have closed forms."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax import attacks, diffusion, distances, search
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models import DiffusionModel, checkpoints, registry
from lsaprobe_jax.models.trained import TrainedModel, from_denoiser, load_model
from lsaprobe_jax.probe import clip_noise

PATH = diffusion.linear(20, 1e-3, 0.2)
SAMPLES, RATE, T, STEPS, SPREAD = 32, 2000, 12, 3, 0.5
KEY = jax.random.key(3)
AUDIO = np.random.default_rng(0).normal(scale=SPREAD, size=SAMPLES).astype(np.float32)
MEAN_SQUARE = distances.get("waveform", sample_rate=RATE)


def posterior(params, x, t):
  """The best denoiser of Gaussian samples of one standard deviation."""
  signal, noise = PATH.signal[t], PATH.noise[t]
  spread = jnp.exp(params["log_spread"])
  return noise * x / (jnp.square(signal * spread) + jnp.square(noise))


def gaussian(spread=SPREAD, **settings) -> TrainedModel:
  params = {"log_spread": jnp.log(jnp.float32(spread))}
  settings = {"num_inference_steps": STEPS} | settings
  return from_denoiser(posterior, PATH, sample_rate=RATE, params=params, **settings)


def gain(spread=SPREAD) -> float:
  """R_t(x) / x, step by step."""
  found = 1.0
  signal, noise = (np.asarray(table, np.float64) for table in (PATH.signal, PATH.noise))
  for t, s in ((12, 8), (8, 4), (4, 0)):
    e = noise[t] / ((signal[t] * spread) ** 2 + noise[t] ** 2)
    ratio = signal[s] / signal[t]
    found *= ratio + (noise[s] - ratio * noise[t]) * e
  return found


@functools.partial(jax.jit, static_argnums=3)
def attacked(attack, model, audio, t=T):
  return attack(model, KEY, audio, t)


def test_the_reverse_process_is_the_closed_form():
  model = gaussian().model
  assert isinstance(model, DiffusionModel)
  found = jax.jit(model.reconstruct)(AUDIO, T)
  np.testing.assert_allclose(found, gain() * AUDIO, rtol=1e-5)
  np.testing.assert_array_equal(model.encode(AUDIO), AUDIO)
  np.testing.assert_array_equal(model.decode(AUDIO), AUDIO)


# Ladders return a rung, of which each is 3% above the one below.
FINE = {"continuation": {"rungs": 100, "steps": 1}, "random_directions": {"rungs": 100}}


@pytest.mark.parametrize("name", search.names())
def test_every_search_finds_the_cost_in_closed_form(name):
  # Every direction spoils alike: D = (gain sigma eta)^2, with eta a root mean square.
  rate = gain() * float(PATH.noise[T])
  tau = (0.6 * rate) ** 2
  finder = search.get(name, **FINE.get(name, {}))
  attack = attacks.LSAProbe(MEAN_SQUARE, jnp.float32(tau), finder)
  found = attacked(attack, gaussian().model, AUDIO)
  assert found.reached
  np.testing.assert_allclose(found.cost, 0.6, rtol=0.03)


@pytest.mark.parametrize("name", attacks.names())
def test_every_baseline_has_a_score(name):
  ladder = search.get("continuation", rungs=4)
  settings = {
    "random_stability": {"eta": 0.3},
    "relative_degradation": {"eta": 0.3, "search": ladder},
  }
  attack = attacks.get(name, MEAN_SQUARE, **settings.get(name, {}))
  found = attacked(attack, gaussian().model, AUDIO)
  assert np.isfinite(found.score)


def test_the_loss_is_the_closed_form():
  found = attacked(attacks.get("loss", draws=1), gaussian().model, AUDIO)
  noise = np.asarray(clip_noise(KEY, (SAMPLES,)))
  sigma, alpha = float(PATH.noise[T]), float(PATH.signal[T])
  x_t = alpha * AUDIO + sigma * noise
  error = noise - sigma * x_t / ((alpha * SPREAD) ** 2 + sigma**2)
  np.testing.assert_allclose(found.score, -np.sum(error**2), rtol=1e-5)


def test_the_gradient_norm_is_the_closed_form_whatever_holds_the_weights():
  attack = attacks.get("gradient_norm", times=1)
  scores = []
  for params in ({"g": jnp.float32(0.3)}, [jnp.float32(0.3)], jnp.float32(0.3)):
    noise_of = lambda params, x, t: jax.tree.leaves(params)[0] * x
    model = from_denoiser(noise_of, PATH, sample_rate=RATE, params=params).model
    scores.append(float(attacked(attack, model, AUDIO).score))
  noise = np.asarray(clip_noise(KEY, (SAMPLES,)))
  x_t = float(PATH.signal[T]) * AUDIO + float(PATH.noise[T]) * noise
  slope = np.mean(2 * (0.3 * x_t - noise) * x_t)
  np.testing.assert_allclose(scores, -abs(slope), rtol=1e-4)
  bare = from_denoiser(lambda x, t: 0.3 * x, PATH, sample_rate=RATE).model
  with pytest.raises(ArgumentError, match=r"^params: the gradient norm"):
    attacked(attack, bare, AUDIO)


def test_weights_are_arguments_of_one_program():
  count = 0

  def counted(params, x, t):
    nonlocal count
    count += 1
    return params * x

  reconstruct = jax.jit(lambda model, x: model.reconstruct(x, T))
  make = lambda value: (
    from_denoiser(counted, PATH, sample_rate=RATE, params=jnp.float32(value)).model
  )
  first = reconstruct(make(0.1), AUDIO)
  traced = count
  assert not np.allclose(reconstruct(make(0.5), AUDIO), first)
  assert count == traced
  assert jax.tree.leaves(make(0.1))[0] == np.float32(0.1)


def test_states_of_ones_own_are_cut_to_the_clip():
  encode = lambda scale, audio: scale * jnp.pad(audio, (0, -len(audio) % 8))[None]
  decode = lambda scale, x: x[0] / scale
  trained = from_denoiser(
    lambda scale, x, t: 0.1 * x,
    PATH,
    encode,
    decode,
    sample_rate=RATE,
    params=jnp.float32(4.0),
    name="mine",
  )
  assert (trained.name, trained.sample_rate, trained.source) == ("mine", RATE, "")
  audio = AUDIO[:30]
  x_0 = trained.model.encode(audio)
  assert x_0.shape == (1, 32)
  assert trained.model.decode(x_0).shape == (32,)
  cut = trained.for_length(30)
  assert cut.name == "mine"
  np.testing.assert_array_equal(cut.model.decode(x_0), audio)
  curve = attacks.DegradationCurve(MEAN_SQUARE, search.get("continuation", rungs=4))
  degradations = attacked(curve, cut.model, audio).details["degradations"]
  assert np.all(np.diff(degradations) > 0)


def test_a_time_of_zero_is_taken_for_one():
  model = from_denoiser(lambda x, t: t * x, PATH, sample_rate=RATE).model
  times = [float(model.predict_noise(jnp.float32(1), t)) for t in (0, 1, 5)]
  assert times == [1, 1, 5]


@pytest.mark.parametrize(
  ("prediction", "message"),
  [
    ("eps", "prediction=eps: one of epsilon, v_prediction, flow"),
    ("flow", r"prediction=flow is of a path with a \+ s = 1"),
  ],
)
def test_what_a_path_does_not_predict_is_refused(prediction, message):
  with pytest.raises(ArgumentError, match=message):
    on_path(PATH.replace(prediction=prediction))


# What has no default.
NEEDED = {
  "random_stability": {"eta": 0.2},
  "relative_degradation": {"eta": 0.2, "search": search.get("continuation", rungs=4)},
}


def predicts(schedule):
  """The best network for Gaussian samples, in what the schedule says it predicts."""

  def predict(params, x, time):
    t = time if schedule.time is None else jnp.searchsorted(schedule.time, time)
    signal, noise = schedule.signal[t], schedule.noise[t]
    spread = jnp.exp(params["log_spread"])
    power = jnp.square(signal * spread) + jnp.square(noise)
    clean, eps = signal * jnp.square(spread) * x / power, noise * x / power
    if schedule.prediction == "flow":
      return eps - clean
    v = signal * eps - noise * clean
    return v if schedule.prediction == "v_prediction" else eps

  return predict


def on_path(schedule, **settings) -> TrainedModel:
  params = {"log_spread": jnp.log(jnp.float32(SPREAD))}
  return from_denoiser(
    predicts(schedule), schedule, sample_rate=RATE, params=params, **settings
  )


@pytest.mark.parametrize("name", attacks.names())
def test_every_method_says_the_same_of_v_as_of_noise(name):
  of_noise, of_v = (
    on_path(PATH.replace(prediction=prediction), num_inference_steps=STEPS).model
    for prediction in ("epsilon", "v_prediction")
  )
  attack = attacks.get(name, MEAN_SQUARE, **NEEDED.get(name, {}))
  scores = [attacked(attack, model, AUDIO).score for model in (of_noise, of_v)]
  # SecMI's is a difference of two states that is as small as 1e-5.
  atol = 2e-8 if name == "secmi" else 1e-6
  np.testing.assert_allclose(*scores, rtol=1e-3, atol=atol)


@pytest.mark.parametrize("name", attacks.names())
@pytest.mark.parametrize("path", [diffusion.TRIGONOMETRIC, diffusion.RECTIFIED_FLOW])
def test_every_method_scores_on_a_path_up_to_its_end(path, name):
  schedule = diffusion.Schedule.from_path(path, 50)
  model = on_path(schedule, num_inference_steps=STEPS).model
  attack = attacks.get(name, MEAN_SQUARE, **NEEDED.get(name, {}))
  for t in (1, 20, 49, 50):
    found = attacked(attack, model, AUDIO, t)
    assert np.isfinite(found.score), t


class Unhashable:
  __hash__ = None

  def __call__(self, x, t):
    return x


@pytest.mark.parametrize(
  ("change", "error", "match"),
  [
    ({"predict_noise": None}, ArgumentError, "^predict_noise=NoneType: it must be a f"),
    ({"encode": 3}, ArgumentError, "^encode=int: it must be a function"),
    ({"predict_noise": Unhashable()}, ArgumentError, "and the arrays as params$"),
    ({"path": np.ones(3)}, ArgumentError, r"^path=ndarray: it must be a diffusion\.S"),
    ({"sample_rate": 0}, ArgumentError, "^sample_rate=0: it must be a whole number"),
    ({"sample_rate": 8e3}, ArgumentError, r"^sample_rate=8000\.0: it must be"),
    ({"num_inference_steps": 0}, SettingError, "^num_inference_steps=0: at least 1"),
  ],
)
def test_what_makes_no_model_is_refused(change, error, match):
  given = {"predict_noise": posterior, "path": PATH, "sample_rate": RATE} | change
  with pytest.raises(error, match=match):
    from_denoiser(**given)


def test_a_model_in_this_folder_has_a_name(monkeypatch):
  """Rows of a model without one would all be refused after they were scored."""
  monkeypatch.chdir(checkpoints.find_model("diffwave-piano-a"))
  assert load_model(".").name == load_model("./").name == "diffwave-piano-a"


@pytest.mark.parametrize("steps", [2.5, "2"])
def test_steps_are_whole(steps):
  with pytest.raises(SettingError, match=rf"^num_inference_steps={steps}: at least 1"):
    load_model("diffwave-piano-a", num_inference_steps=steps)


def test_an_embedded_model_comes_with_its_record():
  name = "diffwave-piano-a"
  model = load_model(name, num_inference_steps=3)
  assert (model.name, model.source, model.group) == (name, name, "a")
  assert (model.sample_rate, model.clip_seconds) == (8000, 0.512)
  record = checkpoints.load_model(checkpoints.find_model(name))[1]
  assert model.weights_sha256 == record["weights_sha256"]
  assert model.members == {c["id"]: c["sha256"] for c in record["training"]["clips"]}
  assert model.model.num_inference_steps == 3
  # Three steps of so short a clip fit any memory: nothing is computed again.
  fitted = model.for_length(100)
  assert fitted.model == model.model.replace(rematerialise=False)
  assert fitted == dataclasses.replace(model, model=fitted.model)


def test_random_weights_take_the_place_of_its_own(tmp_path):
  network = {"channels": 4, "layers": 2, "embedding_width": 8}
  schedule = {"num_train_timesteps": 3, "betas": [0.1, 0.2, 0.3]}
  model = {"family": "diffwave", "network": network, "schedule": schedule}
  model |= {"sample_rate": 8000, "scale": 1.0}
  shapes = registry.abstract_params(model)
  params = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
  checkpoints.save_model(tmp_path, params, model, {})
  models = [
    load_model(tmp_path, name=str(i), random_key=jax.random.key(i)) for i in (0, 1)
  ]
  own = load_model(tmp_path)
  layers = [m.model.params["output_projection"]["kernel"] for m in (*models, own)]
  assert [model.name for model in models] == ["0", "1"]
  assert [np.std(layer) > 0 for layer in layers] == [True, True, False]
  assert len({float(layer[0, 0]) for layer in layers}) == 3


def test_a_model_that_cannot_be_loaded_is_named(tmp_path):
  with pytest.raises(checkpoints.CheckpointError, match=r"^no model folder none;"):
    load_model("none")
  with pytest.raises(SettingError, match=r"^precision=float8: it must be float32 or b"):
    load_model("diffwave-piano-a", precision="float8")
  with pytest.raises(SettingError, match=r"^stop_at=mel: a model on waveforms"):
    load_model("diffwave-piano-a", stop_at="mel")
  params, record = checkpoints.load_model(checkpoints.find_model("diffwave-piano-a"))
  record["model"]["network"]["layers"] = 4
  checkpoints.save_model(tmp_path, params, record["model"], {})
  with pytest.raises(checkpoints.CheckpointError, match=f"^{tmp_path}: weights do not"):
    load_model(tmp_path)
  record["model"]["network"]["layers"] = "x"
  checkpoints.save_model(tmp_path, params, record["model"], {})
  match = rf"^{tmp_path}: its model\.json does not describe a model \(network\.layers"
  with pytest.raises(checkpoints.CheckpointError, match=match):
    load_model(tmp_path)
