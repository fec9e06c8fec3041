"""Compiles CUDA text by NVRTC and tells what the assembler made of it. Needs no GPU.

Reads lines "FILE ARCHITECTURE" and writes one line of JSON for each, in their order: registers, bytes of stack, spilled
bytes (stores and loads) and bytes of shared memory of its kernel, or the error. Its argument is the folder of the library.
"""
import ctypes
import json
import multiprocessing
import re
import sys


def library(folder):
    ctypes.CDLL(f"{folder}/libnvrtc-builtins.so.13.0", ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(f"{folder}/libnvrtc.so.13")


def start(folder):
    global nvrtc
    nvrtc = library(folder)


def compiled(line):
    path, architecture = line.split()
    with open(path) as file:
        text = file.read()
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    options = [f"--gpu-architecture={architecture}".encode(), b"--ptxas-options=-v", b"--diag-suppress=177"]
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    log = log.value.decode()

    def number(pattern):
        found = re.search(pattern, log)
        return int(found[1]) if found else 0

    if failed or "Used" not in log:
        return json.dumps({"error": log})
    return json.dumps({
        "registers": number(r"Used (\d+) registers"),
        "stack": number(r"(\d+) bytes stack frame"),
        "spilled": number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        "shared": number(r"(\d+) bytes smem"),
        "warnings": log.count("warning"),
    })


if __name__ == "__main__":
    with multiprocessing.Pool(initializer=start, initargs=[sys.argv[1]]) as pool:
        for found in pool.imap(compiled, sys.stdin.read().splitlines()):
            print(found)
