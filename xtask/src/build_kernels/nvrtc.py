"""Compiles CUDA C to PTX with NVRTC.

stdin: {"library": path, "headers": {name: text}, "sources": {name: {"text": text, "options": [...]}}}
stdout: {name: PTX}; on failure NVRTC's log on stderr and exit code 1.
"""

import ctypes
import json
import sys

request = json.load(sys.stdin)
nvrtc = ctypes.CDLL(request["library"])
nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p


def strings(values):
    return (ctypes.c_char_p * len(values))(*(value.encode() for value in values))


def check(status):
    if status:
        sys.exit("NVRTC: " + nvrtc.nvrtcGetErrorString(status).decode())


def text(program, size_of, get):
    size = ctypes.c_size_t()
    check(size_of(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    check(get(program, buffer))
    return buffer.value.decode()


def compile_one(name, source):
    headers, options = request["headers"], source["options"]
    program = ctypes.c_void_p()
    check(
        nvrtc.nvrtcCreateProgram(
            ctypes.byref(program),
            source["text"].encode(),
            name.encode(),
            len(headers),
            strings(list(headers.values())),
            strings(list(headers)),
        )
    )
    status = nvrtc.nvrtcCompileProgram(program, len(options), strings(options))
    log = text(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog)
    if log:
        print(log, file=sys.stderr)
    check(status)
    return text(program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)


json.dump({name: compile_one(name, source) for name, source in request["sources"].items()}, sys.stdout)
