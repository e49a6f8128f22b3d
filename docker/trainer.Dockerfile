# The workers for queues `gpu` and `chat`: with torch, whose wheel brings its own CUDA libraries. The base gives the driver's hooks.
# Another base must offer Python 3.11 to 3.13 as python3 with venv; for a machine without a GPU: BASE=ubuntu:24.04.
ARG BASE=nvidia/cuda:13.0.1-base-ubuntu24.04
FROM ${BASE}
ENV DEBIAN_FRONTEND=noninteractive
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY . .
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir -c constraints.txt -e '.[train,s3]' \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin attune \
    && install -d -o attune -g attune -m 0750 /data
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=frontend.settings \
    ATTUNE_HOME=/data \
    HF_HOME=/data/hub \
    HF_HUB_DISABLE_TELEMETRY=1
USER 10001:10001
VOLUME /data
# A ping starts an interpreter, so it is asked rarely; a worker that trains still answers, its run is another process.
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s --retries=3 \
    CMD ["sh", "-c", "celery -A training inspect ping -d gpu@$HOSTNAME -t 10"]
# Time to write a checkpoint when it is told to stop is set by `stop_grace_period` in compose.yaml.
CMD ["celery", "-A", "training", "worker", "-Q", "gpu", "-n", "gpu@%h", "-P", "threads", "-c", "1", "-l", "INFO"]
