"""Writes the Parquet files of parquet_test.go: python make_parquet.py FOLDER (pyarrow 26)."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq

folder = sys.argv[1]


def rows(first, n):
    return [
        {
            "id": f"p{i}",
            "split": "train",
            "system": f"You are guide {i}. Mention \"boat\". Answer in one sentence.",
            "constraints": [
                {"text": "Mention \"boat\".", "family": "content", "trigger": None},
                {"text": "Answer in one sentence.", "family": "format", "trigger": "when asked for 天气"},
            ],
            "queries": [f"What is at place {i}?", "And 天气?"],
        }
        for i in range(first, first + n)
    ]


constraint = pa.struct([("trigger", pa.string()), ("text", pa.string()), ("family", pa.dictionary(pa.int32(), pa.string()))])
plain = pa.schema([("id", pa.string()), ("split", pa.string()), ("system", pa.string()),
                   ("constraints", pa.list_(constraint)), ("queries", pa.list_(pa.string()))])
# Other order, other widths, a column of the writer's own.
other = pa.schema([("note", pa.float64()), ("queries", pa.large_list(pa.large_string())), ("system", pa.large_string()),
                   ("constraints", pa.list_(constraint)), ("split", pa.dictionary(pa.int8(), pa.string())), ("id", pa.large_string())])


def write(name, data, schema, **options):
    pq.write_table(pa.Table.from_pylist(data, schema=schema), f"{folder}/{name}.parquet", **options)


for codec in ["none", "snappy", "gzip", "brotli", "zstd"]:
    write(f"good-{codec}", rows(0, 12), plain, compression=codec, row_group_size=5)
write("good-order", [r | {"note": 1.5} for r in rows(0, 12)], other, data_page_version="2.0", use_dictionary=False)
write("good-binary", rows(0, 12), plain.set(0, pa.field("id", pa.binary())), use_dictionary=True)
texts = [{"id": r["id"], "split": "train", "system": r["system"], "constraints": [c["text"] for c in r["constraints"]],
          "dialogues": [[{"query": q, "answer": None, "triggered": [0]}] for q in r["queries"]]} for r in rows(0, 12)]
turn = pa.struct([("query", pa.string()), ("answer", pa.string()), ("triggered", pa.list_(pa.int16()))])
write("good-nested", texts, pa.schema([("id", pa.string()), ("split", pa.string()), ("system", pa.string()),
                                       ("constraints", pa.list_(pa.string())), ("dialogues", pa.list_(pa.list_(turn)))]))
write("bad-lz4", rows(0, 12), plain, compression="lz4")
write("bad-number", [r | {"id": i} for i, r in enumerate(rows(0, 3))], plain.set(0, pa.field("id", pa.int64())))
write("bad-missing", rows(0, 3), pa.schema([f for f in plain if f.name != "system"]))
write("bad-field", [{**r, "constraints": [{"text": "a", "weight": 1}]} for r in rows(0, 3)],
      plain.set(3, pa.field("constraints", pa.list_(pa.struct([("text", pa.string()), ("weight", pa.int32())])))))
write("bad-depth", [r | {"queries": [["a"]]} for r in rows(0, 3)], plain.set(4, pa.field("queries", pa.list_(pa.list_(pa.string())))))
write("bad-null", [r | {"id": None} if i == 2 else r for i, r in enumerate(rows(0, 4))], plain)
write("bad-text", [r | {"id": b"\xff\xfe"} for r in rows(0, 1)], plain.set(0, pa.field("id", pa.binary())))
write("bad-span", [r | {"system": "nothing of it"} for r in rows(0, 2)], plain)
