# syntax=docker/dockerfile:1
# In: this checkout. Out: an image of the gateway and the simulator that runs as user 10001 on a read-only root.

ARG PYTHON=3.13.14-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CACHE_DIR=/var/cache/pip
WORKDIR /src
RUN python -m venv /opt/gateway
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY gateway gateway
COPY simulator simulator
COPY sql sql
# Every dependency comes as a wheel: no compiler, here or in the final image.
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/gateway/bin/pip install --constraint constraints.txt --prefer-binary '.[simulator]' \
 && /opt/gateway/bin/pip uninstall --yes pip
COPY deploy/healthcheck.py /opt/gateway/healthcheck.py
RUN mkdir -m 0700 /var/lib/gateway

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="device-ingestion-gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/gateway /opt/gateway
# Readings that wait for the database: mount a volume here, it must survive the container.
COPY --from=build --chown=10001:10001 /var/lib/gateway /var/lib/gateway
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_HTTP__HOST=0.0.0.0 \
    GATEWAY_SPOOL__DIR=/var/lib/gateway/spool
# By number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 10001:10001
# Besides the spool the only place that is written to: metrics of the workers, a few megabytes. With a read-only root mount a tmpfs on it.
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=90s --retries=3 \
    CMD ["python", "/opt/gateway/healthcheck.py"]
ENTRYPOINT ["gateway"]
CMD ["serve"]
