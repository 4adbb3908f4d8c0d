"""Runs a network of LIF, ALIF or LSTM cells from its file alone, with nothing but Python.

    python3 forward.py FILE < INPUTS > OUTPUTS      (JSON: a list of values for each step)
"""

import json
import sys
from math import exp, tanh
from struct import iter_unpack, unpack


def read(path):
    """The network's description, and its tensors by name, as lists of rows."""
    with open(path, "rb") as file:
        header = json.loads(file.read(*unpack("<Q", file.read(8))))
        data = file.read()
    network = json.loads(header.pop("__metadata__")["burn_eprop"])["networks"][0]
    tensors = {}
    for name, tensor in header.items():
        row = "<" + {"F32": "f", "F64": "d"}[tensor["dtype"]] * tensor["shape"][-1]
        rows = iter_unpack(row, data[slice(*tensor["data_offsets"])])
        tensors[name.removeprefix(network["prefix"])] = list(rows)
    return network, tensors


def spiking(constants, own, n):
    """LIF neurons, or ALIF neurons: a function from the currents of a step to the spikes."""
    decay = lambda tau: exp(-constants["dt_ms"] / tau)
    each = lambda tensor, of_all: own.get(f"cell.{tensor}.values", [[of_all] * n])[0]
    shared = {name: value for name, value in constants.items() if value != "per neuron"}
    alpha = each("decay", decay(shared.get("tau_membrane_ms", 1)))
    rho = each("adaptation_decay", decay(shared.get("tau_adaptation_ms", 1)))
    beta = each("adaptation_strength", shared.get("adaptation_strength", 0))  # 0 for LIF
    zeta = [1 - x if constants["input_normalization"] == "one-minus-decay" else 1 for x in alpha]
    theta, n_ref = constants["threshold"], constants["refractory_steps"]
    v, a, z, silent = ([0] * n for _ in range(4))

    def step(current):
        for j in range(n):
            v[j] = alpha[j] * v[j] + zeta[j] * current[j] - theta * z[j]
            z[j] = int(v[j] > theta + beta[j] * a[j] and silent[j] == 0)
            a[j] = rho[j] * a[j] + z[j]
            silent[j] = max(0, silent[j] + n_ref * z[j] - 1)
        return list(z)

    return step


def lstm(n):
    """LSTM units: a function from the currents of a step, four for each unit, to the outputs."""
    c = [0] * n
    sigmoid = lambda x: 1 / (1 + exp(-x))

    def step(current):
        i, f, g, o = (current[gate * n :][:n] for gate in range(4))
        c[:] = [sigmoid(f[j]) * c[j] + sigmoid(i[j]) * tanh(g[j]) for j in range(n)]
        return [sigmoid(o[j]) * tanh(c[j]) for j in range(n)]

    return step


def product(row, matrix):
    return [sum(x * w for x, w in zip(row, column)) for column in zip(*matrix)]


def forward(path, inputs):
    """The outputs y of each step."""
    network, tensors = read(path)
    layers, outputs = [], []
    for index, layer in enumerate(network["layers"]):
        start = f"layers.{index}."
        own = {name.removeprefix(start): rows for name, rows in tensors.items() if name.startswith(start)}
        n = len(own["w_rec"])
        step = lstm(n) if layer["cell"] == "Lstm" else spiking(layer["constants"], own, n)
        layers.append({"step": step, "weights": own["w_in"] + own["w_rec"] + own.get("bias", []), "z": [0] * n})
    readout, weights = network["readout"], tensors["readout.weight"]
    kappa = exp(-readout["dt_ms"] / readout["tau_ms"]) if readout["tau_ms"] else 0
    gain = 1 - kappa if readout["normalized"] else 1
    bias = tensors.get("readout.bias", [[0] * len(weights[0])])[0]
    y = [0] * len(bias)
    for x in inputs:
        neurons = []
        for layer in layers:
            x = layer["z"] = layer["step"](product(x + layer["z"] + [1], layer["weights"]))
            neurons += x
        drive = product(neurons, weights)
        y = [kappa * before + gain * new + b for before, new, b in zip(y, drive, bias)]
        outputs.append(y)
    return outputs


if __name__ == "__main__":
    json.dump(forward(sys.argv[1], json.load(sys.stdin)), sys.stdout)
