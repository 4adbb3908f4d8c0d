"""Makes the two files beside it: `pip install h5py tables numpy`, then `python make.py`.

`shd_train.h5` is written by h5py, with contiguous data sets; `shd_test.h5` by PyTables, with
chunked and compressed ones. The values are formulas, which the tests repeat.
"""

import h5py
import numpy
import tables

ITEMS = 6
NAMES = [name.encode() for name in "zero one two three four five six seven eight nine".split()]
NAMES += [name.encode() for name in "null eins zwei drei vier fuenf sechs sieben acht neun".split()]


def count(item):
    return 0 if item == 3 else 4 + 5 * item


def times(item):
    return numpy.array([(item + 1 + 3 * k) / 64 for k in range(count(item))], "float16")


def units(item):
    return numpy.array([(37 * item + 111 * k) % 700 for k in range(count(item))], "uint16")


LABELS = numpy.array([7 * item % 20 for item in range(ITEMS)], "uint16")
SPEAKERS = numpy.array([item % 4 for item in range(ITEMS)], "uint16")

with h5py.File("shd_train.h5", "w") as file:
    for name, values in [("times", times), ("units", units)]:
        dtype = h5py.vlen_dtype(values(0).dtype)
        dataset = file.create_dataset(f"spikes/{name}", (ITEMS,), dtype=dtype)
        for item in range(ITEMS):
            dataset[item] = values(item)
    file["labels"] = LABELS
    file["extra/speaker"] = SPEAKERS
    file["extra/keys"] = numpy.array(NAMES)

with tables.open_file("shd_test.h5", "w") as file:
    filters = tables.Filters(complevel=9, complib="zlib", shuffle=True)
    spikes = file.create_group("/", "spikes")
    for name, atom, values in [("times", tables.Float16Atom(), times), ("units", tables.UInt16Atom(), units)]:
        array = file.create_vlarray(spikes, name, atom, filters=filters, chunkshape=4)
        for item in range(ITEMS):
            array.append(values(item))
    file.create_array("/", "labels", LABELS)
    extra = file.create_group("/", "extra")
    file.create_array(extra, "speaker", SPEAKERS)
    file.create_array(extra, "keys", numpy.array(NAMES))
