# syntax=docker/dockerfile:1
# The image of every process: `serve` (what it does when told nothing), `worker ROLE`, `migrate`. CONTRIBUTING.md and
# .ci/run install in the same way; tests/deployment holds this file to that.

# To pin the bytes too: --build-arg BASE=python:3.11.15-slim-bookworm@sha256:…
ARG BASE=python:3.11.15-slim-bookworm

# --- Everything but Strata: rebuilt and shipped anew only when a dependency changes ------------------------------------
FROM ${BASE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/strata
ENV PATH=/opt/strata/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
# PyTorch without CUDA, from its own index and nothing else from there
RUN pip install -c constraints.txt --no-deps --index-url https://download.pytorch.org/whl/cpu torch
COPY pyproject.toml README.md LICENSE ./
RUN pip install -c constraints.txt '.[postgres,s3,otel]' \
 && pip uninstall --yes strata-rag

# --- Strata ------------------------------------------------------------------------------------------------------------
FROM dependencies AS wheel
COPY pipelines/ pipelines/
COPY indexing/ indexing/
COPY services/ services/
RUN pip wheel --no-deps --wheel-dir /wheel .

# --- The image ---------------------------------------------------------------------------------------------------------
FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Strata" \
      org.opencontainers.image.description="Answers questions over your documents, with citations that you can check" \
      org.opencontainers.image.source="https://github.com/strata-rag/strata" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# A number, so that Kubernetes can see that it is not root. /data is where embedded mode and a shared blob folder live.
RUN groupadd --gid 10001 strata \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin strata \
 && install --directory --owner=10001 --group=10001 /data

COPY --from=dependencies /opt/strata /opt/strata
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    /opt/strata/bin/pip install --no-cache-dir --no-deps --no-index /wheel/*.whl

# Only /tmp and /data are ever written: the root file system may be read-only. A model that is named by its hub name
# (`encoder.model`) is looked for in HF_HOME; the built-in one is part of the image.
ENV PATH=/opt/strata/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    HF_HOME=/data/huggingface \
    HF_HUB_DISABLE_TELEMETRY=1 \
    STRATA_DATA_DIR=/data \
    STRATA_API__HOST=0.0.0.0

WORKDIR /data
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["strata"]
CMD ["serve"]
