# One image for every service of docker-compose.yml. docs/how-to/run-in-containers.md says how to build, pin and upgrade it.
FROM python:3.12.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements-containers.lock ./
# Wheels, so that no compiler is needed; one package (plain Python) exists as source only. Compiled to byte code here, as
# nobody can write there later.
RUN /opt/venv/bin/pip install --require-hashes --no-deps --only-binary :all: --no-binary halo --compile \
    -r requirements-containers.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation --no-index --compile .

FROM python:3.12.12-slim-bookworm
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    DBT_SEND_ANONYMOUS_USAGE_STATS=false \
    GX_ANALYTICS_ENABLED=false \
    SCARF_ANALYTICS=false \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False \
    AIRFLOW_HOME=/tmp/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/onefunnel/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=/var/log/onefunnel \
    ONEFUNNEL_PROJECT=/opt/onefunnel \
    ONEFUNNEL_HOME=/var/lib/onefunnel \
    ONEFUNNEL_CONTAINER=1
# A new volume takes over the owner and the folders that it finds here. published/ must exist before it can be mounted.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin onefunnel \
 && mkdir -p /var/lib/onefunnel/published /var/lib/onefunnel/drop /var/log/onefunnel \
 && chown -R onefunnel:onefunnel /var/lib/onefunnel /var/log/onefunnel \
 && chmod -R go= /var/log/onefunnel
COPY --from=build /opt/venv /opt/venv
COPY dags /opt/onefunnel/dags
COPY dbt_project /opt/onefunnel/dbt_project
COPY expectations /opt/onefunnel/expectations
COPY pipeline.yml /opt/onefunnel/pipeline.yml
WORKDIR /opt/onefunnel
USER 10001:10001
CMD ["onefunnel", "--help"]
