"""Install Hone into .venv: the right PyTorch for this machine, then the project with its pinned dependencies.

    python3 scripts/install.py [--dev] [--torch cpu|cuda]

Run by `make`; needs nothing but Python. A second run with nothing changed ends at once. A machine with an NVIDIA GPU
gets a CUDA build of PyTorch; another gets a CPU build wherever one can be had, which is a tenth of the size. `--torch`
says which one a machine is built for that is not the one it is built on: an image.
"""

# This file is read by whatever Python there is, also one that is too old: nothing in it is newer than Python 3.6.

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
CONSTRAINTS = str(ROOT / "constraints.txt")
TORCH = "torch>=2.8,<2.14"
OLDEST = (3, 11)


def main():
    dev = "--dev" in sys.argv
    python = find_python()
    stamp = VENV / (".installed-dev" if dev else ".installed")
    wanted = fingerprint(python)
    if wanted in (read(stamp), read(VENV / ".installed-dev")):
        return
    if not Path(PYTHON).exists():
        print("Making a virtual environment in .venv", flush=True)
        run([python, "-m", "venv", str(VENV)], "Python's venv module is missing (Debian: apt install python3-venv)")
    if not has_torch():
        install_torch()
    print("Installing Hone and what it needs (a few minutes the first time)", flush=True)
    target = f"{ROOT}[dev]" if dev else str(ROOT)
    run([*PIP, "-c", CONSTRAINTS, "-e", target], "the packages could not be installed; what pip said is above")
    stamp.write_text(wanted)


PIP = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]


def find_python():
    """This Python if it is new enough, else the newest on the PATH."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for name in ("python3.14", "python3.13", "python3.12", "python3.11"):
        found = shutil.which(name)
        if found:
            return found
    here = ".".join(str(part) for part in sys.version_info[:3])
    sys.exit(f"Hone needs Python 3.11 or newer; python3 is {here} and no newer one is on the PATH.")


def fingerprint(python):
    """Changes whenever an installation would come out differently."""
    digest = hashlib.sha256(python.encode())
    for name in ("pyproject.toml", "constraints.txt", "scripts/install.py"):
        digest.update(read(ROOT / name).encode())
    return digest.hexdigest()


def install_torch():
    if is_for_gpu():
        print("Installing PyTorch for CUDA", flush=True)
    elif would_bring_cuda():
        print("Installing PyTorch for the CPU", flush=True)
        if install_cpu_torch():
            return
        print("No CPU build of PyTorch could be reached: installing the usual one, which is large", flush=True)
    run([*PIP, TORCH], "PyTorch could not be installed; what pip said is above")


def is_for_gpu():
    """Whether CUDA is wanted: as it was said, or else where there is an NVIDIA GPU."""
    if "--torch" in sys.argv:
        return sys.argv[sys.argv.index("--torch") + 1] == "cuda"
    program = shutil.which("nvidia-smi")
    return program is not None and subprocess.call([program, "-L"], stdout=subprocess.DEVNULL) == 0


def has_torch():
    return subprocess.call([PYTHON, "-c", "import torch"], stderr=subprocess.DEVNULL) == 0


def would_bring_cuda():
    """Whether pip's own choice of PyTorch here is a CUDA build."""
    report = subprocess.run([*PIP, "--dry-run", "--report", "-", TORCH], stdout=subprocess.PIPE, check=False)
    if report.returncode != 0:
        return True
    names = [item["metadata"]["name"] for item in json.loads(report.stdout.decode())["install"]]
    return any(name.startswith("nvidia-") for name in names)


def install_cpu_torch():
    """uv knows where PyTorch's CPU builds are."""
    if subprocess.call([*PIP, "uv"]) != 0:
        return False
    command = [PYTHON, "-m", "uv", "pip", "install", "--quiet", "--python", PYTHON, "--torch-backend", "cpu", TORCH]
    return subprocess.call(command) == 0


def run(command, failure):
    if subprocess.call(command) != 0:
        sys.exit("Hone was not installed: " + failure)


def read(path):
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    main()
