"""The networks that can be trained, by name, and what is exported of each."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from lsaprobe_jax import distances
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import oobleck, registry
from lsaprobe_jax.training import losses, low_rank
from lsaprobe_jax.training.settings import TrainSettings
from lsaprobe_jax.training.starting_weights import StartingWeights

# Times over T at which a denoiser's loss on whole groups is followed.
EVAL_T_RATIOS = (0.1, 0.2, 0.4, 0.6)
# Deviations of latents that a factor in a model's settings may undo.
_SPREADS = (1e-6, 1e6)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trainable:
  """A network to train.

  Attributes:
    objective: what it is trained to do (`training.losses`).
    export: from its trained parameters and the examples to (parameters, model
      configuration) of the model folder.
    eval_t_ratios: times over T of its `eval_loss`; None where it has no time.
  """

  objective: Any
  export: Callable[[Any, Any], tuple[Any, dict[str, Any]]]
  eval_t_ratios: tuple[float, ...] | None = None

  @property
  def is_diffusion(self) -> bool:
    """Whether the diffusion itself is trained, so that its clips are its members."""
    return self.eval_t_ratios is not None


def make_trainable(settings: TrainSettings, start: StartingWeights) -> Trainable:
  """The network that `settings.trains` names, with the weights it starts from.

  Raises:
    SettingError: nothing of that name can be trained, or the model has none, or its
      networks or its rate do not fit together.
  """
  if settings.trains not in TRAINABLES:
    raise SettingError(f"trains={settings.trains}: one of {', '.join(TRAINABLES)}")
  try:
    model = registry.build_model(start.model, start.params, num_inference_steps=1)
  except ValueError as error:
    raise SettingError(f"model: {error}") from error
  rate = settings.model.get("sample_rate", model.sample_rate)
  if rate != model.sample_rate:
    raise SettingError(
      f"model.sample_rate={rate}: the model's own is {model.sample_rate}, by its"
      " vae.sampling_rate, and clips have to be at that"
    )
  if getattr(model, "channels", 1) > 1:
    raise SettingError(
      "model: it has two channels, and a training reads one; train a model of one"
      " channel"
    )
  return TRAINABLES[settings.trains](settings, start, model)


def _denoiser(settings: TrainSettings, start: StartingWeights, model: Any) -> Trainable:
  # A latent model has other networks beside its denoiser, which stay as they are.
  place = next((n for n, part in start.params.items() if part is model.params), None)
  objective = losses.Denoising(
    model, settings.loss_power, EVAL_T_RATIOS, latent=place is not None
  )
  return Trainable(
    objective=objective,
    export=lambda own, _: (start.params | {place: own} if place else own, start.model),
    eval_t_ratios=EVAL_T_RATIOS,
  )


def _lora(settings: TrainSettings, start: StartingWeights, model: Any) -> Trainable:
  if not start.initial:
    raise SettingError("trains=lora: it goes on from a model; name it in `initial`")
  if settings.stored_dtype != "float32":
    # What is added is small beside the weights, and would be rounded off with them.
    raise SettingError(
      f"stored_dtype={settings.stored_dtype}: merged weights are stored in float32"
    )
  whole = _denoiser(settings, start, model)
  key = jax.random.fold_in(jax.random.key(settings.seed), 0)
  adapters = low_rank.draw(
    whole.objective.params, key, settings.lora_rank, settings.lora_layers
  )

  def export(own, examples):
    # The model folder has the weights merged, as a fine-tune of all of them has.
    return whole.export(low_rank.merge(whole.objective.params, own), examples)

  objective = low_rank.LowRank(adapters, whole.objective)
  return Trainable(
    objective=objective, export=export, eval_t_ratios=whole.eval_t_ratios
  )


def _vae(settings: TrainSettings, start: StartingWeights, model: Any) -> Trainable:
  _check_part("vae", start)
  if isinstance(model.autoencoder, oobleck.Oobleck):
    return _oobleck(settings, start, model)
  objective = losses.Autoencoding(
    model.vae_params, model.front_end, model.autoencoder, settings.kl_weight
  )

  def export(vae, examples):
    # Latents of unit variance, as latent diffusion wants them.
    scale = {"scaling_factor": 1 / _spread(objective, vae, examples)}
    return {"vae": vae}, start.model | {"vae": start.model["vae"] | scale}

  return Trainable(objective=objective, export=export)


def _spread(objective: Any, vae: Any, audio: Any) -> float:
  """The deviation of the latents, which a model's settings can hold."""
  spread = objective.spread(vae, audio)
  if not _SPREADS[0] < spread < _SPREADS[1]:
    raise SettingError(
      f"trains=vae: the latents' deviation is {spread:g}: nothing is encoded; lower"
      " kl_weight or learning_rate"
    )
  return spread


def _oobleck(settings: TrainSettings, start: StartingWeights, model: Any) -> Trainable:
  objective = losses.Coding(
    model.vae_params,
    distances.get("mr_stft", sample_rate=model.sample_rate),
    # A training keeps one clip's states at a time, and has room for them.
    model.autoencoder.clone(rematerialise=False),
    settings.kl_weight,
  )

  def export(vae, audio):
    # There is no factor beside the weights: they themselves get latents of unit
    # variance, as a path in continuous time wants them.
    spread = _spread(objective, vae, audio)
    return {"vae": oobleck.scaled(vae, 1 / spread)}, start.model

  return Trainable(objective=objective, export=export)


def _vocoder(settings: TrainSettings, start: StartingWeights, model: Any) -> Trainable:
  _check_part("vocoder", start)
  objective = losses.Vocoding(
    model.vocoder_params,
    model.front_end,
    distances.get("mr_stft", sample_rate=model.sample_rate),
    model.voice,
    settings.mel_weight,
  )
  export = lambda vocoder, _: ({"vocoder": vocoder}, start.model)
  return Trainable(objective=objective, export=export)


def _check_part(name: str, start: StartingWeights) -> None:
  if name not in start.params:
    raise SettingError(
      f"trains={name}: a model of family {start.model['family']} has none"
    )


# What `trains` may be: `(settings, weights it starts from, model) -> Trainable`.
TRAINABLES: dict[str, Callable[[TrainSettings, StartingWeights, Any], Trainable]] = {
  "denoiser": _denoiser,
  "lora": _lora,
  "vae": _vae,
  "vocoder": _vocoder,
}
