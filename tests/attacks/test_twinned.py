"""An attack on a clip and its twins in one program, and what its rows say."""

import jax
import numpy as np
import pytest
from naive import DISTANCE, SEARCH, T

from lsaprobe_jax import attacks, twins
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import DegradationCurve, LSAProbe
from lsaprobe_jax.attacks.twinned import Twinned
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.twins import mirrored

NAMES = ("polarity", "reversal", "phase_90")
scored = jax.jit(lambda attack, *args: attack(*args))


@pytest.mark.parametrize("attack", [attacks.Loss(draws=2), attacks.PIA()])
def test_clip_and_twins_score_as_each_alone(model, audio, key, attack):
  found = scored(Twinned.by_names(attack, NAMES), model, key, audio, T)
  plain = scored(attack, model, key, audio, T)
  assert float(found.score) == pytest.approx(float(plain.score), rel=1e-5)
  alone = [
    float(scored(attack, mirrored(model, twins.get(name)), key, audio, T).score)
    for name in NAMES
  ]
  np.testing.assert_allclose(found.details["twin_scores"], alone, rtol=1e-5)
  assert len({round(score, 6) for score in alone}) == len(NAMES)


def test_the_nfe_of_the_clip_and_of_all_twins_are_counted_apart(model, audio, key):
  found = scored(
    Twinned.by_names(attacks.GradientNorm(times=3), NAMES), model, key, audio, T
  )
  assert (int(found.nfe_forward), int(found.nfe_backward)) == (3, 3)
  assert int(found.details["twin_nfe_forward"]) == 9
  assert int(found.details["twin_nfe_backward"]) == 9


def test_the_papers_search_spends_what_each_twin_needs(model, audio, key):
  probe = LSAProbe(distance=DISTANCE, tau=np.float32(2e-4), search=SEARCH)
  found = scored(Twinned.by_names(probe, NAMES), model, key, audio, T)
  alone = [
    scored(probe, mirrored(model, twins.get(name)), key, audio, T) for name in NAMES
  ]
  scores = [float(one.score) for one in alone]
  np.testing.assert_allclose(found.details["twin_scores"], scores, rtol=1e-3)
  spent = sum(int(one.nfe_forward) for one in alone)
  assert int(found.details["twin_nfe_forward"]) == spent


def test_curves_of_twins_are_kept_for_any_tau(model, audio, key):
  search = searches.get("continuation", rungs=3)
  curve = DegradationCurve(distance=DISTANCE, search=search, anchor="clip")
  found = scored(Twinned.by_names(curve, NAMES), model, key, audio, T)
  assert found.details["twin_degradations"].shape == (3, 3)
  assert found.details["twin_rest"].shape == (3,)
  alone = scored(curve, mirrored(model, twins.get("reversal")), key, audio, T)
  np.testing.assert_allclose(
    found.details["twin_degradations"][1], alone.details["degradations"], rtol=1e-4
  )


def test_a_twin_that_cannot_be_undone_is_scored_with_the_noise_as_it_is(
  model, audio, key
):
  names = ("slower_3", "polarity")
  loss = attacks.Loss(draws=1)
  found = scored(Twinned.by_names(loss, names), model, key, audio, T)
  slower = np.asarray(twins.get("slower_3")(audio))
  wanted = float(scored(loss, model, key, slower, T).score)
  # In the order of the names, whatever is batched with what.
  assert float(found.details["twin_scores"][0]) == pytest.approx(wanted, rel=1e-5)


def test_magnitudes_and_names_are_those_of_attack_and_twins():
  assert Twinned.by_names(attacks.Loss(), NAMES).magnitude
  assert not Twinned.by_names(attacks.PFAMI(), NAMES).magnitude
  assert Twinned.by_names(attacks.Loss(), NAMES).names == NAMES
  with pytest.raises(SettingError, match=r"twins.names=mirror: known"):
    Twinned.by_names(attacks.Loss(), ["mirror"])
