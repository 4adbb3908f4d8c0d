// One synapse of one neuron that learns by e-prop: its simulation, and a picture of it.
"use strict";

(() => {
  const DT_MS = 1;
  const STEPS = 500;
  const TAU_OUT_MS = 20;
  const GAMMA = 0.3; // ψ at the threshold is γ/θ

  // ---- The simulation ----

  // Numbers in [0, 1) that follow from a seed.
  function mulberry32(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  // Poisson spikes, at most one a step. With the same seed, a higher rate adds spikes and takes none away.
  function poisson({ seed, rateHz }) {
    const random = mulberry32(seed);
    return Array.from({ length: STEPS }, () => (random() < (rateHz * DT_MS) / 1000 ? 1 : 0));
  }

  // L, given the readout's error err = ∂E/∂y = y − y*.
  function learningSignal({ signal, wOut, feedback, constant }, error) {
    return { symmetric: wOut * error, random: feedback * error, constant }[signal];
  }

  // The neuron after a step, from what it was before: v, a, z and the refractory counter.
  function neuronStep(settings, { alpha, rho }, before, x) {
    const { weight, threshold: theta, beta, refractorySteps } = settings;
    const v = alpha * before.v + weight * x - theta * before.z;
    const threshold = theta + beta * before.a; // Θ^t, with the a^t that the step finds
    const u = (v - threshold) / theta;
    const refractory = before.counter > 0; // never for n_ref of 0 or 1
    const z = u > 0 && !refractory ? 1 : 0;
    const psi = refractory ? 0 : (GAMMA / theta) * Math.max(0, 1 - Math.abs(u));
    const counter = Math.min(Math.max(before.counter + refractorySteps * z - 1, 0), refractorySteps);
    return { v, threshold, z, psi, counter, a: rho * before.a + z };
  }

  // The synapse after a step. As with a, the ε_a^t of a step is the one that it finds.
  function synapseStep({ beta }, { alpha, rho }, before, x, psi) {
    const epsilonV = alpha * before.epsilonV + x;
    const epsilonA = before.nextEpsilonA;
    const e = psi * (epsilonV - beta * epsilonA);
    return { epsilonV, epsilonA, e, nextEpsilonA: psi * epsilonV + (rho - psi * beta) * epsilonA };
  }

  // All quantities over time, from the settings alone; `settings.inputs`, where given, stand in for the Poisson spikes.
  function simulate(settings) {
    const decay = (tauMs) => Math.exp(-DT_MS / tauMs);
    const decays = { alpha: decay(settings.tauMembraneMs), rho: decay(settings.tauAdaptationMs) };
    const kappa = decay(TAU_OUT_MS);
    const names = ["x", "v", "threshold", "z", "psi", "epsilonV", "epsilonA", "e", "eFiltered", "y", "signal", "dW"];
    const run = Object.fromEntries(names.map((name) => [name, []]));
    let neuron = { v: 0, a: 0, z: 0, counter: 0 };
    let synapse = { epsilonV: 0, nextEpsilonA: 0 };
    let [y, eFiltered, dW] = [0, 0, 0];
    for (const x of settings.inputs ?? poisson(settings)) {
      neuron = neuronStep(settings, decays, neuron, x);
      synapse = synapseStep(settings, decays, synapse, x, neuron.psi);
      y = kappa * y + settings.wOut * neuron.z;
      eFiltered = kappa * eFiltered + synapse.e;
      const signal = learningSignal(settings, y - settings.target);
      dW -= settings.eta * signal * eFiltered;
      const now = { x, ...neuron, ...synapse, eFiltered, y, signal, dW };
      names.forEach((name) => run[name].push(now[name]));
    }
    return run;
  }

  // ---- The picture ----

  const sub = (base, index) => `${base}<tspan class="sub" dy="3">${index}</tspan><tspan dy="-3">&#8203;</tspan>`;
  const [EPSILON_V, BETA_EPSILON_A, FILTERED] = [sub("ε", "v"), sub("β ε", "a"), `${sub("F", "κ")}(e)`];
  const TRACE = `e = ψ (${EPSILON_V} − ${BETA_EPSILON_A})`;

  // What is drawn of a run with its settings: [symbol, colour, values].
  const curves = (run, { beta, target }) => ({
    v: ["v", "one", run.v],
    threshold: ["Θ", "two", run.threshold],
    psi: ["ψ", "three", run.psi],
    epsilonV: [EPSILON_V, "one", run.epsilonV],
    epsilonA: [BETA_EPSILON_A, "two", run.epsilonA.map((value) => beta * value)],
    e: [TRACE, "three", run.e],
    eFiltered: [FILTERED, "three", run.eFiltered],
    y: ["y", "one", run.y],
    target: ["y*", "two", run.y.map(() => target)],
    signal: ["L", "four", run.signal],
    dW: [`ΔW = −η Σ L ${FILTERED}`, "four", run.dW],
  });
  // The panels, from the top: the curves in them, their unit, their height, and what they are called.
  const PANELS = [
    [["v", "threshold"], " [v]", 90, "potential, threshold"],
    [["psi"], " 1/[v]", 40, "pseudo-derivative"],
    [["epsilonV", "epsilonA"], "", 60, "eligibility vector"],
    [["e"], " 1/[v]", 50, "eligibility trace"],
    [["eFiltered"], " 1/[v]", 50, "filtered trace"],
    [["y", "target"], "", 60, "readout, target"],
    [["signal"], "", 50, "learning signal"],
    [["dW"], " [v]", 60, "change of weight"],
  ];
  const [LEFT, RIGHT, TITLE, STRIP] = [52, 10, 26, 12];

  const minus = (text) => text.replace("-", "−");
  const format = (value) => minus(value === 0 ? "0" : String(Number(value.toPrecision(3))));

  // The next of …, 1, 1.5, 2, 3, 5, 7, 10, … that is not below a value.
  function roundUp(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return Number((power * [1, 1.5, 2, 3, 5, 7, 10].find((factor) => factor * power >= value)).toPrecision(2));
  }

  // A range with round ends that holds 0 and all values.
  function rangeOf(values) {
    const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
    return [low < 0 ? -roundUp(-low) : 0, high > 0 || low === high ? roundUp(high || 1) : 0];
  }

  const text = (x, y, content, kind = "") => `<text x="${x}" y="${y}" class="${kind}">${content}</text>`;
  const rule = (x1, y1, x2, y2, kind) => `<path class="${kind}" d="M${x1},${y1}L${x2},${y2}"/>`;

  function spikes(values, { place, cursor }, top, symbol, words, colour) {
    const marks = values.flatMap((value, step) => (value ? [`M${place(step)},${top}v${STRIP}`] : []));
    const label = text(LEFT - 6, top + STRIP - 1, `${symbol} = ${values[cursor]}`, "bound");
    return `${label}<path class="${colour}" d="${marks.join("")}"><title>${words}</title></path>`;
  }

  function panel(drawn, [, unit, height, words], { place, right, cursor }, top) {
    const [low, high] = rangeOf(drawn.flatMap(([, , values]) => values));
    const level = (value) => (top + (height * (high - value)) / (high - low)).toFixed(1);
    const line = ([, colour, values]) => {
      const points = values.map((value, step) => `${place(step)},${level(value)}`);
      return `<polyline class="${colour}" points="${points.join(" ")}"/>`;
    };
    const name = ([symbol, colour, values]) =>
      `<tspan class="${colour}">${symbol}</tspan> = ${format(values[cursor])}${unit}`;
    const bounds = [low, 0, high].filter((bound, index, all) => all.indexOf(bound) === index);
    const rules = bounds.map((bound) => rule(LEFT, level(bound), right, level(bound), bound ? "bound" : "zero"));
    const legible = bounds.filter((bound) => bound === 0 || Math.abs(level(bound) - level(0)) > 10);
    const labels = legible.map((bound) => text(LEFT - 6, Number(level(bound)) + 4, format(bound), "bound"));
    const titles = [text(LEFT, top - 8, drawn.map(name).join("&#8195;")), text(right, top - 8, words, "words")];
    return [...titles, ...rules, ...labels, ...drawn.map(line)].join("");
  }

  function axis({ place, right }, top) {
    const ticks = Array.from({ length: STEPS / 100 + 1 }, (_, index) => 100 * index);
    const labels = ticks.map((step) => text(place(step), top + 16, step * DT_MS, "time"));
    return rule(LEFT, top, right, top, "zero") + labels.join("");
  }

  // The picture of a run, so many pixels wide: [SVG, its height].
  function picture(run, settings, cursor, width) {
    const right = width - RIGHT;
    const place = (step) => (LEFT + (step * (right - LEFT)) / STEPS).toFixed(1);
    const view = { place, right, cursor };
    const all = curves(run, settings);
    const parts = [
      spikes(run.x, view, 4, "x", "spikes of the input", "one"),
      spikes(run.z, view, 8 + STRIP, "z", "spikes of the neuron", "two"),
    ];
    let top = 8 + 2 * STRIP;
    for (const described of PANELS) {
      const [names, , height] = described;
      const drawn = names.map((name) => all[name]);
      parts.push(panel(drawn, described, view, top + TITLE));
      top += TITLE + height;
    }
    parts.push(axis(view, top + 8), rule(place(cursor), 0, place(cursor), top + 8, "cursor"));
    return [parts.join(""), top + 30];
  }

  // ---- The page ----

  // The settings that a form's sliders and lists show.
  function settingsOf(form) {
    const fields = [...form.elements].filter((field) => field.matches("input, select"));
    return Object.fromEntries(fields.map(({ name, type, value }) => [name, type === "range" ? Number(value) : value]));
  }

  function showValues(root) {
    for (const slider of root.querySelectorAll("input[type=range]")) {
      const digits = (slider.step.split(".")[1] ?? "").length;
      const value = minus(Number(slider.value).toFixed(digits));
      slider.parentElement.querySelector("output").value = `${value} ${slider.dataset.unit}`.trim();
    }
  }

  function summary(run) {
    const [inputs, outputs] = [run.x, run.z].map((spikes) => spikes.reduce((sum, spike) => sum + spike));
    const rate = Math.round((1000 * outputs) / (STEPS * DT_MS));
    const change = format(run.dW.at(-1));
    return `${inputs} spikes in, ${outputs} out (${rate} Hz); ΔW = ${change} [v] after ${STEPS * DT_MS} ms`;
  }

  function start(root) {
    const [form, svg, status, time] = ["form", "svg", ".status", "[name=cursor]"].map((of) => root.querySelector(of));
    let seed = 1;
    let run;
    const redraw = () => {
      const width = svg.parentElement.clientWidth;
      const [content, height] = picture(run, settingsOf(form), Number(time.value), width);
      Object.entries({ width, height }).forEach(([name, value]) => svg.setAttribute(name, value));
      svg.innerHTML = content;
      showValues(root);
    };
    const update = () => {
      const settings = settingsOf(form);
      for (const slider of form.querySelectorAll("[data-signal]")) {
        slider.disabled = slider.dataset.signal !== settings.signal;
      }
      run = simulate({ ...settings, seed });
      status.textContent = summary(run);
      redraw();
    };
    const buttons = {
      spikes: () => (seed += 1),
      apply: () => (form.elements.weight.value = settingsOf(form).weight + run.dW.at(-1)),
    };
    for (const [name, act] of Object.entries(buttons)) {
      form.elements[name].addEventListener("click", () => (act(), update()));
    }
    form.addEventListener("input", update);
    form.addEventListener("reset", () => ((seed = 1), setTimeout(update)));
    time.addEventListener("input", redraw);
    const point = ({ clientX }) => {
      const { left, width } = svg.getBoundingClientRect();
      time.value = Math.round((STEPS * (clientX - left - LEFT)) / (width - LEFT - RIGHT)); // held within its bounds
      redraw();
    };
    ["pointermove", "pointerdown"].forEach((name) => svg.addEventListener(name, point));
    update();
    new ResizeObserver(redraw).observe(svg.parentElement);
  }

  window.touch = { simulate, poisson, picture };
  const root = document.getElementById("touch");
  if (root) start(root);
})();
