# Rendered from runtimes.toml by `snekhouse render dockerfile`, which a test holds it to: change those, not this.
#
#   docker build -t snekhouse .
#
# Arguments: BASE (a Debian), MIRROR (where the sources of CPython are), OPTIMIZE=no (no PGO and LTO: a build in a
# fraction of the time, of a slower interpreter), JOBS (compilers at once in each stage; 0: one for each CPU).

ARG BASE=debian:trixie-slim

# ---- the tools that build interpreters
FROM ${BASE} AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates curl gcc libc6-dev make pkg-config xz-utils \
      libbz2-dev libffi-dev libgdbm-dev liblzma-dev libncurses-dev libreadline-dev libsqlite3-dev libssl-dev \
      libzstd-dev uuid-dev zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
COPY runtimes/build.sh /usr/local/bin/build-python

# ---- what builds just-in-time compilers, with LLVM 19
FROM build AS llvm-19
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends clang-19 llvm-19 python3 \
 && rm -rf /var/lib/apt/lists/*

# ---- 3.15
FROM build AS python-3.15
ARG MIRROR=https://www.python.org/ftp/python
ARG OPTIMIZE=yes
ARG JOBS=0
RUN ["build-python", "/snekbin/python/3.15", "3.15.2", "8b5536d280142ecf6cdfe15d12a21ba1c65e300bbf7b28a8d0cdb849575797de"]

# ---- 3.15t
FROM build AS python-3.15t
ARG MIRROR=https://www.python.org/ftp/python
ARG OPTIMIZE=yes
ARG JOBS=0
RUN ["build-python", "/snekbin/python/3.15t", "3.15.2", "8b5536d280142ecf6cdfe15d12a21ba1c65e300bbf7b28a8d0cdb849575797de", "--disable-gil"]

# ---- 3.14
FROM build AS python-3.14
ARG MIRROR=https://www.python.org/ftp/python
ARG OPTIMIZE=yes
ARG JOBS=0
RUN ["build-python", "/snekbin/python/3.14", "3.14.6", "143b1dddefaec3bd2e21e3b839b34a2b7fb9842272883c576420d605e9f30c63"]

# ---- 3.14t
FROM build AS python-3.14t
ARG MIRROR=https://www.python.org/ftp/python
ARG OPTIMIZE=yes
ARG JOBS=0
RUN ["build-python", "/snekbin/python/3.14t", "3.14.6", "143b1dddefaec3bd2e21e3b839b34a2b7fb9842272883c576420d605e9f30c63", "--disable-gil"]

# ---- 3.14j
FROM llvm-19 AS python-3.14j
ARG MIRROR=https://www.python.org/ftp/python
ARG OPTIMIZE=yes
ARG JOBS=0
RUN ["build-python", "/snekbin/python/3.14j", "3.14.6", "143b1dddefaec3bd2e21e3b839b34a2b7fb9842272883c576420d605e9f30c63", "--enable-experimental-jit"]

# ---- 3.13
FROM build AS python-3.13
ARG MIRROR=https://www.python.org/ftp/python
ARG OPTIMIZE=yes
ARG JOBS=0
RUN ["build-python", "/snekbin/python/3.13", "3.13.14", "639e43243c620a308f968213df9e00f2f8f62332f7adbaa7a7eeb9783057c690"]

# ---- 3.12
FROM build AS python-3.12
ARG MIRROR=https://www.python.org/ftp/python
ARG OPTIMIZE=yes
ARG JOBS=0
RUN ["build-python", "/snekbin/python/3.12", "3.12.13", "c08bc65a81971c1dd5783182826503369466c7e67374d1646519adf05207b684"]

# ---- 3.11
FROM build AS python-3.11
ARG MIRROR=https://www.python.org/ftp/python
ARG OPTIMIZE=yes
ARG JOBS=0
RUN ["build-python", "/snekbin/python/3.11", "3.11.15", "272179ddd9a2e41a0fc8e42e33dfbdca0b3711aa5abf372d3f2d51543d09b625"]

# ---- the service, with the very dependencies that its tests passed with
FROM ${BASE} AS service
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv --without-pip /opt/snekhouse && python3 -m venv /tmp/build
COPY platform/requirements.lock platform/build.lock /src/platform/
RUN /tmp/build/bin/pip install --no-cache-dir --require-hashes --requirement /src/platform/build.lock \
 && /tmp/build/bin/pip --python /opt/snekhouse/bin/python install --no-cache-dir --require-hashes \
      --requirement /src/platform/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY platform /src/platform
COPY runtimes /src/runtimes
COPY templates /src/templates
RUN /tmp/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheels /src \
 && /tmp/build/bin/pip --python /opt/snekhouse/bin/python install --no-cache-dir --no-deps /tmp/wheels/*.whl

# ---- the image
FROM ${BASE}
LABEL org.opencontainers.image.title="snekhouse" \
      org.opencontainers.image.description="Run untrusted Python in many Python versions" \
      org.opencontainers.image.licenses="MIT"
# What the interpreters load, and the service's own.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates python3 tzdata \
      libbz2-1.0 libffi8 libgdbm6 liblzma5 libncursesw6 libreadline8 libsqlite3-0 libssl3 libuuid1 libzstd1 zlib1g \
 && rm -rf /var/lib/apt/lists/*
COPY --from=python-3.15 ["/snekbin/python/3.15", "/snekbin/python/3.15"]
COPY --from=python-3.15t ["/snekbin/python/3.15t", "/snekbin/python/3.15t"]
COPY --from=python-3.14 ["/snekbin/python/3.14", "/snekbin/python/3.14"]
COPY --from=python-3.14t ["/snekbin/python/3.14t", "/snekbin/python/3.14t"]
COPY --from=python-3.14j ["/snekbin/python/3.14j", "/snekbin/python/3.14j"]
COPY --from=python-3.13 ["/snekbin/python/3.13", "/snekbin/python/3.13"]
COPY --from=python-3.12 ["/snekbin/python/3.12", "/snekbin/python/3.12"]
COPY --from=python-3.11 ["/snekbin/python/3.11", "/snekbin/python/3.11"]
RUN ["ln", "-s", "/snekbin/python/3.15", "/snekbin/python/default"]
COPY --from=service /opt/snekhouse /opt/snekhouse
COPY ["runtimes.toml", "/etc/snekhouse/runtimes.toml"]
RUN ln -s /opt/snekhouse/bin/snekhouse /usr/local/bin/snekhouse \
 && useradd --uid 10060 --user-group --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin snekhouse \
 && install -d -o snekhouse -g snekhouse /snekbox/user_base \
 && for each in /snekbin/python/*; do [ -L "$each" ] || install -d -o snekhouse -g snekhouse "/snekbox/user_base/${each##*/}"; done \
 && install -d -m 1777 /run/house
ENV SNEKHOUSE_REGISTRY=/etc/snekhouse/runtimes.toml \
    XDG_RUNTIME_DIR=/run/house \
    TMPDIR=/run/house \
    UV_CACHE_DIR=/run/house/uv \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PYTHONUNBUFFERED=1
VOLUME ["/etc/snekhouse", "/snekbox/user_base"]
EXPOSE 8060
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["/opt/snekhouse/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8060/readyz', timeout=4)"]
STOPSIGNAL SIGTERM
# An ordinary user: deploy/ tells what walls that leaves, and how to have them all.
USER snekhouse
ENTRYPOINT ["snekhouse"]
CMD ["serve"]
