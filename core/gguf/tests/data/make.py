"""Writes the files of this folder with outside tools: `pip install gguf==0.19.0 llama-cpp-python==0.3.36`."""

import ctypes
import pathlib

import llama_cpp
import numpy
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, GGUFWriter, quants


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def python():
    """A key of each type, arrays, arrays in an array, three tensors."""
    writer = GGUFWriter("python.gguf", "llama")
    scalars = {
        "uint8": 200, "int8": -5, "uint16": 60000, "int16": -30000, "uint32": 4_000_000_000, "int32": -7,
        "float32": 0.5, "bool": True, "string": "café", "uint64": 1 << 40, "int64": -(1 << 40), "float64": 0.1,
    }
    for kind, value in scalars.items():
        getattr(writer, f"add_{kind}")(kind, value)
    writer.add_array("strings", ["a", "", "é中"])
    writer.add_array("bools", [True, False])
    writer.add_array("nested", [[1, 2, 3], [4]])
    numbers = {
        "UINT8": [0, 255], "INT8": [-128, 127], "UINT16": [65535], "INT16": [-32768], "UINT32": [1, 4_000_000_000],
        "INT32": [1, -2, 3], "UINT64": [1 << 63], "INT64": [-(1 << 62)], "FLOAT32": [0.5, -1.5], "FLOAT64": [0.1],
    }
    for kind, values in numbers.items():
        writer.add_key_value(f"array.{kind.lower()}", values, GGUFValueType.ARRAY, sub_type=GGUFValueType[kind])
    q8 = quants.quantize(numpy.arange(64, dtype=numpy.float32).reshape(2, 32), GGMLQuantizationType.Q8_0)
    writer.add_tensor("a.weight", numpy.arange(12, dtype=numpy.float32).reshape(3, 4))
    writer.add_tensor("b.weight", numpy.arange(64, dtype=numpy.float16).reshape(2, 32))
    writer.add_tensor("c.weight", q8, raw_dtype=GGMLQuantizationType.Q8_0)
    finish(writer)


def kinds():
    """A block of each type, named as it is; one begins where the block before it, padded to 8 bytes, ends."""
    writer = GGUFWriter("kinds.gguf", "llama")
    writer.add_custom_alignment(8)
    for kind in GGMLQuantizationType:
        writer.add_tensor(kind.name, numpy.zeros(GGML_QUANT_SIZES[kind][1], dtype=numpy.uint8), raw_dtype=kind)
    finish(writer)


def sizes():
    """Number, name, values and bytes of a block of each type, as ggml itself tells them."""
    ggml = ctypes.CDLL(str(next(pathlib.Path(llama_cpp.__file__).parent.glob("lib/libggml-base.so"))))
    ggml.ggml_type_name.restype = ctypes.c_char_p
    ggml.ggml_blck_size.restype = ctypes.c_int64
    ggml.ggml_type_size.restype = ctypes.c_size_t
    with open("kinds.txt", "w") as out:
        for kind in map(int, GGMLQuantizationType):
            name = ggml.ggml_type_name(kind).decode()
            print(kind, name, ggml.ggml_blck_size(kind), ggml.ggml_type_size(kind), file=out)


python()
kinds()
sizes()
