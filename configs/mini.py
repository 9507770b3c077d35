"""The embedded benchmark: multi-genre cross-over, small DiffWaves, two CPU cores.

  python -m launch.eval --config=configs/mini.py --workdir=runs/mini

It takes three minutes of two CPU cores, and `configs/mini.py:piano` runs the piano
corpus. What is varied around it stands in configs/sweep_mini.py.

To keep to that time the reverse process is one step and the search is the fast one
(docs/search.md): 34 gradients a clip, where the paper's bisection takes about 660.
t, the distance, eta_ref and the baselines' settings were chosen on tune tracks
(benchmarks/tune_mini.md). The paper's are in configs/paper_diffwave.py.
The figures are those of test tracks.
"""

from ml_collections import ConfigDict

# Clips of a track in the halves, and of a development track: those that the models of
# the corpus were trained on.
_CLIPS = {"multigenre": (1, 3), "piano": (5, 12)}


def get_config(corpus: str = "multigenre") -> ConfigDict:
  if corpus not in _CLIPS:
    raise ValueError(f"no embedded corpus {corpus!r}; known: {', '.join(_CLIPS)}")
  clips_per_track, dev_clips_per_track = _CLIPS[corpus]
  config = ConfigDict()
  config.seed = 0
  # Embedded models; a path to a model folder works too.
  config.targets = {
    "A": f"diffwave-{corpus}-a",
    "B": f"diffwave-{corpus}-b",
    "reference": f"diffwave-{corpus}-reference",
  }
  # Random weights in the place of the models' own: every interval must contain 0.5.
  config.untrained = False
  config.corpus = dict(
    path=corpus,
    clip_seconds=0.512,
    clips_per_track=clips_per_track,
    dev_clips_per_track=dev_clips_per_track,
    # Only the first seconds of each clip are scored; 0 scores all of it.
    scored_seconds=0.0,
  )
  # Settings were chosen on the tracks of the part `tune`.
  config.part = "test"
  # These are scored in this order: the probe, names of baselines, and those with
  # `_nfe_matched` behind, which get as many network function evaluations as the probe.
  config.methods = ("loss", "rediffuse", "lsa_probe", "lsa_probe_anchored")

  # The probe.
  config.t_ratio = 0.1
  config.num_inference_steps = 1
  config.distance = "waveform"
  config.tau = dict(eta_ref=0.4, quantile=0.95)
  # The probe anchored at the clip, and twins that every method scores beside a clip:
  # chosen on tune tracks (benchmarks/tune_twins.md). Development clips set tau and need
  # no twins.
  config.anchored = dict(t_ratio=0.2, tau=dict(eta_ref=0.11, quantile=0.5))
  config.twins = dict(names=("polarity", "reversal"), development=False)
  config.search = dict(
    # One of the searches below; a report replays the paper's too.
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
  # The budget of the method `max_degradation`, the ascent without a search.
  config.max_degradation = dict(eta=0.8)

  # The baselines, each at its own t; the probe's where none is given.
  config.baselines = dict(
    loss=dict(t_ratio=0.4, draws=4),
    random_stability=dict(t_ratio=0.2, eta=0.8, draws=4),
    trajectory=dict(t_ratio=0.4, times=4),
    secmi=dict(t_ratio=0.6, steps=10),
    pia=dict(t_ratio=0.2, order=4.0),
    pian=dict(t_ratio=0.6, order=4.0, mean_absolute=0.7978845608028654),
    sima=dict(t_ratio=0.1, order=4.0),
    pfami=dict(t_ratio=0.4, draws=20, gain=0.1, shift=16),
    rediffuse=dict(t_ratio=0.2, draws=10),
    path_error=dict(t_ratio=0.4, times=10, draws=1, width=0.2),
    gradient_norm=dict(t_ratio=0.6, times=10),
    noise_optimisation=dict(t_ratio=0.2, steps=5, line_search=5),
    second_order=dict(t_ratio=0.1, eta=0.01, steps=8),
    relative_degradation=dict(t_ratio=0.1, eta=0.4, draws=4),
  )

  # The networks' blocks run in this; bfloat16 is for accelerators (docs/speed.md).
  config.precision = "float32"
  # What latent models are decoded to: `mel` ends before the vocoder.
  config.stop_at = "waveform"
  config.batch_size = 8
  config.bootstrap_resamples = 10_000
  return config
