"""Times of an audit's methods on models that they were not chosen for."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_stable_audio

from lsaprobe_jax import diffusion
from lsaprobe_jax.audit import AuditSettings, times
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checkpoints, schedules
from lsaprobe_jax.models.trained import TrainedModel, load_model


def test_times_were_chosen_on_the_embedded_schedule():
  folder = checkpoints.find_model("diffwave-multigenre-a")
  config = json.loads((folder / checkpoints.MODEL_FILE).read_text())["model"]
  embedded = schedules.build(config["schedule"])
  np.testing.assert_array_equal(times.chosen_on().signal, embedded.signal)


def test_discrete_schedules_keep_their_times():
  settings = AuditSettings()
  # MusicLDM's times are of other log-SNRs, and its scores stay as they were.
  made, notes = times.matched(settings, load_model("musicldm-multigenre-a"))
  assert made == settings
  assert not notes


def test_a_path_is_scored_at_the_same_noise():
  model = TrainedModel(name="m", model=tiny_stable_audio.model())
  settings = AuditSettings()
  made, (note,) = times.matched(settings, model)
  own, chosen = model.model.schedule, times.chosen_on()

  def same(ratio, before):
    # The noise over the signal, on a quarter of a circle of 1,000 steps.
    here = np.tan(np.pi / 2 * ratio)
    t = round(200 * before)
    there = float(chosen.noise[t] / chosen.signal[t])
    step = np.tan(np.pi / 2 * (ratio + 1e-3)) - here
    assert abs(here - there) < step
    assert round(ratio * own.num_train_timesteps) >= 1

  same(made.t_ratio, settings.t_ratio)
  same(made.anchored.t_ratio, settings.anchored.t_ratio)
  for name, options in settings.baselines.items():
    same(made.baselines[name]["t_ratio"], options["t_ratio"])
    others = dict(options) | {"t_ratio": None}
    assert dict(made.baselines[name]) | {"t_ratio": None} == others
  assert made.t_ratio != settings.t_ratio
  assert "untuned" in note
  # Matched once, they are the model's own.
  assert times.matched(made, model) == (made, [])
  early = dataclasses.replace(settings, t_ratio=0.001)
  with pytest.raises(SettingError, match=r"^match_times=True: t_ratio=0\.001 gives"):
    times.matched(early, model)
  as_given = dataclasses.replace(settings, match_times=False)
  assert times.matched(as_given, model) == (as_given, [])


def _log_snr(schedule, t):
  return float(np.log(schedule.signal[t] ** 2 / schedule.noise[t] ** 2))


@pytest.mark.parametrize(
  ("changes", "latest"),
  [
    # 0.6 T is the latest of the default methods' times, where both differ most.
    ({}, 120),
    ({"methods": ("loss",)}, 80),
    ({"methods": ("lsa_probe_anchored",)}, 40),
    # What has no time of its own has the probe's.
    ({"methods": ("path_error",), "t_ratio": 0.5}, 100),
    # A time that a schedule lacks is passed over.
    ({"methods": ("lsa_probe", "loss"), "t_ratio": 0.001}, 80),
  ],
)
def test_the_noise_of_another_schedule_is_told_where_it_differs_most(changes, latest):
  settings = dataclasses.replace(AuditSettings(), **changes)
  here = load_model("diffwave-multigenre-a")
  other = here.model.replace(schedule=diffusion.linear(200, 1e-4, 0.05))
  there = dataclasses.replace(here, model=other)
  (note,) = times.unlike(settings, [here, there])
  own, others = (_log_snr(m.model.schedule, latest) for m in (here, there))
  assert f"is {own:.1f} under the model and {others:.1f} under the reference" in note


def test_much_the_same_noise_is_not_noted():
  settings = AuditSettings()
  here = load_model("diffwave-multigenre-a")
  assert not times.unlike(settings, [here])
  assert not times.unlike(settings, [here, here])
  near = here.model.replace(schedule=diffusion.linear(200, 1e-4, 0.025))
  apart = _log_snr(here.model.schedule, 120) - _log_snr(near.schedule, 120)
  assert 0.3 < apart < 0.5
  assert not times.unlike(settings, [here, dataclasses.replace(here, model=near)])
