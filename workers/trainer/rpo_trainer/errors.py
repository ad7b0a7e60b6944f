"""The one way in which this package fails on purpose."""

# Status words of result.json. Go maps them: done and stopped are successes,
# invalid is never retried, out_of_memory is retried with a smaller budget,
# failed is retried from the last checkpoint.
DONE = "done"
STOPPED = "stopped"
INVALID = "invalid"
OUT_OF_MEMORY = "out_of_memory"
FAILED = "failed"

EXIT_CODES = {DONE: 0, STOPPED: 0, INVALID: 78, OUT_OF_MEMORY: 77, FAILED: 1}

MAX_REASON = 1000


class TrainerError(Exception):
    """A failure with a status and a one-line reason that names the mend."""

    def __init__(self, status: str, reason: str):
        super().__init__(one_line(reason))
        self.status = status
        self.reason = one_line(reason)


def invalid(reason: str) -> TrainerError:
    """A mistake in the config, the data or the model folder; retrying cannot help."""
    return TrainerError(INVALID, reason)


def one_line(text: str) -> str:
    return " ".join(str(text).split())[:MAX_REASON]


def classify(error: BaseException) -> TrainerError:
    """Give any exception a status. Out of memory is recognised on GPU and CPU."""
    if isinstance(error, TrainerError):
        return error
    text = f"{type(error).__name__}: {error}"
    out_of_memory = (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in text
        or "not enough memory" in text
        or "out of memory" in text  # CUDA's and NCCL's own errors
        or "CUBLAS_STATUS_ALLOC_FAILED" in text
    )
    if out_of_memory:
        return TrainerError(
            OUT_OF_MEMORY,
            f"out of memory; lower pairs_per_batch or max_tokens: {text}",
        )
    return TrainerError(FAILED, text)
