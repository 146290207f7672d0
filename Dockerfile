# One image for collector, exporter and policy host. The embedded engine (chdb-core, 550 MB) stays out: in containers
# ClickHouse is a server of its own. What is installed is what requirements/image.txt names, with hashes,
# so an image built later is the same.

# To pin the very bytes: docker build --build-arg BASE=python:3.11.14-slim-bookworm@sha256:…
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/mailposture
WORKDIR /src
COPY requirements/image.txt requirements/
RUN /opt/mailposture/bin/pip install --only-binary :all: --require-hashes --requirement requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY provisioning/clickhouse provisioning/clickhouse
COPY cli cli
COPY collector collector
COPY demo demo
COPY exporter exporter
COPY mailposture mailposture
COPY policy_host policy_host
COPY reports reports
RUN /opt/mailposture/bin/pip install --no-index --no-deps --no-build-isolation . \
    && /opt/mailposture/bin/python -c \
    "import collector.ingest.service, collector.receiver, exporter.service, policy_host.service"

FROM ${BASE}
# An account whose number the host does not use; it owns nothing but the spool.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/mailposture --shell /usr/sbin/nologin mailposture \
    && install --directory --owner mailposture --group mailposture --mode 0700 /var/lib/mailposture
COPY --from=build /opt/mailposture /opt/mailposture
COPY docker/healthy.py /opt/mailposture/healthy.py
ENV PATH=/opt/mailposture/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MAILPOSTURE_CONFIG=/etc/mailposture/mailposture.yaml
USER 10001:10001
WORKDIR /var/lib/mailposture
VOLUME /var/lib/mailposture
STOPSIGNAL SIGTERM
ENTRYPOINT ["mailposture"]
CMD ["collector"]
# The collector's; docker-compose.yml names the page of each service.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-S", "/opt/mailposture/healthy.py", "http://127.0.0.1:9465/healthz"]
