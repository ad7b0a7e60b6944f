"""Serve a model over HTTP with llama.cpp's own server (OpenAI-compatible), on loopback.

    python -m rpo_trainer.serve --model DIR_OR_GGUF --port 0 --alias NAME

Prints one JSON line {"url": ..., "model": NAME} on standard output once it answers, and
lives until SIGTERM, SIGINT or the end of its parent. Logs go to standard error.

On a CPU a reply depends on the request and its seed alone, whatever else is served at the
same time: no prompt cache, no context shift, float32 keys and values, and no fused
attention, which rounds to 16 bits (log-probabilities off by 3e-3 against transformers,
without it by 2e-6). The sampling defaults leave the model's distribution as it is
(temperature 1, no top-k, top-p or min-p).
"""

import argparse
import ctypes
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request

from .errors import EXIT_CODES, TrainerError, classify, invalid
from .process import die_with_parent

START_SECONDS = 600


def load_library():
    """Import xllamacpp. It needs libgomp of the system; where there is none, torch's copy serves."""
    try:
        import xllamacpp
    except ImportError as error:
        found = importlib.util.find_spec("torch")  # located, not imported
        if "libgomp" not in str(error) or found is None:
            raise
        ctypes.CDLL(os.path.join(found.submodule_search_locations[0], "lib", "libgomp.so.1"), ctypes.RTLD_GLOBAL)
        import xllamacpp
    return xllamacpp


def parameters(arguments, path):
    xllamacpp = load_library()
    if not 0 <= arguments.port < 65536 or min(arguments.parallel, arguments.context, arguments.threads) < 1:
        raise invalid("serve: port must be 0 to 65535; parallel, context and threads at least 1")
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {arguments.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = arguments.port
    params.n_parallel = arguments.parallel
    params.n_ctx = arguments.context * arguments.parallel
    params.n_threads_http = arguments.parallel + 4  # a waiting request holds a thread
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = arguments.threads
    params.n_gpu_layers = arguments.gpu_layers
    params.fit_params = False  # it would change the context to fit
    params.warmup = False
    params.verbosity = 1
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_metrics = True
    # What could make a reply depend on requests before it.
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    params.n_ctx_checkpoints = 0
    params.slot_prompt_similarity = 0.0
    params.ctx_shift = False
    params.kv_unified = False
    if arguments.gpu_layers == 0:
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F32
        params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    # The reply is the text, not something parsed out of it.
    params.use_jinja = True
    params.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    params.sampling.temp = 1.0
    params.sampling.top_k = 0
    params.sampling.top_p = 1.0
    params.sampling.min_p = 0.0
    return params


def start(arguments):
    """Start the server in this process; returns it once it answers."""
    xllamacpp = load_library()
    path = arguments.model
    if os.path.isdir(path):
        from .gguf import cached

        path = cached(path, arguments.cache)
    elif not os.path.isfile(path):
        raise invalid(f"serve: no such model file or folder: {path}")
    try:
        server = xllamacpp.Server(parameters(arguments, path))
    except RuntimeError as error:
        raise invalid(f"serve {arguments.model}: llama.cpp refuses it (is port {arguments.port} in use?): {error}") from None
    wait_until_ready(server.listening_address)
    return server


def wait_until_ready(address):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.02)
    raise TrainerError("failed", f"serve: {address} did not answer within {START_SECONDS} s")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="rpo_trainer.serve", description=__doc__)
    parser.add_argument("--model", required=True, help="Hugging Face folder or GGUF file")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--alias", default="policy", help="model name that the API reports and accepts")
    parser.add_argument("--parallel", type=int, default=16, help="requests at once")
    parser.add_argument("--context", type=int, default=2048, help="tokens of prompt and reply per request")
    parser.add_argument("--threads", type=int, default=2,
                        help="CPU threads; a model of a few million parameters is fastest with 1")
    parser.add_argument("--gpu-layers", type=int, default=0)
    parser.add_argument("--cache", default=tempfile.gettempdir(), metavar="DIR",
                        help="where the GGUF of a model folder is kept for the next start (default: %(default)s)")
    arguments = parser.parse_args(argv)

    parent = os.getppid()
    die_with_parent()
    # Standard output carries the one line; whatever the library prints goes to standard error.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    stop = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # inherited by the server's threads
    try:
        server = start(arguments)
        print(json.dumps({"url": f"{server.listening_address}/v1", "model": arguments.alias}), file=output, flush=True)
        while os.getppid() == parent and signal.sigtimedwait(stop, 1.0) is None:
            pass
        exit_code = 0
    except Exception as error:
        failure = classify(error)
        print(f"rpo_trainer.serve: {failure.reason}", file=sys.stderr)
        exit_code = EXIT_CODES[failure.status]
    sys.stderr.flush()
    os._exit(exit_code)  # open connections are no reason to linger


if __name__ == "__main__":
    main()
