"""Makes a virtual environment for each peer from its own requirements.

Usage: python -m benchmarks.peers.install --environments DIR [NAME ...]

About 1.5 GB each: torch comes with every one of them. An environment that is there and was made from the same
requirements is left alone.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"


def main() -> None:
    """Installs all peers, or those that are named."""
    names = sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, required=True, help="folder for the virtual environments")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"there are no requirements for {', '.join(sorted(unknown))}")
    failed = [name for name in arguments.names or names if not install(name, arguments.environments / name)]
    if failed:
        sys.exit(f"not installed: {', '.join(failed)}")


def install(name: str, folder: Path) -> bool:
    """Makes one environment; whether it is there now."""
    wanted = (REQUIREMENTS / f"{name}.txt").read_text("utf-8")
    marker = folder / "requirements.txt"
    if marker.exists() and marker.read_text("utf-8") == wanted:
        print(f"{name}: is there")
        return True
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", f"{REQUIREMENTS / name}.txt"]
    if subprocess.run(command, check=False).returncode:
        return False
    marker.write_text(wanted, "utf-8")
    print(f"{name}: installed")
    return True


if __name__ == "__main__":
    main()
