"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const NS = "http://www.w3.org/2000/svg";
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const redraws = [];
  const sideName = { member: "member", nonmember: "non-member" };
  const fixed = (x, n = 3) => (x === null ? "none" : x.toFixed(n));
  const short = (x) => (x === null || x === undefined ? "–" : x !== 0 && Math.abs(x) < 1e-3 ? x.toExponential(Number.isInteger(Math.log10(x)) ? 0 : 1) : String(Number(x.toPrecision(3))));
  const pick = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
  const auc = (r) => fixed(r.auc) + (r.auc_ci ? ` [${r.auc_ci.map((v) => fixed(v)).join(", ")}]` : "");
  const tpr = (r, t) => r.tpr[t] === null ? "not estimable" : `${(100 * r.tpr[t]).toFixed(1)}%` +
    (r.tpr_ci[t] ? ` [${r.tpr_ci[t].map((v) => (100 * v).toFixed(0)).join(", ")}]` : "") +
    (r.flagged[t] ? "*" : "");

  function el(parent, name, attributes = {}, text) {
    const node = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  // Ticks at round numbers: 1, 2, 5 of a power of ten, or powers where it is a logarithm.
  function ticks([low, high], log) {
    const found = [];
    if (log) {
      const every = Math.max(1, Math.ceil(Math.log10(high / low) / 5));
      for (let e = Math.ceil(Math.log10(low) - 1e-9); e <= Math.log10(high) + 1e-9; e += every) found.push(10 ** e);
      if (found.length > 1) return found;
      return [low, Math.sqrt(low * high), high].map((v) => Number(v.toPrecision(2)));
    }
    const raw = (high - low) / 5 || 1;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= raw);
    for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) found.push(Number(v.toPrecision(8)));
    return found;
  }

  // An empty drawing with axes; x and y: {domain, log, title, names}.
  function axes(id, label, x, y, height = 300, left = 62) {
    const box = $(id);
    const width = Math.max(280, box.clientWidth || 640);
    const [top, right, bottom] = [12, 14, 46];
    box.replaceChildren();
    const svg = el(box, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    const scale = (axis, from, to) => (v) => {
      const f = axis.log ? Math.log : (u) => u;
      const [a, b] = axis.domain.map(f);
      return from + ((f(v) - a) / (b - a || 1)) * (to - from);
    };
    const sx = scale(x, left, width - right);
    const sy = scale(y, height - bottom, top);
    const marks = (axis) => axis.names ? axis.names.map((n, i) => [i, n]) : ticks(axis.domain, axis.log).map((v) => [v, short(v)]);
    for (const [v, text] of marks(x)) {
      el(svg, "line", { class: "axis", x1: sx(v), x2: sx(v), y1: top, y2: height - bottom });
      el(svg, "text", { x: sx(v), y: height - bottom + 16, "text-anchor": "middle" }, text);
    }
    for (const [v, text] of marks(y)) {
      el(svg, "line", { class: "axis", x1: left, x2: width - right, y1: sy(v), y2: sy(v) });
      const name = el(svg, "text", { x: left - 7, y: sy(v) + 4, "text-anchor": "end" }, text);
      // Long names are made to fit, as they would lose their beginning.
      if (text.length * 6.8 > left - 9) name.style.fontSize = `${((left - 9) / (0.58 * text.length)).toFixed(1)}px`;
    }
    el(svg, "text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, x.title);
    if (y.title) el(svg, "text", { transform: `translate(14 ${(height - bottom + top) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.title);
    return { svg, sx, sy, left, right: width - right, top, bottom: height - bottom };
  }
  const path = (points, p) => points.map(([x, y], i) => `${i ? "L" : "M"}${p.sx(x).toFixed(1)} ${p.sy(y).toFixed(1)}`).join("");
  const steps = (points, p) => points.map(([x, y], i) => i ? `H${p.sx(x).toFixed(1)}V${p.sy(y).toFixed(1)}` : `M${p.sx(x).toFixed(1)} ${p.sy(y).toFixed(1)}`).join("");
  const hline = (p, v, c = "ref") => el(p.svg, "line", { class: c, x1: p.left, x2: p.right, y1: p.sy(v), y2: p.sy(v) });
  const vline = (p, v, c = "ref") => el(p.svg, "line", { class: c, x1: p.sx(v), x2: p.sx(v), y1: p.top, y2: p.bottom });
  function mark(svg, i, x, y, cls, tip) {
    const d = [`M${x - 4} ${y}a4 4 0 1 0 8 0a4 4 0 1 0-8 0z`, `M${x - 4} ${y - 4}h8v8h-8z`, `M${x} ${y - 5}l5 5l-5 5l-5-5z`, `M${x} ${y - 5}l5 9h-10z`][i % 4];
    const node = el(svg, "path", { d, class: cls });
    if (tip) el(node, "title", {}, tip);
    return node;
  }
  function options(select, list) {
    select.replaceChildren(...list.map(([value, text]) => {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = text;
      return option;
    }));
  }
  const draw = (fn) => { redraws.push(fn); fn(); };
  // One timer a player: play, pause, and an end.
  function player(button, advance) {
    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "Play";
      button.setAttribute("aria-pressed", "false");
    };
    button.addEventListener("click", () => {
      if (timer) return stop();
      button.textContent = "Pause";
      button.setAttribute("aria-pressed", "true");
      timer = setInterval(() => { if (!advance()) stop(); }, still ? 1500 : 600);
    });
    return stop;
  }

  function drawMethods() {
    const which = pick("scores");
    const shown = data.methods.filter((r) => which === "all" || r.difficulty_calibration === which);
    const bounds = shown.flatMap((r) => r.auc_ci || [r.auc]);
    const longest = 6.8 * Math.max(...shown.map((r) => r.label.length)) + 16;
    const narrow = $("plot-methods").clientWidth < 500;
    const p = axes("plot-methods", "AUC of each method with its interval",
      { domain: [Math.min(0.4, ...bounds), Math.max(0.7, ...bounds)], title: "AUC" },
      { domain: [shown.length - 0.5, -0.5], names: shown.map((r) => r.label) }, 60 + 24 * shown.length, Math.min(longest, narrow ? 165 : 310));
    vline(p, 0.5);
    shown.forEach((r, i) => {
      const own = r.method.startsWith("lsa_probe");
      const cls = `c-${r.difficulty_calibration}`;
      if (r.auc_ci) el(p.svg, "line", { class: cls, x1: p.sx(r.auc_ci[0]), x2: p.sx(r.auc_ci[1]), y1: p.sy(i), y2: p.sy(i) });
      mark(p.svg, own ? 2 : 0, p.sx(r.auc), p.sy(i), cls, `${r.label}: ${auc(r)}`);
    });
  }
  draw(drawMethods);
  document.querySelectorAll('input[name="scores"]').forEach((i) => i.addEventListener("change", drawMethods));

  function walkAndSearch() {
    const w = data.walk;
    const time = $("walk-time");
    const clip = () => ($("walk-clip").value === "" ? undefined : w.clips[Number($("walk-clip").value)]);
    let at = 0;
    function chooseSide() {
      const own = w.clips.map((c, i) => [i, c]).filter(([, c]) => c.split === pick("side"));
      options($("walk-clip"), own.map(([i, c]) => [i, `${c.title} (${c.label})`]));
      drawAll();
    }
    function drawWalk() {
      const c = clip();
      if (!c) {
        for (const name of ["x_0", "noisy", "clean", "attacked"]) for (const kind of ["img", "sound"]) $(`${kind}-${name}`).removeAttribute("src");
        $("plot-walk").replaceChildren();
        $("walk-text").textContent = "No clip of this side is recorded yet.";
        return;
      }
      const i = Number(time.value);
      for (const name of ["x_0", "noisy", "clean", "attacked"]) {
        const panel = name === "x_0" ? c.x_0 : c.panels[name][i];
        $(`img-${name}`).src = panel.image;
        $(`img-${name}`).alt = `Log-mel spectrogram of ${name}, ${c.title}, t = ${w.times[i]} T`;
        if ($(`sound-${name}`).src !== panel.sound) $(`sound-${name}`).src = panel.sound;
      }
      $("walk-time-text").textContent = `t = ${w.times[i]} T`;
      time.setAttribute("aria-valuetext", `t = ${w.times[i]} T`);
      const tau = w.taus[i];
      const over = (a, b) => (a >= b ? "above" : "below");
      $("walk-text").textContent = `${c.title}${c.author ? ` by ${c.author}` : ""}${c.licence ? ` (${c.licence})` : ""}: reconstruction distance ${short(c.reconstruction[i])}, ${over(c.reconstruction[i], w.thresholds[i])} its threshold ${short(w.thresholds[i])}. Attacked at ${w.eta_ref}: D = ${short(c.degradation[i])}` +
        (tau === null ? "; τ was not set at this t." : `, ${over(c.degradation[i], tau)} τ = ${short(tau)}.`);
      const values = [...c.reconstruction, ...w.thresholds];
      const p = axes("plot-walk", "Reconstruction distance by time", { domain: [0, Math.max(...w.times)], title: "t / T" },
        { domain: [Math.min(...values) * 0.8, Math.max(...values) * 1.2], log: true, title: "distance" }, 230);
      el(p.svg, "path", { class: "ref", d: path(w.times.map((t, k) => [t, w.thresholds[k]]), p) });
      el(p.svg, "path", { class: c.split, d: path(w.times.map((t, k) => [t, c.reconstruction[k]]), p) });
      mark(p.svg, 0, p.sx(w.times[i]), p.sy(c.reconstruction[i]), c.split);
      vline(p, w.times[i], "grey");
    }
    const trace = () => clip().searches[$("search-name").value];
    const flat = () => !clip() ? [] : trace().budgets.flatMap((eta, k) => trace().steps[k].map((value) => ({ eta, value, k })));
    function drawSearch() {
      if (!clip()) {
        $("plot-search").replaceChildren();
        $("search-text").textContent = "No clip of this side is recorded yet.";
        return;
      }
      const all = flat();
      const t = trace();
      at = Math.min(at, all.length);
      const seen = all.slice(0, at);
      const tau = clip().tau;
      const values = [...all.map((s) => s.value).filter((v) => v > 0), tau];
      const p = axes("plot-search", "D at each ascent step by budget", { domain: [0, Math.max(...t.budgets) * 1.05], title: "budget η, in units of σₜ" },
        { domain: [Math.min(...values) / 1.3, Math.max(...values) * 1.3], log: true, title: "D" }, 320);
      const now = seen.length ? seen[seen.length - 1].k : -1;
      const done = at === all.length ? now : now - 1;
      let [low, high] = [0, null];
      for (let k = 0; k <= done; k += 1) {
        if (t.degradations[k] >= tau) high = Math.min(high ?? Infinity, t.budgets[k]);
        else if (high === null || t.budgets[k] < high) low = Math.max(low, t.budgets[k]);
      }
      const end = high ?? Math.max(...t.budgets) * 1.05;
      el(p.svg, "rect", { class: "band", x: p.sx(low), width: Math.max(1, p.sx(end) - p.sx(low)), y: p.top, height: p.bottom - p.top });
      hline(p, tau);
      seen.forEach((s) => { if (s.value > 0) mark(p.svg, s.k === now ? 2 : 0, p.sx(s.eta), p.sy(s.value), s.value >= tau ? "nonmember" : "member"); });
      const bracket = `bracket [${short(low)}, ${high === null ? "?" : short(high)}]`;
      $("search-text").textContent = `Step ${at} of ${all.length}` + (now < 0 ? ". Press Step or Play." : `: budget ${short(seen[at - 1].eta)}, D = ${short(seen[at - 1].value)}, τ = ${short(tau)}; ${bracket}.`) +
        (at === all.length ? (t.reached ? ` C_adv = ${short(t.cost)}.` : " τ was not reached.") : "");
    }
    function drawAll() { at = 0; drawWalk(); drawSearch(); }
    options($("search-name"), Object.keys(w.clips[0].searches).map((n, i) => [n, i ? n : `${n} (used for the scores)`]));
    time.value = w.times.indexOf(w.t_ratio);
    document.querySelectorAll('input[name="side"]').forEach((i) => i.addEventListener("change", chooseSide));
    $("walk-clip").addEventListener("change", drawAll);
    time.addEventListener("input", drawWalk);
    player($("walk-play"), () => {
      time.value = (Number(time.value) + 1) % w.times.length;
      drawWalk();
      return true;
    });
    const ahead = () => {
      at += 1;
      drawSearch();
      return at < flat().length;
    };
    const stop = player($("search-play"), ahead);
    $("search-step").addEventListener("click", ahead);
    $("search-reset").addEventListener("click", () => { stop(); at = 0; drawSearch(); });
    $("search-name").addEventListener("change", () => { stop(); at = 0; drawSearch(); });
    chooseSide();
    redraws.push(drawWalk, drawSearch);
  }
  if (data.walk) walkAndSearch();

  function degradationCurves() {
    const model = () => data.curves.find((m) => m.model === $("curves-model").value);
    const fill = () => options($("curves-clip"), model().clips.map((c) => [c.clip, `${c.title} (${sideName[c.split]})`]));
    function drawCurves() {
      const m = model();
      const positive = m.clips.flatMap((c) => c.points.filter(([, d]) => d > 0));
      const [xs, ys] = [positive.map((q) => q[0]), [...positive.map((q) => q[1]), m.tau]];
      const p = axes("plot-curves", "D against budget by clip", { domain: [Math.min(...xs), Math.max(...xs)], log: true, title: "budget η, in units of σₜ" },
        { domain: [Math.min(...ys), Math.max(...ys)], log: true, title: "degradation D" }, 380);
      for (const c of m.clips) {
        const hot = c.clip === $("curves-clip").value;
        const node = el(p.svg, "path", { class: `${c.split} ${hot ? "hot" : "dim"}`, d: path(c.points.filter(([, d]) => d > 0), p) });
        node.dataset.clip = c.clip;
        node.addEventListener("pointerenter", () => {
          $("curves-clip").value = c.clip;
          p.svg.querySelectorAll("path").forEach((q) => { q.classList.toggle("hot", q === node); q.classList.toggle("dim", q !== node); });
          say();
        });
      }
      hline(p, m.tau);
      say();
    }
    function say() {
      const c = model().clips.find((k) => k.clip === $("curves-clip").value);
      $("curves-text").textContent = `${c.title}, ${sideName[c.split]}: ` + (c.reached ? `C_adv = ${short(c.cost)}.` : "τ was not reached.");
    }
    $("curves-model").addEventListener("change", () => { fill(); drawCurves(); });
    $("curves-clip").addEventListener("change", drawCurves);
    fill();
    draw(drawCurves);
  }
  if (data.curves) degradationCurves();

  // Raw records of an ablation, a line or a row of marks a method.
  function ablation(id, records, title, value, interval, yTitle, ref) {
    const shown = records.filter((r) => r.difficulty_calibration === "none" && value(r) !== null);
    const values = [...new Set(shown.map((r) => r.value))];
    const numeric = values.every((v) => typeof v === "number");
    const names = [...new Set(shown.map((r) => r.label))];
    const x = numeric ? { domain: [0, Math.max(...values) * 1.05], title } : { domain: [-0.5, values.length - 0.5], names: values, title };
    const others = names.filter((name) => name !== "lsa_probe");
    const ends = shown.flatMap((r) => interval(r) || [value(r)]);
    // Room for the legend above what is drawn.
    const top = Math.max(...ends, ref) + 0.08 * names.length * (Math.max(...ends, ref) - Math.min(...ends, ref));
    const p = axes(id, yTitle, x, { domain: [Math.min(...ends, ref), top], title: yTitle }, 320);
    hline(p, ref, "grey");
    names.forEach((name, n) => {
      const cls = name === "lsa_probe" ? "nonmember solid" : ["member", "third"][others.indexOf(name) % 2];
      const own = shown.filter((r) => r.label === name).map((r) => [(numeric ? r.value : values.indexOf(r.value)), r]);
      const shift = (n - (names.length - 1) / 2) * 9;
      if (numeric && own.length > 1) el(p.svg, "path", { class: cls, d: path(own.map(([v, r]) => [v, value(r)]), p), transform: `translate(${shift} 0)` });
      own.forEach(([v, r]) => {
        const at = p.sx(v) + shift;
        const ci = interval(r);
        if (ci) el(p.svg, "line", { class: cls, x1: at, x2: at, y1: p.sy(ci[0]), y2: p.sy(ci[1]) });
        mark(p.svg, n + 2, at, p.sy(value(r)), cls, `${name}, ${title} ${r.value}`);
      });
      mark(p.svg, n + 2, p.left + 14, p.top + 8 + 16 * n, cls);
      el(p.svg, "text", { x: p.left + 24, y: p.top + 12 + 16 * n }, name);
    });
  }
  const byAuc = (id, records, title) => draw(() => ablation(id, records, title, (r) => r.auc, (r) => r.auc_ci, "AUC", 0.5));
  if (data.distances) byAuc("plot-distances", data.distances, "distance");
  if (data.times) byAuc("plot-times", data.times, "t / T");
  // Records as a line for each name of a field, side by side; values are evenly spaced.
  function lines(p, names, records, field, values, look, unit) {
    names.forEach((name, n) => {
      const line = records.filter((r) => r[field] === name).sort((a, b) => a.value - b.value);
      const at = line.map((r) => [p.sx(values.indexOf(r.value)) + (n - (names.length - 1) / 2) * 7, r]);
      if (line.length > 1) el(p.svg, "path", { class: look(name, n), d: at.map(([x, r], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${p.sy(r.auc).toFixed(1)}`).join("") });
      at.forEach(([x, r]) => {
        if (r.auc_ci) el(p.svg, "line", { class: look(name, n), x1: x, x2: x, y1: p.sy(r.auc_ci[0]), y2: p.sy(r.auc_ci[1]) });
        mark(p.svg, n, x, p.sy(r.auc), look(name, n), `${r.label}, ${r.value} ${unit}: ${auc(r)}`);
      });
    });
  }
  // One drawing a method, one line a difficulty calibration; epochs are evenly spaced.
  function lengths(box) {
    const own = data.lengths.filter((r) => r.method === box.dataset.method);
    const values = [...new Set(data.lengths.map((r) => r.value))].sort((a, b) => a - b);
    const ends = data.lengths.flatMap((r) => r.auc_ci || [r.auc]);
    const p = axes(box.id, `AUC of ${box.dataset.method} by epochs of training`, { domain: [-0.5, values.length - 0.5], names: values, title: "epochs" },
      { domain: [Math.min(0.45, ...ends), Math.max(...ends)], title: box.dataset.method }, 280);
    hline(p, 0.5, "grey");
    lines(p, Object.keys(data.calibrations), own, "difficulty_calibration", values, (name) => `c-${name}`, "epochs");
  }
  if (data.lengths) document.querySelectorAll("[data-method]").forEach((box) => draw(() => lengths(box)));
  // Lines by method in one calibration, or one method's in all; doses are evenly spaced.
  function doses() {
    const [family, method] = ["family", "method"].map((n) => $(`dose-${n}`));
    const chosen = () => data.doses[Number(family.value)];
    function drawDoses() {
      const d = chosen();
      const few = method.value === "";
      const names = few ? d.methods.slice(0, d.few) : Object.keys(data.calibrations);
      const key = few ? "method" : "difficulty_calibration";
      const own = d.records.filter((r) => few ? names.includes(r.method) && r.difficulty_calibration === pick("dose-scores") : r.method === method.value);
      const ends = own.flatMap((r) => r.auc_ci || [r.auc]);
      const p = axes("plot-dose", "AUC by passes over a clip", { domain: [-0.5, d.doses.length - 0.2], names: d.doses, title: "passes over a clip" },
        { domain: [Math.min(0.4, ...ends), Math.max(0.8, ...ends)], title: "AUC" }, 380);
      hline(p, 0.5, "grey");
      hline(p, 0.75, "grey");
      const look = (name, n) => (few ? `m-${n}` : `c-${name}`);
      lines(p, names, own, key, d.doses, look, "passes");
      const line = new Map(own.map((r) => [r.label, look(r[key], names.indexOf(r[key]))]));
      // In the colours of their lines: the only legend.
      $("dose-text").replaceChildren(...d.passes.filter((r) => line.has(r.label)).flatMap((r, i) => {
        const name = document.createElement("span");
        name.className = `key ${line.get(r.label)}`;
        name.textContent = r.label;
        return [i ? "; " : "", name, ` ${r.passes}`];
      }));
    }
    function chooseFamily() {
      const before = method.value;
      options(method, [["", "several"], ...chosen().methods.map((m) => [m, m])]);
      if (chosen().methods.includes(before)) method.value = before;
      drawDoses();
    }
    family.addEventListener("change", chooseFamily);
    method.addEventListener("change", drawDoses);
    document.querySelectorAll('input[name="dose-scores"]').forEach((i) => i.addEventListener("change", drawDoses));
    chooseFamily();
    redraws.push(drawDoses);
  }
  if (data.doses) doses();
  if (data.budgets && data.budget_targets.length) {
    const target = $("budgets-target");
    const redraw = () => ablation("plot-budgets", data.budgets, "largest budget η_max", (r) => r.tpr[target.value], (r) => r.tpr_ci[target.value], "TPR", 0);
    target.addEventListener("change", redraw);
    draw(redraw);
  }

  function explorer() {
    const labels = [...new Set(data.explorer.map((e) => e.label))];
    const [method, time, model] = ["method", "time", "model"].map((n) => $(`explorer-${n}`));
    const setting = () => data.explorer.find((e) => e.label === method.value && String(e.t_ratio) === time.value);
    function drawExplorer() {
      const e = setting();
      const m = e.models[model.value];
      const log = pick("axes") === "log";
      const scores = [...m.member, ...m.nonmember];
      const [low, high] = [Math.min(...scores), Math.max(...scores)];
      const count = 16;
      const bin = (own) => {
        const bins = Array(count).fill(0);
        own.forEach((s) => { bins[Math.min(count - 1, Math.floor(((s - low) / (high - low || 1)) * count))] += 1; });
        return bins;
      };
      const bins = { member: bin(m.member), nonmember: bin(m.nonmember) };
      const most = Math.max(...bins.member, ...bins.nonmember);
      const p = axes("plot-scores", "Distribution of scores", { domain: [low, high], title: e.is_cost ? "C_adv, as ranked, in units of σₜ" : "score" },
        { domain: [-most, most], title: "clips (non-members below)" }, 300);
      for (const [side, sign] of [["member", 1], ["nonmember", -1]]) {
        bins[side].forEach((n, i) => {
          const [a, b] = [i, i + 1].map((k) => p.sx(low + ((high - low) * k) / count));
          const [y0, y1] = [p.sy(0), p.sy(sign * n)];
          if (n) el(p.svg, "rect", { class: side, x: a + 1, width: Math.max(1, b - a - 2), y: Math.min(y0, y1), height: Math.abs(y1 - y0) });
        });
      }
      hline(p, 0, "grey");
      const floor = [1 / m.record.n_nonmember, 1 / m.record.n_member];
      const domain = (k) => (log ? [floor[k] / 2, 1] : [0, 1]);
      const q = axes("plot-roc", "ROC", { domain: domain(0), log, title: "false-positive rate" }, { domain: domain(1), log, title: "true-positive rate" }, 300);
      // Logarithmic axes have no zero: a rate of 0 is drawn on the axis.
      const points = m.roc.map(([a, b]) => (log ? [Math.max(a, domain(0)[0]), Math.max(b, domain(1)[0])] : [a, b]));
      const line = [...Array(41).keys()].map((k) => k / 40).filter((v) => v >= Math.max(domain(0)[0], domain(1)[0]));
      el(q.svg, "path", { class: "grey", d: path(line.map((v) => [v, v]), q) });
      el(q.svg, "path", { class: `c-${e.difficulty_calibration}`, d: steps(points, q) });
      const r = m.record;
      $("explorer-text").textContent = `${e.label}, t = ${e.t_ratio} T, model ${model.value}: AUC ${auc(r)}; TPR ` +
        data.targets.map((t) => `${tpr(r, t)} at ${100 * t}% FPR`).join(", ") + `; n = ${r.n_member} members, ${r.n_nonmember} non-members` +
        (m.censored.member + m.censored.nonmember ? `; censored ${m.censored.member} and ${m.censored.nonmember}` : "") + ". * few false positives expected.";
    }
    function chooseMethod() {
      options(time, data.explorer.filter((e) => e.label === method.value).map((e) => [e.t_ratio, `${e.t_ratio} T${e.distance ? `, ${e.distance}` : ""}`]));
      chooseTime();
    }
    function chooseTime() {
      const before = model.value;
      const names = Object.keys(setting().models).sort((a, b) => (b === "mean") - (a === "mean"));
      options(model, names.map((n) => [n, n === "mean" ? "A and B together" : n]));
      if (names.includes(before)) model.value = before;
      drawExplorer();
    }
    options(method, labels.map((l) => [l, l]));
    method.addEventListener("change", chooseMethod);
    time.addEventListener("change", chooseTime);
    model.addEventListener("change", drawExplorer);
    document.querySelectorAll('input[name="axes"]').forEach((i) => i.addEventListener("change", drawExplorer));
    chooseMethod();
    redraws.push(drawExplorer);
  }
  explorer();

  document.querySelectorAll("#clips-table .sort").forEach((button, column) => button.addEventListener("click", () => {
    const head = button.parentElement;
    const up = head.getAttribute("aria-sort") !== "ascending";
    document.querySelectorAll("#clips-table th[aria-sort]").forEach((h) => h.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = document.querySelector("#clips-table tbody");
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => (column < 5 ? key(a).localeCompare(key(b)) : key(a) - key(b));
    body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * compare(a, b)));
  }));
  document.querySelectorAll("td.sound").forEach((cell) => {
    const sound = data.sounds[cell.dataset.clip];
    if (!sound) return cell.append("not kept");
    const button = document.createElement("button");
    button.type = "button";
    const say = (own, text) => {
      own.textContent = text;
      own.setAttribute("aria-label", `${text} ${own.parentElement.dataset.title}`);
    };
    button.addEventListener("click", () => {
      const heard = $("clip-sound");
      const playing = !heard.paused && heard.src === sound;
      heard.pause();
      document.querySelectorAll("td.sound button").forEach((b) => say(b, "Play"));
      if (playing) return;
      heard.src = sound;
      say(button, "Stop");
      heard.onended = () => say(button, "Play");
      heard.play().catch((error) => say(button, error.name));
    });
    cell.append(button);
    say(button, "Play");
  });
  $("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText($("bibtex").textContent);
      $("copy-text").textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren($("bibtex"));
      $("copy-text").textContent = "Selected; press Ctrl+C.";
    }
  });
  const redraw = () => redraws.forEach((fn) => fn());
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
  addEventListener("beforeprint", () => { document.querySelectorAll("details").forEach((d) => { d.open = true; }); });
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
