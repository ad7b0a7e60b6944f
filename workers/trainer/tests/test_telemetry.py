import glob
import os
import shutil
import struct

import tiny

from rpo_trainer.telemetry import checksum, crc32c


def records(path):
    """The records of a TensorBoard file, checksums checked."""
    with open(path, "rb") as file:
        body = file.read()
    while body:
        length = struct.unpack("<Q", body[:8])[0]
        record = body[12: 12 + length]
        assert body[8:12] == checksum(body[:8]) and body[12 + length: 16 + length] == checksum(record)
        yield record
        body = body[16 + length:]


def fields(body):
    """{number: [values]} of a protobuf message; text and messages as bytes."""
    found = {}
    place = 0

    def varint():
        nonlocal place
        value = shift = 0
        while True:
            byte = body[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(body):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            value = body[place: place + size]
            place += size
        found.setdefault(key >> 3, []).append(value)
    return found


def test_the_checksum_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283


def test_tensorboard_and_prometheus_hold_the_figures_of_the_step_lines(start, pairs_file):
    values = {"checkpoint_every": 2, "held_out_fraction": 0, "learning_rate": 5e-3, "pairs_per_step": 48}
    out = start(pairs_file, max_steps=4, **values)
    steps = tiny.read_events(out, "step")
    [path] = glob.glob(out + "/tensorboard/*")
    first, *rest = [fields(record) for record in records(path)]
    assert first[3] == [b"brain.Event:2"] and len(rest) == 4
    for event, line in zip(rest, steps):
        assert event[2] == [line["step"]]
        told = {}
        for value in fields(event[5][0])[1]:
            entry = fields(value)
            told[entry[1][0].decode()] = struct.unpack("<f", entry[2][0])[0]
        assert abs(told["loss"] - line["loss"]) < 1e-6
        assert abs(told["accuracy_by_g/1"] - line["accuracy_by_g"]["1"]) < 1e-6
    with open(out + "/metrics.prom") as file:
        text = file.read()
    assert "rpo_train_step 4\n" in text and f"rpo_train_loss {steps[-1]['loss']!r}\n" in text
    assert f'rpo_train_accuracy_by_g{{g="1"}} {steps[-1]["accuracy_by_g"]["1"]!r}' in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_a_resumed_run_tells_tensorboard_where_it_goes_on(start, pairs_file):
    out = start(pairs_file, max_steps=4, checkpoint_every=2)
    shutil.rmtree(os.path.join(out, "checkpoints", "step-000004"))
    start(pairs_file, max_steps=4, checkpoint_every=2)
    last = sorted(glob.glob(out + "/tensorboard/*"))[-1]
    _, session, *rest = [fields(record) for record in records(last)]
    assert session[2] == [3] and fields(session[7][0])[1] == [1]
    assert [event[2] for event in rest] == [[3], [4]]
