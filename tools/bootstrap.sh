#!/bin/sh
# Finds a Python that can run the project and hands over to bootstrap.py beside this file.
# LIGHTCHALLENGE_PYTHON names one to use instead of searching.
here=$(dirname "$0")
for python in ${LIGHTCHALLENGE_PYTHON:+"$LIGHTCHALLENGE_PYTHON"} \
    python3 python3.13 python3.12 python3.11 python3.14 python; do
    # Run it: a command of that name may be too old, or a shim with nothing behind it.
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        exec "$python" -B "$here/bootstrap.py" "$@"
    fi
done
echo "Python 3.11 or newer is needed and none was found (tried python3, python3.11 to 3.14)." >&2
echo "Install one, or set LIGHTCHALLENGE_PYTHON to its path." >&2
exit 1
