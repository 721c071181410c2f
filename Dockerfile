# syntax=docker/dockerfile:1
# The program in an image that holds what it runs on and nothing else. docs/operations/containers.md says how it is used.
FROM python:3.11.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements.txt ./
# Wheels with the hashes that are pinned: nothing is compiled, so that no compiler is needed.
RUN python -m venv /opt/openchargeback/.venv \
    && /opt/openchargeback/.venv/bin/python -m pip install --only-binary :all: --require-hashes -r requirements.txt \
    && /opt/openchargeback/.venv/bin/python -m pip uninstall --yes pip setuptools

FROM python:3.11.13-slim-bookworm
LABEL org.opencontainers.image.title="OpenChargeback" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --system --gid 10001 openchargeback \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/openchargeback --shell /usr/sbin/nologin openchargeback \
    && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/openchargeback
WORKDIR /opt/openchargeback
COPY --from=build /opt/openchargeback/.venv ./.venv
COPY LICENSE manage.py requirements.txt ./
COPY openchargeback ./openchargeback
COPY billing ./billing
COPY statements ./statements
COPY journals ./journals
COPY templates ./templates
COPY fixtures ./fixtures
COPY docs ./docs
# The file system is read-only when it runs: what Python would write beside the program is written now.
RUN .venv/bin/python -m compileall -q openchargeback billing statements journals
ENV PATH=/opt/openchargeback/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    VAR_DIR=/var/lib/openchargeback \
    LOG_FORMAT=json
USER 10001:10001
VOLUME ["/var/lib/openchargeback"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--port", "8000"]
