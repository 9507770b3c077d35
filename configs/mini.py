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


# Where another setting than that of `_baselines` was the best tried on tune tracks.
_SETTINGS = dict(
  trajectory=dict(times=1),
  pian=dict(order=1.0),
  pfami=dict(shift=64),
  rediffuse=dict(draws=20),
  second_order=dict(eta=0.1),
  relative_damage=dict(eta=0.1),
)


def _variants(corpus):
  """Ablation -> label -> what is changed."""
  return dict(
    num_steps={"1": {}, "2": dict(num_steps=2)},
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
      "4": dict(search=dict(continuation=dict(steps=4))),
      "8": dict(search=dict(continuation=dict(steps=8))),
    },
    norm={"rms": {}, "linf": dict(search=dict(norm="linf"))},
    # Baselines by what they had on tune tracks (benchmarks/tune_mini.md).
    settings={"usual": {}, "tuned": dict(baselines=_SETTINGS)},
    # At the paper's t and tau, and with its distance: see `_paper_distance`.
    paper_distance={
      name: _paper_distance(name, corpus)
      for name in ("cdpam", "mr_stft", "log_mel", "waveform")
    },
  )


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
    relative_damage=dict(t_ratio=0.1, eta=0.4, draws=4),
  )


def _sweep(corpus):
  """What launch.sweep runs."""
  return dict(
    # Rows of the main table, and of those with as many evaluations as the probe.
    methods=BASELINES,
    matched=("loss", "pia", "sima", "random_stability"),
    # Rivals with as many evaluations as the probe, at its own t and at the paper's.
    equal_compute=dict(
      methods=("loss", "trajectory", "secmi", "pia", "sima", "random_stability"),
      t_ratio=(0.1, 0.6),
    ),
    # The paper's t and tau, with a distance that a CPU has time for; `paper_distance`
    # has the paper's own.
    paper=dict(t_ratio=0.6, distance="mr_stft", tau=dict(eta_ref=0.05)),
    # Of the ablations of t_ratio, times, draws and the variants.
    compared=("lsa_probe", "loss", "pia", "sima", "random_stability"),
    t_ratio=(0.1, 0.2, 0.4, 0.6, 0.8),
    eta_max=(0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
    # The first is below the ladder's lowest rung.
    eta_ref=(0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
    distance=("waveform", "log_mel", "mr_stft"),
    draws=(1, 2),
    # Ablation -> label -> what is changed.
    variants=_variants(corpus),
    # Of a variant that compares others.
    compared_in=dict(settings=tuple(_SETTINGS)),
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
      num_steps=1,
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
      worst_damage=dict(eta=0.8),
      batch_size=8,
      bootstrap_resamples=10_000,
    )
  )
