"""The embedded benchmark: multi-genre cross-over, small DiffWaves, 2 CPU cores.

  python -m launch.eval --config=configs/mini.py --workdir=runs/mini

About 4 minutes on two CPU cores; `configs/mini.py:piano` runs the piano corpus.

To keep to those minutes the reverse process is one step and the search is the fast one
(docs/search.md): 34 gradients a clip, where the paper's bisection takes about 660.
t, the distance, eta_ref and the baselines' settings were chosen on tune tracks
(benchmarks/tune_mini.md) and are not the paper's (`configs/paper_diffwave.py`); the
figures are of test tracks.
"""

from ml_collections import ConfigDict

# Clips of a track in the halves, and of a development track.
_CLIPS = {"multigenre": (1, 3), "piano": (5, 12)}

# Of the embedded models' trainings: epochs, and of those before the ones compared.
_EPOCHS = {"multigenre": 3000, "piano": 500}
_SNAPSHOTS = {"multigenre": (375, 750), "piano": (62, 125)}

BASELINES = (
  "loss",
  "random_stability",
  "trajectory",
  "secmi",
  "pia",
  "pian",
  "sima",
  "pfami",
  "rediffuse",
  "gradient_norm",
  "noise_optimisation",
  "second_order",
)

# With as many evaluations as the probe: the usual rivals, the other baselines of the
# paper, and the best of all less a reference's.
_MATCHED = (
  "loss",
  "pia",
  "sima",
  "random_stability",
  "trajectory",
  "secmi",
  "rediffuse",
)

# In ablations.
COMPARED = ("lsa_probe", "loss", "pia", "sima", "random_stability")

# Where another setting than that of `_baselines` was the best tried on tune tracks.
_SETTINGS = dict(
  trajectory=dict(times=1),
  pian=dict(order=1.0),
  pfami=dict(shift=64),
  rediffuse=dict(draws=20),
  second_order=dict(eta=0.1),
  relative_degradation=dict(eta=0.1),
)


def _variants(corpus):
  """Ablation -> label -> what is changed."""
  return dict(
    num_inference_steps={"1": {}, "2": dict(num_inference_steps=2)},
    # The first quarter and half of the clips that the models were trained on.
    clip_ms={
      "128": dict(corpus=dict(scored_seconds=0.128)),
      "256": dict(corpus=dict(scored_seconds=0.256)),
      "512": {},
    },
    # Gradients at each budget; 0: random directions, at as many evaluations as 2.
    ascent_steps={
      "0": dict(search=dict(name="random_directions")),
      "2": {},
      "4": _steps(4),
    },
    more_ascent_steps={"2": {}, "8": _steps(8)},
    norm={"rms": {}, "linf": dict(search=dict(norm="linf"))},
    # The embedded models as they are on the way, where they have been trained once more
    # (configs/train_diffwave.py); the reference is the same at all.
    epochs={str(n): dict(targets=_targets(corpus, n)) for n in _SNAPSHOTS[corpus]}
    | {str(_EPOCHS[corpus]): {}},
    # More methods with as many evaluations as the probe, each at its own t.
    nfe_matched={"own t": {}},
    # Baselines by what they had on tune tracks (benchmarks/tune_mini.md).
    settings={"usual": {}, "tuned": dict(baselines=_SETTINGS)},
    # At the paper's t and tau, and with its distance: see `_paper_distance`.
    paper_distance={
      name: _paper_distance(name, corpus)
      for name in ("cdpam", "mr_stft", "log_mel", "waveform")
    },
  )


def _targets(corpus, epochs):
  """A and B as they were after so many epochs (configs/train_diffwave.py)."""
  folder = f"runs/train/{corpus}-%s/snapshots/{epochs:05d}"
  return {name: folder % name.lower() for name in "AB"}


def _steps(count):
  """So many gradients at each budget."""
  return dict(search=dict(continuation=dict(steps=count)))


def _paper_distance(name, corpus):
  """The probe at the paper's t and tau, by a ladder short enough for CDPAM on a CPU.

  14 gradients a clip instead of 34, and tau from 20 clips or a few more.
  """
  return dict(
    distance=name,
    t_ratio=0.6,
    tau=dict(eta_ref=0.05),
    search=dict(continuation=dict(rungs=6)),
    corpus=dict(dev_clips_per_track={"multigenre": 2, "piano": 12}[corpus]),
  )


def _search():
  """Settings of every search; `name` is the one used."""
  return dict(
    # One of those below.
    name="continuation",
    eta_max=0.8,
    norm="rms",
    continuation=dict(span=16.0, rungs=16, steps=2, warmup=2, momentum=0.8, restarts=1),
    # The paper's.
    bisection=dict(
      halvings=10,
      ascent_steps=12,
      step_size=0.25,
      momentum=0.9,
      restarts=5,
      min_gain=0.01,
      patience=3,
      min_gradient=1e-6,
    ),
    auto_pgd=dict(halvings=6, ascent_steps=50, restarts=1),
    minimum_norm=dict(steps=35, step_size=2.0, shrink=0.1, start=0.25),
    # No search: the ablation of it.
    random_directions=dict(span=16.0, rungs=16, draws=6),
  )


def _baselines():
  """Each at its own t; the probe's where none is given."""
  return dict(
    loss=dict(t_ratio=0.4, draws=4),
    random_stability=dict(t_ratio=0.2, eta=0.8, draws=4),
    trajectory=dict(t_ratio=0.4, times=4),
    secmi=dict(t_ratio=0.6, steps=10),
    pia=dict(t_ratio=0.2, order=4.0),
    pian=dict(t_ratio=0.6, order=4.0, mean_absolute=0.7978845608028654),
    sima=dict(t_ratio=0.1, order=4.0),
    pfami=dict(t_ratio=0.4, draws=20, gain=0.1, shift=16),
    rediffuse=dict(t_ratio=0.2, draws=10),
    gradient_norm=dict(t_ratio=0.6, times=10),
    noise_optimisation=dict(t_ratio=0.2, steps=5, line_search=5),
    second_order=dict(t_ratio=0.1, eta=0.01, steps=8),
    relative_degradation=dict(t_ratio=0.1, eta=0.4, draws=4),
  )


def _sweep(corpus):
  """What launch.sweep runs."""
  return dict(
    methods=BASELINES,
    # Rivals that besides get as many evaluations as the probe: in the main table and
    # wherever `compared` are, but for `t_ratio` (for which there is `equal_compute`),
    # `times` and `draws`. The cheapest of all, and the probe without its search;
    # configs/study_mini.py has more, and more of t.
    nfe_matched=("loss", "random_stability"),
    equal_compute=(0.1, 0.2, 0.6),
    # The paper's t and tau, with a distance that a CPU has time for; `paper_distance`
    # has the paper's own.
    paper=dict(t_ratio=0.6, distance="mr_stft", tau=dict(eta_ref=0.05)),
    # Of every ablation that `compared_in` does not name.
    compared=COMPARED,
    t_ratio=(0.1, 0.2, 0.6),
    eta_max=(0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
    # The first is below the ladder's lowest rung.
    eta_ref=(0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
    distance=("waveform", "log_mel", "mr_stft"),
    draws=(1, 2),
    # Ablation -> label -> what is changed.
    variants=_variants(corpus),
    # Of a variant that compares others.
    compared_in=dict(
      settings=tuple(_SETTINGS),
      # Not at equal compute. CDPAM takes an hour of a core for random directions alone,
      # and 392 evaluations are more than PIA and SimA (of configs/study_mini.py) have
      # times for.
      paper_distance=COMPARED,
      more_ascent_steps=COMPARED,
      nfe_matched=("lsa_probe", *(f"{name}_nfe_matched" for name in _MATCHED)),
    ),
  )


def get_config(corpus: str = "multigenre") -> ConfigDict:
  if corpus not in _CLIPS:
    raise ValueError(f"no embedded corpus {corpus!r}; known: {', '.join(_CLIPS)}")
  clips_per_track, dev_clips_per_track = _CLIPS[corpus]
  return ConfigDict(
    dict(
      seed=0,
      corpus=dict(
        path=corpus,
        clip_seconds=0.512,
        # Of a track in the halves: those the models were trained on.
        clips_per_track=clips_per_track,
        dev_clips_per_track=dev_clips_per_track,
        # Only the first seconds of each clip; 0: all of it.
        scored_seconds=0.0,
      ),
      # Where a name is that of an embedded model; a path to a model folder works too.
      targets=dict(
        A=f"diffwave-{corpus}-a",
        B=f"diffwave-{corpus}-b",
        reference=f"diffwave-{corpus}-reference",
      ),
      # Settings were chosen on the tracks of the part `tune`.
      part="test",
      # Random weights instead of the targets' own: every interval must contain 0.5.
      untrained=False,
      t_ratio=0.1,
      num_inference_steps=1,
      # Of the models' blocks: bfloat16 for accelerators, see docs/speed.md.
      precision="float32",
      distance="waveform",
      search=_search(),
      tau=dict(eta_ref=0.4, quantile=0.95),
      # In this order; `lsa_probe` and names of baselines.
      methods=("loss", "rediffuse", "random_stability", "lsa_probe"),
      baselines=_baselines(),
      sweep=_sweep(corpus),
      # The ascent at one budget: tried by launch.tune, not a row of launch.eval.
      max_degradation=dict(eta=0.8),
      batch_size=8,
      bootstrap_resamples=10_000,
    )
  )
