"""Frozen settings: made of nested dicts, changed by dotted names, checked by rules."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from ml_collections import ConfigDict

from lsaprobe_jax import settings
from lsaprobe_jax.errors import LsaProbeError, SettingError
from lsaprobe_jax.scoring.settings import SearchSettings
from lsaprobe_jax.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Oven(Settings):
  heat: float = 180.0
  fan: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cake(Settings):
  RULES: ClassVar[tuple[settings.Rule, ...]] = (
    settings.above(0, 300, "oven.heat"),
    settings.true_or_false("oven.fan"),
    settings.whole(1, 12, "eggs", "spices.*.spoons"),
    settings.or_none(settings.between(0, 1, "sugar")),
    settings.one_of(("round", "square"), "tin"),
    settings.a_name("layers"),
  )

  eggs: int
  oven: Oven = Oven()
  sugar: float | None = None
  tin: str = "round"
  layers: tuple[str, ...] = ("sponge",)
  spices: Mapping[str, Any] = dataclasses.field(default_factory=dict)


CAKE = Cake.from_dict({"eggs": 2, "spices": {"clove": {"spoons": 1}}})


def test_settings_are_made_of_nested_dicts_and_frozen():
  made = Cake.from_dict({"eggs": 3, "oven": {"fan": True}, "layers": ["a", "b"]})
  assert made == Cake(eggs=3, oven=Oven(fan=True), layers=("a", "b"))
  assert (made.oven.heat, made.sugar) == (180.0, None)
  with pytest.raises(dataclasses.FrozenInstanceError):
    made.eggs = 4


def test_they_are_plain_json_and_back():
  assert CAKE.to_dict() == {
    "eggs": 2,
    "oven": {"heat": 180.0, "fan": False},
    "sugar": None,
    "tin": "round",
    "layers": ["sponge"],
    "spices": {"clove": {"spoons": 1}},
  }
  assert Cake.from_dict(CAKE.to_dict()) == CAKE


def test_changes_are_nested_or_dotted():
  nested = CAKE.changed({"oven": {"heat": 200.0}, "spices": {"mace": {"spoons": 2}}})
  dotted = CAKE.changed({"oven.heat": 200.0, "spices.mace": {"spoons": 2}})
  assert nested == dotted
  assert dotted.oven == Oven(heat=200.0)
  assert set(dotted.spices) == {"clove", "mace"}
  assert CAKE.oven.heat == 180.0
  assert set(CAKE.spices) == {"clove"}
  deep = CAKE.changed({"spices.clove.spoons": 3})
  assert deep.spices == {"clove": {"spoons": 3}}


def test_configurations_are_taken_as_they_are():
  config = ConfigDict({"eggs": 3, "oven": {"heat": 150.0}, "layers": ("a",)})
  assert Cake.from_dict(config.to_dict()).oven.heat == 150.0
  assert settings.plain(config) == {
    "eggs": 3, "oven": {"heat": 150.0}, "layers": ("a",)
  }  # fmt: skip
  assert CAKE.changed({"spices": config.oven}).spices["heat"] == 150.0


@pytest.mark.parametrize(
  ("values", "match"),
  [
    ({}, r"^eggs: is not given"),
    ({"eggs": 2, "flour": 1}, r"^flour: there is no such setting; known: eggs, oven"),
    ({"eggs": 2, "oven": {"gas": 1}}, r"^oven\.gas: there is no such setting"),
    ({"eggs": 2, "oven": 180}, r"^oven=180: a table of settings is wanted"),
    ({"eggs": {"hen": 2}}, r"^eggs: a value is wanted, not a table"),
    ({"eggs": 2, "spices": "clove"}, r"^spices=clove: a table of settings is wanted"),
    ({"eggs": 2, "layers": "sponge"}, r"^layers=sponge: a sequence is wanted"),
    ({"eggs": 2, "layers": ["a", ""]}, r"^layers=: a name"),
    ({"eggs": 2, "layers": ["a", 5]}, r"^layers=5: a name"),
    ({"eggs": 2, "tin": "oval"}, r"^tin=oval: one of round, square"),
    ({"eggs": 0}, r"^eggs=0: at least 1 and at most 12, a whole number"),
    ({"eggs": 2.0}, r"^eggs=2\.0: at least 1"),
    ({"eggs": True}, r"^eggs=True: at least 1"),
    ({"eggs": "two"}, r"^eggs=two: at least 1"),
    ({"eggs": None}, r"^eggs=None: at least 1"),
    ({"eggs": 2, "sugar": 1.5}, r"^sugar=1\.5: at least 0 and at most 1, .*or None"),
    ({"eggs": 2, "sugar": float("nan")}, r"^sugar=nan: a finite number"),
    ({"eggs": 2, "oven": {"heat": float("inf")}}, r"^oven\.heat=inf: a finite number"),
    ({"eggs": 2, "oven": {"heat": 0}}, r"^oven\.heat=0: above 0 and at most 300"),
    ({"eggs": 2, "oven": {"fan": 1}}, r"^oven\.fan=1: True or False"),
    ({"eggs": 2**63}, r"^eggs=9223372036854775808: an integer of at most 63 bits"),
    ({"eggs": 10**5000}, r"^eggs=\(an endless integer\): an integer of at most 63"),
    ({"eggs": 2, "spices": {"x": {"spoons": 0}}}, r"^spices\.x\.spoons=0: at least 1"),
    ({"eggs": 2, "spices": {"x": float("nan")}}, r"^spices\.x=nan: a finite number"),
    ({"eggs": 2, "e\x1b": 1}, r"^e\\x1b: there is no such setting"),
    (5, r"^settings=5: a table of settings is wanted"),
  ],
)
def test_what_cannot_be_used_is_named(values, match):
  with pytest.raises(SettingError, match=match) as caught:
    Cake.from_dict(values)
  assert isinstance(caught.value, LsaProbeError)
  assert len(str(caught.value).splitlines()) == 1
  assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"oven.gas": 1}, r"^oven\.gas: there is no such setting"),
    ({"oven.fan.speed": 1}, r"^oven\.fan: there is no such table"),
    ({"stove.heat": 1}, r"^stove: there is no such table of settings"),
    ({"eggs": 13}, r"^eggs=13: "),
    ({"oven": 5}, r"^oven=5: a table of settings is wanted"),
    ({"oven.heat": {"x": 1}}, r"^oven\.heat: a value is wanted"),
  ],
)
def test_changes_that_cannot_be_made_are_named(changes, match):
  with pytest.raises(SettingError, match=match):
    CAKE.changed(changes)


def test_a_rule_may_say_it_in_other_words():
  rule = settings.saying("0 finds it", settings.whole(0, 9, "size"))
  settings.check({"size": 0}, (rule,))
  with pytest.raises(SettingError, match=r"^size=-1: 0 finds it$"):
    settings.check({"size": -1}, (rule,))
  # A rule says nothing of what is not there.
  settings.check({}, (rule,))


def test_settings_of_a_search_stand_beside_its_name():
  flat = {"name": "bisection", "eta_max": 0.5, "bisection": {"halvings": 3}}
  made = SearchSettings.from_dict(flat)
  assert made.options == {"bisection": {"halvings": 3}}
  assert made.to_dict() == flat | {"norm": "rms"}
  assert SearchSettings.from_dict(made.to_dict()) == made
  whole = {"name": "bisection", "eta_max": 0.5, "options": made.options}
  assert SearchSettings.from_dict(whole) == made
  changed = made.changed({"bisection.halvings": 4, "auto_pgd": {"restarts": 1}})
  assert changed.options == {"bisection": {"halvings": 4}, "auto_pgd": {"restarts": 1}}
  assert "continuation" in SearchSettings().options


@pytest.mark.parametrize(
  ("values", "match"),
  [
    (
      {"halvings": 3},
      r"^halvings: there is no such setting; known: name, eta",
    ),
    (5, r"^settings=5: a table of settings is wanted"),
  ],
)
def test_a_search_has_no_other_settings(values, match):
  with pytest.raises(SettingError, match=match):
    SearchSettings.from_dict(values)
