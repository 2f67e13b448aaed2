#!/bin/sh
# Build one interpreter from its source, and remove everything that it does not need to run.
#
#   build.sh PREFIX VERSION SHA256 [CONFIGURE...]
#
# Environment: MIRROR, where the sources are, as VERSION/Python-VERSION.tar.xz; OPTIMIZE=no leaves out PGO and LTO;
# JOBS is how many compilers run at once; 0: one for each CPU.
set -eu

prefix=$1 version=$2 sha256=$3
shift 3
: "${MIRROR:=https://www.python.org/ftp/python}" "${OPTIMIZE:=yes}" "${JOBS:=0}"
[ "$JOBS" -gt 0 ] || JOBS=$(nproc)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# A prerelease is in the folder of its release: 3.15.0rc1 in 3.15.0.
release=$(echo "$version" | sed 's/[a-z].*//')
curl --fail --silent --show-error --location --retry 3 --output source.tar.xz \
  "$MIRROR/$release/Python-$version.tar.xz"
echo "$sha256  source.tar.xz" | sha256sum --check --strict --quiet
tar --extract --strip-components=1 --file source.tar.xz

case $OPTIMIZE in
  yes) set -- --enable-optimizations --with-lto "$@" ;;
  no) ;;
  *) echo "OPTIMIZE must be yes or no, not $OPTIMIZE" >&2; exit 2 ;;
esac
./configure --quiet --prefix="$prefix" --without-ensurepip "$@"
# --silent prints only warnings and errors.
make --silent -j "$JOBS"
make --silent install

cd "$prefix"
bin=$(basename "$(readlink -f bin/python3)")
ln -sf "$bin" bin/python
for name in bin/python3.*t; do  # a hard link, which a copy of the folder would contain twice
  if [ "$name" -ef "bin/$bin" ] && [ "$name" != "bin/$bin" ]; then ln -sf "$bin" "$name"; fi
done
lib=$(echo lib/python3.*)
# CPython's own tests, modules that need a display, and files that only compiling or embedding needs.
rm -rf "$lib/test" "$lib"/*/test "$lib"/*/tests "$lib/idlelib" "$lib/turtledemo" "$lib/tkinter" "$lib/turtle.py" \
  "$lib"/config-* "$lib/ensurepip/_bundled" lib/*.a lib/pkgconfig include share bin/idle* bin/2to3* bin/pydoc* bin/*-config
find . -name '_test*.so' -o -name '_xxtest*.so' -o -name '_tkinter*.so' | xargs rm -f
strip --strip-unneeded "bin/$bin"
find lib -name '*.so' -exec strip --strip-unneeded {} +
find . -name __pycache__ -prune -exec rm -rf {} +
# Jails see this folder read-only: every program would compile again each module that is not compiled now.
"bin/$bin" -m compileall -q -j "$JOBS" "$lib"
"bin/$bin" -c 'import bz2, ctypes, curses, hashlib, lzma, readline, sqlite3, ssl, sys, uuid, zlib; print(sys.version)'
