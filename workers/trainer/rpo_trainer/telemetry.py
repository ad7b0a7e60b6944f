"""The figures of the steps for other eyes: TensorBoard files and Prometheus text.

Both are made from the step lines. TensorBoard's format is small enough to write without
its package: length, checksum, record, checksum, where a record is a protobuf Event.
"""

import os
import struct
import time

PREFIX = "rpo_train_"


class Telemetry:
    def __init__(self, out_dir, first_step):
        """A run that goes on after first_step tells TensorBoard to forget what came later."""
        folder = os.path.join(out_dir, "tensorboard")
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, f"events.out.tfevents.{time.time_ns() // 10**3:016d}.rpo")
        self.prometheus = os.path.join(out_dir, "metrics.prom")
        self._append(field(3, b"brain.Event:2"))
        if first_step:
            self._append(integer(2, first_step + 1) + field(7, integer(1, 1)))  # session start

    def write(self, step, **figures):
        numbers = {name: float(value) for name, value in flatten(figures)}
        values = b"".join(field(1, field(1, name.encode()) + b"\x15" + struct.pack("<f", value))
                          for name, value in numbers.items())
        self._append(integer(2, step) + field(5, values))
        lines = [f"# TYPE {PREFIX}step gauge", f"{PREFIX}step {step}"]
        for name, value in numbers.items():
            stem, _, g = name.partition("/")
            if not g or f"# TYPE {PREFIX}{stem} gauge" not in lines:
                lines.append(f"# TYPE {PREFIX}{stem} gauge")
            lines.append(f'{PREFIX}{stem}{{g="{g}"}} {value!r}' if g else f"{PREFIX}{stem} {value!r}")
        with open(self.prometheus + ".tmp", "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        os.replace(self.prometheus + ".tmp", self.prometheus)

    def _append(self, body):
        record = b"\x09" + struct.pack("<d", time.time()) + body
        length = struct.pack("<Q", len(record))
        with open(self.path, "ab") as file:
            file.write(length + checksum(length) + record + checksum(record))


def flatten(figures):
    """(name, number) of all figures; those by g have names like accuracy_by_g/2."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{key}", item) for key, item in value.items())
        elif value is not None:
            yield name, value


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def integer(number, value):
    return varint(number << 3) + varint(value)


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def make_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 * (value & 1)
        table.append(value)
    return table


TABLE = make_table()


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = TABLE[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF


def checksum(data):
    """Castagnoli's CRC, masked as the record format asks."""
    value = crc32c(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)
