#!/usr/bin/env bash
# Create the project's environment: uv from the package registry, the lock without resolving, then torch's dependencies.
set -euo pipefail
venv=$1
fail() { echo "make env: $*" >&2; exit 1; }

[ "$(uname -sm)" = "Linux x86_64" ] || fail "needs Linux on x86-64 (Windows: WSL2; Mac: a container), because Triton and dlib are installed as binaries. This is $(uname -sm)."

# Prefer a Python that has libpython, because Triton's python backend is linked to it.
usable='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'
shared='import ctypes, sys, sysconfig
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
for place in (str(sysconfig.get_config_var("LIBDIR")) + "/" + name, name):
    try: ctypes.CDLL(place); sys.exit(0)
    except OSError: pass
sys.exit(1)'
python=""
for wish in "$shared" "$usable"; do
    for candidate in "${PYTHON:-}" python3.11 python3 python3.12 /usr/bin/python3.11 /usr/bin/python3.12; do
        [ -z "$python" ] && [ -n "$candidate" ] && "$candidate" -c "$usable" 2>/dev/null && "$candidate" -c "$wish" 2>/dev/null && python=$candidate
    done
    [ -z "${PYTHON:-}" ] || python=$PYTHON
done
[ -z "$python" ] || "$python" -c "$usable" 2>/dev/null || fail "PYTHON=$python is not Python 3.11 or 3.12."
[ -n "$python" ] || fail "needs Python 3.11 or 3.12. Install one, or name it: make env PYTHON=/path/to/python3.11"

[ -x "$venv/bin/python" ] && [ -x "$venv/bin/pip" ] || { rm -rf "$venv"; "$python" -m venv "$venv" || fail "'$python -m venv' failed (Debian and Ubuntu: apt-get install python3-venv)."; }
echo "Environment in $venv with $("$venv/bin/python" -V), $(grep -cE '^[a-z]' requirements.txt) packages"
[ -x "$venv/bin/uv" ] || "$venv/bin/pip" install -q --disable-pip-version-check "$(grep -E '^uv==' requirements.txt)" 2> >(grep -v 'is ignored: it is neither' >&2)

# uv does not read pip's settings: pass it pip's folder of local wheels, if there is one.
[ -z "${PIP_FIND_LINKS:-}" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$PIP_FIND_LINKS}"
# On a terminal uv shows its progress; in a log it would only list 250 names.
quiet=-q; [ -t 2 ] && quiet=
uv() { "$venv/bin/uv" pip install $quiet --python "$venv/bin/python" "$@"; }
# --no-deps: the lock is complete, and opencv-python-headless replaces the opencv-python that face-alignment requires.
# --compile-bytecode: half a minute once, which every command saves seconds of from then on.
uv --no-deps --compile-bytecode -r requirements.txt
# A CUDA build of torch needs libraries that one flat lock for all machines cannot list; a CPU build needs none.
uv -c requirements.txt "$(grep -E '^torch==' requirements.txt)"
uv --no-deps --no-build-isolation -e .
[ ! -d .dvc ] || "$venv/bin/p2c" dvc-setup
