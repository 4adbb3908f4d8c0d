//! The page on which a reader moves sliders and sees a synapse learn.

use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use burn_eprop::cell::{AlifConfig, LifConfig};
use burn_eprop::estimator::{ChunkRecord, Eprop};
use burn_eprop::monitor::{Monitor, Synapse};
use burn_eprop::signal::{LearningSignal, Random, SignalContext, Symmetric};
use burn_eprop::{Batch, Cell, Loss, Network, NetworkConfig, Objective};
use eprop_tests::case::{float64, tensor};
use eprop_tests::findings::values;
use libtest_mimic::{Failed, Trial};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::browser::{Browser, book, on_book, on_browser, url};

/// Steps of a run.
const STEPS: usize = 300;
/// Largest difference, relative to the largest value where that is above 1.
const TOLERANCE: f64 = 1e-12;
/// Fewest spikes of a neuron whose run is compared.
const SPIKES: f64 = 5.0;

/// The trials of this page.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::ignorable_test("browser: the page computes what the library computes", || {
            on_browser(computes_what_the_library_computes)
        }),
        Trial::ignorable_test("browser: sliders move the picture", || on_book(sliders_move_the_picture)),
    ]
}

/// Where L comes from.
#[derive(Debug, Clone, Copy)]
enum Signal {
    Symmetric,
    /// By feedback B.
    Random(f64),
    /// The same at all times.
    Constant(f64),
}

/// Settings of the page.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// β; `None` for a LIF neuron.
    beta: Option<f64>,
    tau_membrane_ms: f64,
    tau_adaptation_ms: f64,
    threshold: f64,
    refractory_steps: usize,
    weight: f64,
    w_out: f64,
    target: f64,
    signal: Signal,
}

/// η, which is the page's own at first.
const ETA: f64 = 2e-4;

/// The page's own at first.
const FIRST: Settings = Settings {
    beta: Some(0.1),
    tau_membrane_ms: 20.0,
    tau_adaptation_ms: 200.0,
    threshold: 0.6,
    refractory_steps: 3,
    weight: 0.25,
    w_out: 1.0,
    target: 1.5,
    signal: Signal::Symmetric,
};

const SETTINGS: [Settings; 6] = [
    FIRST,
    Settings { beta: None, refractory_steps: 0, ..FIRST },
    Settings { beta: None, refractory_steps: 5, weight: 0.7, signal: Signal::Random(-0.8), ..FIRST },
    Settings { beta: Some(0.0), refractory_steps: 1, w_out: -1.3, target: 0.4, ..FIRST },
    Settings { threshold: 0.35, tau_membrane_ms: 7.0, weight: 0.6, signal: Signal::Constant(-0.5), ..FIRST },
    Settings {
        beta: Some(0.4),
        tau_adaptation_ms: 60.0,
        refractory_steps: 2,
        weight: 0.9,
        signal: Signal::Random(0.5),
        ..FIRST
    },
];

impl Settings {
    /// As the page knows them.
    fn json(&self, inputs: &[f64]) -> Value {
        let mut json = json!({
            "inputs": inputs,
            "beta": self.beta.unwrap_or(0.0),
            "tauMembraneMs": self.tau_membrane_ms,
            "tauAdaptationMs": self.tau_adaptation_ms,
            "threshold": self.threshold,
            "refractorySteps": self.refractory_steps,
            "weight": self.weight,
            "wOut": self.w_out,
            "target": self.target,
            "eta": ETA,
        });
        let (name, strength) = match self.signal {
            Signal::Symmetric => ("symmetric", None),
            Signal::Random(feedback) => ("random", Some(("feedback", feedback))),
            Signal::Constant(value) => ("constant", Some(("constant", value))),
        };
        json["signal"] = name.into();
        strength.into_iter().for_each(|(field, value)| json[field] = value.into());
        json
    }

    fn learning_signal(&self) -> Box<dyn LearningSignal> {
        match self.signal {
            Signal::Symmetric => Box::new(Symmetric),
            Signal::Random(_) => Box::new(Random),
            Signal::Constant(value) => Box::new(Constant(value)),
        }
    }

    /// What the library computes for these settings, by the page's names.
    fn run(&self, inputs: &[f64]) -> Vec<(&'static str, Vec<f64>)> {
        let options = float64(&Device::flex());
        match self.beta {
            None => {
                let cell = LifConfig::new(1)
                    .with_tau_membrane_ms(self.tau_membrane_ms.into())
                    .with_threshold(self.threshold)
                    .with_refractory_steps(self.refractory_steps);
                self.run_cell(cell.init(options), inputs)
            }
            Some(beta) => {
                let cell = AlifConfig::new(1)
                    .with_tau_membrane_ms(self.tau_membrane_ms.into())
                    .with_tau_adaptation_ms(self.tau_adaptation_ms.into())
                    .with_adaptation_strength(beta.into())
                    .with_threshold(self.threshold)
                    .with_refractory_steps(self.refractory_steps);
                self.run_cell(cell.init(options), inputs)
            }
        }
    }

    fn run_cell<C: Cell>(&self, cell: C, inputs: &[f64]) -> Vec<(&'static str, Vec<f64>)> {
        let options = float64(&Device::flex());
        let network = self.network(cell);
        let [inputs, targets] = [inputs.to_vec(), vec![self.target; inputs.len()]]
            .map(|values| tensor(values, [1, inputs.len(), 1], &options));
        let mut monitor = Monitor::new(0, vec![0]).with_synapses(vec![Synapse { post: 0, pre: 0 }]);
        let (mut outputs, mut vector) = (Vec::new(), EligibilityVector::default());
        let mut eprop = Eprop::boxed(Objective::sum(Loss::MeanSquaredError), self.learning_signal());
        let estimate = eprop.estimate_observed(&network, &Batch::new(inputs, targets), &mut |record| {
            outputs.extend(values(&record.outputs));
            vector.advance(&record);
            monitor.observe(&network, &record);
        });
        let recording = monitor.recording();
        let quantity = |name| recording.quantity(name).expect("known of a spiking cell")[0].clone();
        let (trace, signal) = (recording.synapses[0].traces[0].clone(), recording.signals[0].clone());
        let filtered = filter(&trace, network.readout.decay());
        let gradient = estimate.gradients.get::<2>(network.layers[0].w_in.id).expect("of a trained weight");
        let mut found = vec![
            ("x", recording.synapses[0].pre.clone()),
            ("v", quantity("v")),
            ("threshold", quantity("threshold")),
            ("psi", quantity("psi")),
            ("z", recording.outputs[0].clone()),
            ("epsilonV", vector.of_potential),
            ("e", trace),
            ("y", outputs),
            ("dW", changes(&signal, &filtered, values(&gradient)[0])),
            ("signal", signal),
            ("eFiltered", filtered),
        ];
        found.extend(self.beta.map(|_| ("epsilonA", vector.of_adaptation)));
        found
    }

    fn network<C: Cell>(&self, cell: C) -> Network<C> {
        let filled = |param: Param<Tensor<2>>, value: f64| param.map(|weights| weights.full_like(value));
        let mut network = NetworkConfig::new(1, 1).init(vec![cell], float64(&Device::flex()));
        let layer = &mut network.layers[0];
        layer.w_in = filled(layer.w_in.clone(), self.weight);
        network.readout.weight = filled(network.readout.weight, self.w_out);
        if let Signal::Random(feedback) = self.signal {
            network.feedback = filled(network.feedback, feedback);
        }
        network
    }
}

/// A signal from above, which knows nothing of the outputs.
#[derive(Debug, Clone, Copy)]
struct Constant(f64);

impl LearningSignal for Constant {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        context.neurons.full_like(self.0)
    }
}

/// ε of the synapse from the input at each step, by the recursion that the cell's linearisation defines.
#[derive(Debug, Default)]
struct EligibilityVector {
    /// ε_v.
    of_potential: Vec<f64>,
    /// ε_a as each step finds it.
    of_adaptation: Vec<f64>,
    /// ε_a as the last step leaves it.
    next: f64,
}

impl EligibilityVector {
    fn advance(&mut self, record: &ChunkRecord) {
        let layer = &record.layers[0];
        let linearization = &layer.linearization;
        let decay = linearization.pre_decay().expect("one decay for all neurons");
        let coefficient = |rows: &[Vec<Option<Tensor<2>>>]| {
            let first = rows.first().and_then(|row| row[0].as_ref());
            first.map_or_else(|| vec![0.0; record.time.len()], values)
        };
        let (a, b) = (coefficient(&linearization.a), coefficient(&linearization.b));
        let pre = values(&layer.pre.clone().narrow(2, 0, 1));
        for ((a, b), pre) in a.into_iter().zip(b).zip(pre) {
            let filtered = decay * self.of_potential.last().unwrap_or(&0.0) + pre;
            self.of_potential.push(filtered);
            self.of_adaptation.push(self.next);
            self.next = a * self.next + b * filtered;
        }
    }
}

/// F_κ.
fn filter(trace: &[f64], decay: f64) -> Vec<f64> {
    let low_pass = |last: &mut f64, value: &f64| {
        *last = decay * *last + value;
        Some(*last)
    };
    trace.iter().scan(0.0, low_pass).collect()
}

/// −η Σ L F_κ(e) up to each step; up to the last one, −η times the estimate's gradient.
fn changes(signal: &[f64], filtered: &[f64], gradient: f64) -> Vec<f64> {
    let sum = |sum: &mut f64, (signal, filtered): (&f64, &f64)| {
        *sum += signal * filtered;
        Some(-ETA * *sum)
    };
    let mut changes: Vec<_> = signal.iter().zip(filtered).scan(0.0, sum).collect();
    *changes.last_mut().expect("a step") = -ETA * gradient;
    changes
}

fn computes_what_the_library_computes(browser: &Browser) -> Result<(), Failed> {
    let rng = &mut StdRng::seed_from_u64(0);
    let mut spike = || f64::from(u8::from(rng.random_range(0.0..1.0) < 0.1));
    let inputs: Vec<f64> = (0..STEPS).map(|_| spike()).collect();
    let asked: Vec<_> = SETTINGS.iter().map(|settings| settings.json(&inputs)).collect();
    let page = browser.open_document(&format!(
        "<!doctype html><script src=\"{}\"></script><pre id=\"result\"></pre><script>\
         document.getElementById('result').textContent = JSON.stringify({}.map(touch.simulate));</script>",
        url(&book().join("src/touch.js")),
        Value::from(asked)
    ))?;
    page.assert_silent("touch.js")?;
    let answers = page.result()?;
    for (index, settings) in SETTINGS.iter().enumerate() {
        compare(settings, &settings.run(&inputs), &answers[index])?;
    }
    Ok(())
}

/// Compares all quantities, which must not be 0 throughout.
fn compare(settings: &Settings, expected: &[(&str, Vec<f64>)], found: &Value) -> Result<(), Failed> {
    println!("{settings:?}");
    for (name, expected) in expected {
        let found: Vec<f64> = serde_json::from_value(found[name].clone())?;
        assert_eq!(found.len(), expected.len(), "{name}");
        let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        assert!(largest > 0.0, "{name} is 0 throughout");
        let difference =
            found.iter().zip(expected).fold(0.0, |most: f64, (one, other)| most.max((one - other).abs()));
        println!("  {name}: up to {largest:.3}, differs by {difference:.1e}");
        if difference > TOLERANCE * largest.max(1.0) {
            return Err(format!("{settings:?}: {name} differs by {difference:e}").into());
        }
        let active = *name != "z" || expected.iter().sum::<f64>() >= SPIKES;
        assert!(active, "{settings:?}: hardly a spike");
    }
    Ok(())
}

/// A document that does to the page, in a frame, what a reader may do, and tells by name whether it had its effect.
const HARNESS: &str = r##"<!doctype html>
<iframe id="frame" style="height: 1800px"></iframe>
<pre id="result"></pre>
<script>
const frame = document.getElementById("frame");
const soon = () => new Promise((done) => setTimeout(done, 100));
const within4s = async (holds) => {
  for (let tries = 0; tries < 40 && !holds(); tries += 1) await soon();
  return holds();
};
const touchAll = async (page) => {
  const root = page.getElementById("touch");
  const [svg, list] = ["svg", "select"].map((name) => root.querySelector(name));
  const sliders = [...root.querySelectorAll("input[type=range]")];
  const [checks, moved] = [{}, new Set()];
  const set = (field, value) => {
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const move = (slider) => {
    const shown = () => slider.parentElement.querySelector("output").value;
    const [picture, value, number] = [svg.innerHTML, slider.value, shown()];
    set(slider, value === slider.max ? slider.min : slider.max);
    checks[`${slider.name} changes the picture, ${list.value}`] = svg.innerHTML !== picture;
    checks[`${slider.name} shows its value`] = shown() !== number;
    set(slider, value);
    checks[`${slider.name} moves back`] = svg.innerHTML === picture && shown() === number;
    moved.add(slider.name);
  };
  const first = svg.innerHTML;
  checks["there is a picture"] = first.includes("polyline");
  for (const { value } of [...list.options].reverse()) {
    const before = svg.innerHTML;
    const other = value !== list.value;
    set(list, value);
    checks[`the signal ${value} changes the picture`] = (svg.innerHTML !== before) === other;
    sliders.filter((slider) => !slider.disabled).forEach(move);
  }
  for (const button of root.querySelectorAll("button")) {
    const before = svg.innerHTML;
    button.click();
    checks[`${button.textContent} changes the picture`] = await within4s(() => svg.innerHTML !== before);
  }
  checks["the last button brings the first picture back"] = svg.innerHTML === first;
  const style = () => frame.contentWindow.getComputedStyle(svg.querySelector("polyline")).stroke;
  const light = style();
  page.documentElement.classList.replace("light", "navy");
  checks["the theme has colours of its own"] = style() !== light;
  const left = sliders.map(({ name }) => name).filter((name) => !moved.has(name));
  return { checks, sliders: sliders.length, left };
};
const open = (width) => new Promise((done) => {
  frame.style.width = width;
  frame.onload = () => done(frame.contentDocument);
  frame.src = "PAGE";
});
(async () => {
  const found = await touchAll(await open("1000px"));
  const width = (page) => page.querySelector("#touch svg").clientWidth;
  const wide = width(frame.contentDocument);
  const page = await open("500px");
  found.checks["the picture is as wide as the page"] = width(page) < wide && width(page) > 400;
  document.getElementById("result").textContent = JSON.stringify(found);
})();
</script>"##;

fn sliders_move_the_picture(browser: &Browser, book: &Path) -> Result<(), Failed> {
    let page = browser.open_document(&HARNESS.replace("PAGE", &url(&book.join("touch.html"))))?;
    page.assert_silent("touch.html")?;
    let result = page.result()?;
    assert!(result["sliders"].as_u64() >= Some(10), "{result}");
    assert_eq!(result["left"], json!([]), "sliders that were never to be moved");
    let checks = result["checks"].as_object().ok_or("no checks")?;
    println!("{} checks of {} sliders", checks.len(), result["sliders"]);
    let failed: Vec<_> = checks.iter().filter(|(_, held)| **held != true).map(|(name, _)| name).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("{failed:#?}").into()) }
}
